"""How large the hidden units of a model become on a text, beside how widely their weights spread.

The paper's reason for proxy quantization (Dettmers & Zettlemoyer 2023, appendix D, table 2): where the two go together,
units that put out outliers are known without running the model.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kbit.evaluation.batches import Batch
from kbit.evaluation.requests import Requests
from kbit.evaluation.scorer import batches_of
from kbit.models.architectures import find_architecture, linears
from kbit.models.engine import Engine
from kbit.spec.quant import CONTROL


@dataclass(frozen=True, slots=True, eq=False)
class HiddenUnits:
    """The input dimensions of one linear layer of a pristine model."""

    block: int
    linear: str
    """Path of the layer within its block."""
    role: str
    """What it does in its block, see `kbit.models.architectures.roles.Roles`."""
    feeders: tuple[str, ...]
    """The same of the layers whose hidden units its input dimensions are, or `embedding`."""
    std: Tensor
    """f32 [in]: standard deviation of the weights of each unit."""
    magnitude: Tensor
    """f64 [in]: mean magnitude of each input dimension over the text."""
    n_tokens: int


@torch.inference_mode()
def observe_hidden_units(engine: Engine, requests: Requests, token_budget: int) -> list[HiddenUnits]:
    """Run the pristine model over the text of a task; the tokens that the task scores are looked at.

    Every linear of every block, in the order of the data. UserError as scoring the task raises it.
    """
    batches = batches_of(engine, requests, token_budget)
    sums: dict[str, Tensor] = {}
    with watching(engine, batches, sums), engine.quantized(CONTROL):
        for _ in engine.hidden_states([batch.inputs for batch in batches]):
            continue
    architecture = find_architecture(engine.config)
    n_tokens = sum(len(batch.positions) for batch in batches)
    return [
        HiddenUnits(
            *architecture.place_of(path),
            architecture.role_of(path),
            tuple(dict.fromkeys(feeder.role for feeder in engine.statistics.feeders[path])),
            engine.statistics.feeder_std(path),
            total / n_tokens,
            n_tokens,
        )
        for path, total in ((path, sums[path]) for path in linears(engine.model))
    ]


@contextmanager
def watching(engine: Engine, batches: Sequence[Batch], sums: dict[str, Tensor]) -> Iterator[None]:
    """Within the block every linear adds what it is given to `sums`: path -> f64 [in], on the CPU."""
    with ExitStack() as hooks:
        for path, layer in linears(engine.model).items():
            hooks.enter_context(layer.register_forward_pre_hook(adding(path, batches, sums)))
        yield


def adding(path: str, batches: Sequence[Batch], sums: dict[str, Tensor]) -> Callable[[nn.Module, tuple[Tensor]], None]:
    """A hook that is called for the batches in order: by resident engines at once, by streamed ones block by block."""
    calls = iter(batches)

    def add(_: nn.Module, args: tuple[Tensor]) -> None:
        states = args[0].reshape(-1, args[0].shape[-1])
        scored = states[next(calls).positions.to(states.device)]
        total = scored.abs().sum(dim=0, dtype=torch.float64).cpu()
        sums[path] = sums[path] + total if path in sums else total

    return add
