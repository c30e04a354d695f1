"""The streamed engine: a model larger than its device. Its layers pass through the device in turn.

All batches wait in host memory before a block; the block comes from the model's files, is quantized, runs every batch,
and makes room for the next one. The device holds one block, and while it is quantized one matrix of it twice. What
stands before the blocks runs as the model's own code does, up to its first block, which takes down what it was called
with (the way GPTQ's published code collects the inputs of blocks).
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from kbit.models.architectures import find_architecture, linears
from kbit.models.calibrated import Waiting, block_layers, check_shown, on_device, run_through, second_moments
from kbit.models.hidden_store import HiddenStore
from kbit.models.inputs import ModelInputs
from kbit.models.model_parts import cut_model
from kbit.models.part_loader import PartLoader
from kbit.models.quantized import distinct_weights, measure
from kbit.models.stem import stem_part
from kbit.models.stored_weights import StoredWeights
from kbit.models.traffic import CudaTraffic, Traffic
from kbit.spec.footprint import Footprint
from kbit.spec.placement import HIDDEN_BYTES
from kbit.spec.quant import CONTROL, QuantSpec


class Streamed:
    """A model in its files that runs all batches at hand, block by block."""

    placement = "streamed"
    streams = True

    def __init__(
        self,
        stored: StoredWeights,
        dtype: torch.dtype,
        device: torch.device,
        owner: str,
        hidden_bytes: float = HIDDEN_BYTES,
    ) -> None:
        """owner: how errors name the model. hidden_bytes: hidden states in host memory at most; more go to a file."""
        self.model = stored.model
        self.config = self.model.config
        self.architecture = find_architecture(self.config)
        self.device = device
        self.gpus = int(device.type == "cuda")
        self.shares_prefixes = self.architecture.run_tries is not None
        self._dtype, self._hidden_bytes = dtype, hidden_bytes
        layers = linears(self.model)
        self._weights = distinct_weights(self.model, layers)
        self._loader = PartLoader(stored, layers, dtype, device, owner)
        self.statistics = self._loader.statistics
        self._parts = cut_model(self.architecture, self.model)
        self._stem = stem_part(self.architecture, self.model, self._parts.stem)
        self._spec: QuantSpec | None = None
        self._shown: list[ModelInputs] = []
        self._head: dict[str, Tensor] | None = None
        self._idle_store: HiddenStore | None = None

    @property
    def live_weight_bytes(self) -> int:
        """Weights on the device now."""
        return self._loader.meter.live_bytes

    @property
    def peak_weight_bytes(self) -> int:
        """Weights on the device at once, so far."""
        return self._loader.meter.peak_bytes

    @contextmanager
    def quantized(self, spec: QuantSpec, shown: Sequence[ModelInputs] = ()) -> Iterator[Footprint]:
        """Passes begun within the block quantize the blocks under `spec`, as they arrive.

        shown: what calibrated specs are solved for; it goes through the blocks beside the batches of every pass.
        So what is wrong with a weight shows in the pass: UserError, naming it (UnsupportedError where only this spec
        cannot take it). Outside of blocks the model is pristine. RuntimeError: a block is open already.
        """
        if self._spec is not None:
            raise RuntimeError(f"the model is quantized already; leave that block before quantizing it as {spec.slug}")
        check_shown(spec, shown)
        footprint = measure(self.model, spec, self._weights)
        self._spec, self._shown = spec, list(shown) if spec.is_calibrated else []
        try:
            yield footprint
        finally:
            self._spec, self._shown = None, []

    def hidden_states(self, batches: Sequence[ModelInputs]) -> Iterator[Tensor]:
        """One pass over the weights for all batches; the first hidden states come when all of it is done."""
        return self.run_pass(list(batches), self._spec or CONTROL)

    def run_pass(self, batches: list[ModelInputs], spec: QuantSpec) -> Iterator[Tensor]:
        """The last hidden states of each batch."""
        width = self.config.get_text_config().hidden_size
        shown, batches = len(self._shown), [*self._shown, *batches]
        store = self.take_store([(*inputs.tokens.shape, width) for inputs in batches])
        traffic = CudaTraffic(store, self.device) if self.device.type == "cuda" else Traffic(store)
        with ThreadPoolExecutor(1) as reader:
            parts = self.read_ahead(reader, CONTROL if shown else spec)
            try:
                self.run_stem(batches, next(parts), traffic)
                for index, block in enumerate(self._parts.blocks):
                    tensors = next(parts)
                    if shown:
                        self.calibrate(index, tensors, spec, on_device(traffic, self.device, shown))
                    run_through(partial(block, tensors), traffic, self.device)
                    del tensors  # makes room for the next one
                yield from self.run_after(next(parts), traffic, shown)
            finally:
                traffic.finish()
                self._idle_store = store

    def calibrate(self, index: int, tensors: dict[str, Tensor], spec: QuantSpec, shown: Iterable[Waiting]) -> None:
        """Bring the pristine linears of a block under `spec`, for what is shown to it."""
        block = self._parts.blocks[index]
        layers = block_layers(self.architecture, index, block.module)
        for path, moments in second_moments(layers, partial(block, tensors), shown).items():
            name = f"{path}.weight"
            tensors[name] = self._loader.quantize(name, tensors[name], spec, moments)

    def take_store(self, shapes: list[tuple[int, ...]]) -> HiddenStore:
        """That of the last pass, if its batches were alike: taking and pinning 100 GB anew would cost half a minute."""
        store, self._idle_store = self._idle_store, None
        if store is not None and store.shapes == shapes:
            return store
        del store  # its memory makes room
        return HiddenStore(shapes, self._dtype, self._hidden_bytes, is_pinned=self.device.type == "cuda")

    def read_ahead(self, reader: ThreadPoolExecutor, spec: QuantSpec) -> Iterator[dict[str, Tensor]]:
        """The tensors of stem, blocks and the rest, on the device; `reader` has the next ones ready by then.

        A part is the caller's alone: it leaves the device when the caller drops it.
        """
        parts = [[self._parts.stem], *([block] for block in self._parts.blocks), [*self._parts.after, self._parts.head]]
        names = [[name for part in group for name in part.names] for group in parts]
        staged = reader.submit(self._loader.stage, names[0])
        for following in [*names[1:], None]:
            present = staged.result()
            staged = following and reader.submit(self._loader.stage, following)
            yield self._loader.load(present, spec)

    def run_stem(self, batches: list[ModelInputs], tensors: dict[str, Tensor], traffic: Traffic) -> None:
        for index, inputs in enumerate(batches):
            traffic.put(index, *self._stem(tensors, inputs))

    def run_after(self, tensors: dict[str, Tensor], traffic: Traffic, shown: int) -> Iterator[Tensor]:
        """The last hidden states of all batches but the first ones, which were only shown."""
        self._head = {name: tensors[name] for name in self._parts.head.names}
        try:
            for index, states, _ in traffic.batches():
                if index < shown:
                    continue
                last = states
                for part in self._parts.after:
                    last = part(tensors, last)
                yield last
        finally:
            self._head = None

    def logits(self, states: Tensor) -> Tensor:
        """The head's weights lie on the device while the hidden states of a pass are drawn, and else are fetched."""
        head = self._head or self._loader.load(self._loader.stage(self._parts.head.names), CONTROL)
        return self._parts.head(head, states.to(self.device))
