"""Train an embedded model on the committed corpus, with the real Hugging Face classes, on one CPU thread or a GPU."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from kbit.models.corpus import read_runs, tokenize_runs
from kbit.models.configs import model_config
from kbit.models.recipes import CONTEXT_TOKENS, RECIPES, Recipe

BATCH_WINDOWS = 4
WEIGHT_DECAY = 0.1
WARM_UP_FRACTION = 0.05
FINAL_LEARNING_RATE_FRACTION = 0.05
CLIP_NORM = 1.0


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
    """
    if name not in RECIPES:
        raise ValueError(f"model {name!r} is not one of {', '.join(RECIPES)} (kbit/models/recipes.py)")
    recipe = RECIPES[name]
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(model_config(recipe, len(tokenizer), tokenizer.eos_token_id)).to(device)
    optimizer = make_optimizer(model, recipe)
    text = torch.from_numpy(tokenize_runs(tokenizer, read_runs("train")))
    steps = math.ceil(tokens / (BATCH_WINDOWS * CONTEXT_TOKENS))
    snapshots = {math.ceil(at / (BATCH_WINDOWS * CONTEXT_TOKENS)): at for at in recipe.snapshot_tokens if at < tokens}
    started = time.process_time()
    for step, windows in enumerate(training_batches(text, steps, seed)):
        set_learning_rate(optimizer, recipe.learning_rate * schedule(step / steps))
        loss = next_token_loss(model, windows.to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        if (step + 1) % 500 == 0:
            report(f"{name}: step {step + 1}/{steps}, loss {loss.item():.3f}, {time.process_time() - started:.0f} CPU-s")
        if step + 1 in snapshots:
            millions = snapshots[step + 1] // 1_000_000
            save_checkpoint(model, tokenizer, output, f"{name}-{millions}m", name, (step + 1) * BATCH_WINDOWS * CONTEXT_TOKENS, tokens, seed)
    save_checkpoint(model, tokenizer, output, name, name, steps * BATCH_WINDOWS * CONTEXT_TOKENS, tokens, seed)


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
        yield torch.stack([text[start : start + CONTEXT_TOKENS + 1] for start in (starts.pop() for _ in range(BATCH_WINDOWS))])


def schedule(progress: float) -> float:
    """Share of the peak learning rate at `progress` in [0, 1): linear warm-up, then a cosine."""
    if progress < WARM_UP_FRACTION:
        return max(progress, 1e-4) / WARM_UP_FRACTION
    cosine = 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP_FRACTION) / (1 - WARM_UP_FRACTION)))
    return FINAL_LEARNING_RATE_FRACTION + (1 - FINAL_LEARNING_RATE_FRACTION) * cosine


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def next_token_loss(model: PreTrainedModel, windows: Tensor) -> Tensor:
    """Mean cross-entropy in nats per token; windows int64 [batch, context + 1]."""
    logits = model(input_ids=windows[:, :-1], use_cache=False).logits
    return functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


@torch.no_grad()
def held_out_loss(model: PreTrainedModel, text: Tensor) -> float:
    """Mean cross-entropy in nats per token over `text` int64 [tokens], in consecutive windows of the context."""
    windows = text[: (len(text) - 1) // CONTEXT_TOKENS * CONTEXT_TOKENS + 1].unfold(0, CONTEXT_TOKENS + 1, CONTEXT_TOKENS)
    device = next(model.parameters()).device
    losses = [next_token_loss(model, batch.to(device)).item() * len(batch) for batch in windows.split(16)]
    return sum(losses) / len(windows)


def save_checkpoint(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    output: Path,
    name: str,
    recipe_name: str,
    tokens_seen: int,
    tokens: int,
    seed: int,
) -> None:
    """Write fp16 safetensors, tokenizer and model card; the losses on the card are of the fp16 weights, computed in fp32."""
    folder = output / name
    half = AutoModelForCausalLM.from_config(model.config, dtype=torch.float16)
    half.load_state_dict(model.state_dict())
    half.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    half.float().eval()
    runs = read_runs("valid")
    valid = torch.from_numpy(tokenize_runs(tokenizer, runs))
    loss = held_out_loss(half, valid)
    bits_per_byte = loss / math.log(2) * len(valid) / sum(len(run["text"].encode()) for run in runs)
    (folder / "README.md").write_text(model_card(name, recipe_name, half, tokens_seen, tokens, seed, loss, bits_per_byte))


def model_card(
    name: str, recipe_name: str, model: PreTrainedModel, tokens_seen: int, tokens: int, seed: int, loss: float, bits_per_byte: float
) -> str:
    recipe = RECIPES[recipe_name]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    partial = f"a checkpoint of a run of {tokens:,} tokens, learning rate not yet decayed" if tokens_seen < tokens else "the end of its run"
    return f"""---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

# {name}

A {type(model).__name__} of width {recipe.width} and {recipe.layers} layers, trained from scratch on the public-domain corpus
in `data/corpus/`. It exists to be quantized; its text is not worth reading.

| | |
|---|---|
| parameters | {parameters:,} |
| tokens seen | {tokens_seen:,} ({partial}) |
| context | {CONTEXT_TOKENS} tokens |
| loss on the valid split | {loss:.4f} nats per token |
| bits per byte on the valid split | {bits_per_byte:.4f} |
| seed | {seed} |
| peak learning rate | {recipe.learning_rate:.2e} |
| weights | fp16 safetensors, trained in fp32 |
| command | `kbit train {recipe_name} --tokens {tokens} --seed {seed}` |
"""
