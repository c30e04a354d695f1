"""What the linear layers of a block do, and so which layer's outputs are the input dimensions of which."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PretrainedConfig


@dataclass(frozen=True, slots=True, eq=False)
class Feeder:
    """A layer whose outputs, its hidden units, are input dimensions of a linear."""

    layer: str
    """Path within the causal LM: of a linear, or of an embedding, whose units are its columns."""
    role: str
    """A field of `Roles`, or `embedding`."""
    units: Tensor | None = None
    """i64 [in]: the output of `layer` that each input dimension is. None: the one of the same number."""


@dataclass(frozen=True, slots=True)
class Roles:
    """The quantized layers of a block, by paths within it."""

    kvq: tuple[str, ...]
    """Those that read what attention reads."""
    attention_output: tuple[str, ...]
    ffn1: tuple[str, ...]
    """Into the feed-forward; two where one is the gate of the other."""
    ffn2: tuple[str, ...]
    value: str
    """The one of `kvq` that holds the values."""
    value_units: Callable[[PretrainedConfig], Tensor | None] = lambda _: None
    """The output of `value` that each input dimension of the attention output is, see `Feeder.units`."""
    is_parallel: Callable[[PretrainedConfig], bool] = lambda _: False
    """Whether the feed-forward reads what attention reads, not what it wrote."""

    def find(self, linear: str) -> str:
        """The role of a path."""
        roles = {path: role for role in ("kvq", "attention_output", "ffn1", "ffn2") for path in getattr(self, role)}
        return roles[linear]

    def feeders(
        self, linear: str, config: PretrainedConfig, block: str, before: tuple[Feeder, ...]
    ) -> tuple[Feeder, ...]:
        """Whose outputs the input dimensions of `linear` are, in the block at path `block`.

        before: who wrote last into the hidden states that the block is given. Of the residual stream it is always the
        last one to write that counts; layers that write at the same time, or whose outputs are multiplied with one
        another, make a hidden unit together.
        """
        match self.find(linear):
            case "attention_output":
                return (Feeder(f"{block}.{self.value}", "kvq", self.value_units(config)),)
            case "ffn2":
                return self.writers(block, "ffn1")
            case "ffn1" if not self.is_parallel(config):
                return self.writers(block, "attention_output")
            case _:
                return before

    def last_writers(self, config: PretrainedConfig, block: str) -> tuple[Feeder, ...]:
        """Who writes the hidden states that a block hands on."""
        attention = self.writers(block, "attention_output") if self.is_parallel(config) else ()
        return (*attention, *self.writers(block, "ffn2"))

    def writers(self, block: str, role: str) -> tuple[Feeder, ...]:
        return tuple(Feeder(f"{block}.{path}", role) for path in getattr(self, role))


def fused_by_head(heads: int, head_width: int) -> Tensor:
    """i64 [heads * width]: the values in rows [heads, (query, key, value), width]."""
    starts = torch.arange(heads) * 3 * head_width + 2 * head_width
    return (starts[:, None] + torch.arange(head_width)).view(-1)


def grouped(heads: int, value_heads: int, head_width: int) -> Tensor:
    """i64 [heads * width]: the values in rows [value heads, width], each head of which serves a group of heads."""
    starts = torch.arange(heads) // (heads // value_heads) * head_width
    return (starts[:, None] + torch.arange(head_width)).view(-1)
