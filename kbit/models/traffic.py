"""Batches on their way between host memory, where their hidden states wait, and the device, which runs a block.

On a GPU the next batch arrives and the last one leaves while the present one is computed with.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from kbit.models.hidden_store import HiddenStore

SLACK = 16
"""Elements behind a copied tensor: attention kernels read the rows of a mask in whole vectors, also the last one."""


@dataclass(frozen=True, slots=True)
class BlockCall:
    """What a transformer block is called with beside the hidden states: masks, positions, biases of attention."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def map(self, function: Callable[[Tensor], Tensor]) -> "BlockCall":
        """The call with every tensor replaced."""
        return BlockCall(*tree_map_only(Tensor, function, (self.args, self.kwargs)))


class Traffic:
    """Between the host and a CPU, where there is nothing to move."""

    def __init__(self, store: HiddenStore) -> None:
        self.store = store
        self._calls: dict[int, BlockCall] = {}

    def put(self, index: int, states: Tensor, call: BlockCall) -> None:
        """A batch as the first block is given it."""
        self.store[index].copy_(states)
        self._calls[index] = call

    def batches(self, count: int | None = None) -> Iterator[tuple[int, Tensor, BlockCall]]:
        """Index, hidden states [rows, length, width] and call of the first `count` batches, or all, on the device."""
        for index in range(len(self.store))[:count]:
            yield index, self.store[index], self._calls[index]

    def keep(self, index: int, states: Tensor) -> None:
        """New hidden states of a batch."""
        self.store[index].copy_(states)

    def finish(self) -> None:
        """Wait until all that was to be kept is kept, and nothing is under way."""


class CudaTraffic(Traffic):
    """Between the host and a GPU, on a stream for each direction beside that of the computing."""

    def __init__(self, store: HiddenStore, device: torch.device) -> None:
        super().__init__(store)
        self._device = device
        self._inward, self._outward = torch.cuda.Stream(device), torch.cuda.Stream(device)
        self._leaving: deque[tuple[int, Tensor, torch.cuda.Event]] = deque()

    def put(self, index: int, states: Tensor, call: BlockCall) -> None:
        """Waits for the copies: the tensors are the caller's to overwrite afterwards."""
        super().put(index, states, call.map(copy_to_host))

    def batches(self, count: int | None = None) -> Iterator[tuple[int, Tensor, BlockCall]]:
        indices = range(len(self.store))[:count]
        ahead = self.fetch(0) if indices else None
        for index in indices:
            states, call = self.arrive(*ahead)
            yield index, states, call
            # Behind the computing of this batch, which the caller has started by now.
            ahead = self.fetch(index + 1) if index + 1 < len(indices) else None

    def fetch(self, index: int) -> tuple[Tensor, BlockCall]:
        with torch.cuda.stream(self._inward):
            states = self.store[index].to(self._device, non_blocking=True)
            return states, self._calls[index].map(lambda tensor: copy_to_device(tensor, self._device))

    def arrive(self, states: Tensor, call: BlockCall) -> tuple[Tensor, BlockCall]:
        """Let the computing wait for a batch, and its memory wait for the computing."""
        computing = torch.cuda.current_stream(self._device)
        computing.wait_stream(self._inward)

        def held(tensor: Tensor) -> Tensor:
            tensor.record_stream(computing)
            return tensor

        return held(states), call.map(held)

    def keep(self, index: int, states: Tensor) -> None:
        done = torch.cuda.Event()
        done.record(torch.cuda.current_stream(self._device))
        self._leaving.append((index, states, done))
        # One batch stays back: copying to memory that is not pinned keeps this thread until the batch is computed, and
        # by now the next one is under way.
        if len(self._leaving) > 1:
            self.leave()

    def leave(self) -> None:
        index, states, done = self._leaving.popleft()
        self._outward.wait_event(done)
        with torch.cuda.stream(self._outward):
            self.store[index].copy_(states, non_blocking=True)
        states.record_stream(self._outward)

    def finish(self) -> None:
        while self._leaving:
            self.leave()
        self._outward.synchronize()
        self._inward.synchronize()


def span(tensor: Tensor) -> Tensor:
    """The memory from the first to the last element, [n]: of an expanded tensor what really exists."""
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.as_strided((last + 1 if tensor.numel() else 0,), (1,))


def copy_to_host(tensor: Tensor) -> Tensor:
    """Pinned, with the strides it had."""
    memory = span(tensor)
    copied = torch.empty(len(memory) + SLACK, dtype=tensor.dtype, pin_memory=True)
    copied[: len(memory)].copy_(memory)
    return copied.as_strided(tensor.shape, tensor.stride(), 0)


def copy_to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """On the current stream, with the strides it had."""
    memory = span(tensor)
    copied = torch.empty(len(memory) + SLACK, dtype=tensor.dtype, device=device)
    copied[: len(memory)].copy_(memory, non_blocking=True)
    return copied.as_strided(tensor.shape, tensor.stride(), 0)
