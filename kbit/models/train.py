"""Train an embedded model on the committed corpus, with the real Hugging Face classes, on one CPU thread or a GPU."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from kbit.models.checkpoint import TrainingRun, next_token_loss, save_checkpoint
from kbit.models.configs import model_config
from kbit.models.corpus import read_runs, tokenize_runs
from kbit.models.recipes import CONTEXT_TOKENS, RECIPES, Recipe
from kbit.spec.errors import choice_error

BATCH_WINDOWS = 4
STEP_TOKENS = BATCH_WINDOWS * CONTEXT_TOKENS
WEIGHT_DECAY = 0.1
WARM_UP_FRACTION = 0.05
FINAL_LEARNING_RATE_FRACTION = 0.05
CLIP_NORM = 1.0
REPORT_STEPS = 500


def train_model(
    name: str,
    tokenizer: PreTrainedTokenizerFast,
    output: Path,
    *,
    tokens: int = 10_000_000,
    seed: int = 0,
    device: str = "cpu",
    report: Callable[[str], None] = print,
) -> None:
    """Train the recipe `name` for `tokens` tokens and write `output/<name>` (and its snapshots beside it).

    fp32, AdamW (0.9, 0.95), weight decay 0.1 on matrices, 5 % warm-up, cosine to 5 %, gradient norm clipped to 1,
    batches of 4 x 256 tokens. The order of the data depends on the seed alone, so it is the same for every size.
    UserError for an unknown recipe.
    """
    if name not in RECIPES:
        raise choice_error("model", name, RECIPES, "kbit/models/recipes.py")
    recipe, run = RECIPES[name], TrainingRun(name, tokens, seed)
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(model_config(recipe, len(tokenizer), tokenizer.eos_token_id)).to(device)
    optimizer = make_optimizer(model, recipe)
    text = torch.from_numpy(tokenize_runs(tokenizer, read_runs("train")))
    steps = math.ceil(tokens / STEP_TOKENS)
    snapshots = snapshot_names(name, recipe, tokens)
    started = time.process_time()
    for step, windows in enumerate(training_batches(text, steps, seed), start=1):
        set_learning_rate(optimizer, recipe.learning_rate * schedule((step - 1) / steps))
        loss = train_step(model, optimizer, windows.to(device))
        if step % REPORT_STEPS == 0:
            spent = time.process_time() - started
            report(f"{name}: step {step}/{steps}, loss {loss:.3f}, {spent:.0f} CPU-s")
        if step in snapshots:
            save_checkpoint(model, tokenizer, output / snapshots[step], run, step * STEP_TOKENS)
    save_checkpoint(model, tokenizer, output / name, run, steps * STEP_TOKENS)


def snapshot_names(name: str, recipe: Recipe, tokens: int) -> dict[int, str]:
    """Step -> name of the checkpoint that is kept after it."""
    kept = [at for at in recipe.snapshot_tokens if at < tokens]
    return {math.ceil(at / STEP_TOKENS): f"{name}-{at // 1_000_000}m" for at in kept}


def train_step(model: PreTrainedModel, optimizer: torch.optim.Optimizer, windows: Tensor) -> float:
    """One step on windows int64 [4, 257]; the loss before it, in nats per token."""
    loss = next_token_loss(model, windows)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    optimizer.step()
    return loss.item()


def make_optimizer(model: PreTrainedModel, recipe: Recipe) -> torch.optim.Optimizer:
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.95), fused=True)


def training_batches(text: Tensor, steps: int, seed: int) -> Iterator[Tensor]:
    """`steps` batches [4, 257] of windows; every epoch cuts the text at a new offset and shuffles the windows."""
    random = np.random.default_rng(seed)
    starts: list[int] = []
    for _ in range(steps):
        if len(starts) < BATCH_WINDOWS:
            offset = int(random.integers(CONTEXT_TOKENS))
            starts = random.permutation(np.arange(offset, len(text) - CONTEXT_TOKENS - 1, CONTEXT_TOKENS)).tolist()
        chosen = [starts.pop() for _ in range(BATCH_WINDOWS)]
        yield torch.stack([text[start : start + CONTEXT_TOKENS + 1] for start in chosen])


def schedule(progress: float) -> float:
    """Share of the peak learning rate at `progress` in [0, 1): linear warm-up, then a cosine."""
    if progress < WARM_UP_FRACTION:
        return max(progress, 1e-4) / WARM_UP_FRACTION
    cosine = 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP_FRACTION) / (1 - WARM_UP_FRACTION)))
    return FINAL_LEARNING_RATE_FRACTION + (1 - FINAL_LEARNING_RATE_FRACTION) * cosine


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
