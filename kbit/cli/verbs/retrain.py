"""What makes the committed models and tasks anew."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kbit.cli.app import EMBEDDED, app

verb = partial(app.command, rich_help_panel=EMBEDDED)


@verb()
def train(
    model: Annotated[str, typer.Argument(help="Name of a recipe, such as neox-64x2.")],
    output: Annotated[Path, typer.Option(help="Folder that receives the checkpoint folders.")] = Path(
        "results/retrain/models"
    ),
    tokens: Annotated[int, typer.Option(min=1024, help="Tokens to train on.")] = 10_000_000,
    seed: Annotated[int, typer.Option(help="Seed of weights and data order.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Train one of the embedded models from scratch on the committed corpus.

    Example: kbit train neox-32x2 --tokens 1000000
    """
    from kbit.models.corpus import train_tokenizer
    from kbit.models.train import train_model

    train_model(model, train_tokenizer(), output, tokens=tokens, seed=seed, device=device)


@verb()
def build_tasks(
    output: Annotated[Path, typer.Option(help="Folder that receives the task YAML and data.")] = Path(
        "results/retrain/tasks"
    ),
    corpus: Annotated[Path, typer.Option(help="Folder of the corpus.")] = Path("data/corpus"),
) -> None:
    """Build the embedded tasks from held-out text.

    Example: kbit build-tasks --output results/retrain/tasks
    """
    from kbit.evaluation.proxies import build_tasks as build

    build(output, corpus)
