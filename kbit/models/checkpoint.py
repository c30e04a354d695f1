"""Write an embedded checkpoint: fp16 safetensors, tokenizer, and a model card with its held-out loss."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from kbit.models.corpus import read_runs, tokenize_runs
from kbit.models.recipes import CONTEXT_TOKENS, RECIPES


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """What makes one training run reproducible."""

    recipe: str
    tokens: int
    """Tokens of the whole run, which its learning rate schedule spans."""
    seed: int


def next_token_loss(model: PreTrainedModel, windows: Tensor) -> Tensor:
    """Mean cross-entropy in nats per token; windows int64 [batch, context + 1]."""
    logits = model(input_ids=windows[:, :-1], use_cache=False).logits
    return functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


@torch.no_grad()
def held_out_loss(model: PreTrainedModel, text: Tensor) -> float:
    """Mean cross-entropy in nats per token over `text` int64 [tokens], in consecutive windows of the context."""
    whole_windows = (len(text) - 1) // CONTEXT_TOKENS * CONTEXT_TOKENS + 1
    windows = text[:whole_windows].unfold(0, CONTEXT_TOKENS + 1, CONTEXT_TOKENS)
    device = next(model.parameters()).device
    losses = [next_token_loss(model, batch.to(device)).item() * len(batch) for batch in windows.split(16)]
    return sum(losses) / len(windows)


def save_checkpoint(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path, run: TrainingRun, tokens_seen: int
) -> None:
    """Write the model as it stands; the loss on the card is that of the fp16 weights, computed in fp32."""
    half = AutoModelForCausalLM.from_config(model.config, dtype=torch.float16)
    half.load_state_dict(model.state_dict())
    half.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    runs = read_runs("valid")
    valid = torch.from_numpy(tokenize_runs(tokenizer, runs))
    loss = held_out_loss(half.float().eval(), valid)
    bits_per_byte = loss / math.log(2) * len(valid) / sum(len(run["text"].encode()) for run in runs)
    (folder / "README.md").write_text(model_card(folder.name, half, run, tokens_seen, loss, bits_per_byte))


def model_card(
    name: str, model: PreTrainedModel, run: TrainingRun, tokens_seen: int, loss: float, bits_per_byte: float
) -> str:
    """The checkpoint's README.md; loss in nats per token."""
    recipe = RECIPES[run.recipe]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    place = "the end of its run"
    if tokens_seen < run.tokens:
        place = f"a checkpoint of a run of {run.tokens:,} tokens, learning rate not yet decayed"
    return f"""---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

# {name}

A {type(model).__name__} of width {recipe.width} and {recipe.layers} layers, trained from scratch on the public-domain
corpus in `data/corpus/`. It exists to be quantized; its text is not worth reading.

| | |
|---|---|
| parameters | {parameters:,} |
| tokens seen | {tokens_seen:,} ({place}) |
| context | {CONTEXT_TOKENS} tokens |
| loss on the valid split | {loss:.4f} nats per token |
| bits per byte on the valid split | {bits_per_byte:.4f} |
| seed | {run.seed} |
| peak learning rate | {recipe.learning_rate:.2e} |
| weights | fp16 safetensors, trained in fp32 |
| command | `kbit train {run.recipe} --tokens {run.tokens} --seed {run.seed}` |
"""
