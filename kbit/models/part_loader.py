"""Parts of a stored model on their way to the device: read ahead on the host, checked, quantized, and counted."""

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from kbit.models.layer_statistics import LayerStatistics
from kbit.models.load import check_finite
from kbit.models.quantized import quantize_values
from kbit.models.stored_weights import StoredWeights
from kbit.spec.quant import QuantSpec


class WeightMeter:
    """Bytes of weights on the device, from when they are made until nothing refers to them any more."""

    def __init__(self) -> None:
        self.live_bytes = 0
        self.peak_bytes = 0

    def add(self, tensor: Tensor) -> Tensor:
        self.live_bytes += tensor.nbytes
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        weakref.finalize(tensor, self.remove, tensor.nbytes).atexit = False
        return tensor

    def remove(self, n_bytes: int) -> None:
        self.live_bytes -= n_bytes


class PartLoader:
    """Brings tensors of a model to the device by name."""

    def __init__(
        self,
        stored: StoredWeights,
        layers: Mapping[str, nn.Module],
        dtype: torch.dtype,
        device: torch.device,
        owner: str,
    ) -> None:
        """layers: path -> layer of the quantized linears. owner: how errors name the model."""
        self.meter = WeightMeter()
        self._stored = stored
        self._layers = {f"{path}.weight": layer for path, layer in layers.items()}
        self._dtype, self._device, self._owner = dtype, device, owner
        self.statistics = LayerStatistics(
            stored.model, lambda path: stored.read(f"{path}.weight"), dtype=dtype, device=device
        )
        self._checked: set[str] = set()

    def stage(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Tensors on the host, ready to cross over: for a GPU read from the disk and pinned. For any thread."""
        return {name: self.ready(self._stored.read(name)) for name in names}

    def ready(self, tensor: Tensor) -> Tensor:
        if self._device.type == "cpu":
            return tensor
        return torch.empty(tensor.shape, dtype=self.dtype_of(tensor), pin_memory=True).copy_(tensor)

    def dtype_of(self, tensor: Tensor) -> torch.dtype:
        return self._dtype if tensor.is_floating_point() else tensor.dtype

    def load(self, staged: dict[str, Tensor], spec: QuantSpec) -> dict[str, Tensor]:
        """Staged tensors on the device, linears under `spec`; `staged` is emptied on the way.

        UserError, naming the tensor: it holds a NaN or infinity, or cannot be quantized (UnsupportedError).
        """
        return {name: self.load_tensor(name, staged.pop(name), spec) for name in list(staged)}

    @torch.no_grad()
    def load_tensor(self, name: str, staged: Tensor, spec: QuantSpec) -> Tensor:
        # A copy always: on a CPU the staged tensor is the file's memory.
        copied = torch.empty(staged.shape, dtype=self.dtype_of(staged), device=self._device)
        tensor = self.meter.add(copied.copy_(staged, non_blocking=True))
        if name not in self._checked:
            check_finite(tensor, name, self._owner)
            self._checked.add(name)
        return self.quantize(name, tensor, spec) if name in self._layers else tensor

    @torch.no_grad()
    def quantize(self, name: str, tensor: Tensor, spec: QuantSpec, moments: Tensor | None = None) -> Tensor:
        """A loaded linear under `spec`. moments: the mean of x x^T over its inputs, of calibrated specs."""
        statistics = replace(self.statistics.of(name.removesuffix(".weight"), spec), second_moments=moments)
        values = quantize_values(tensor, self._layers[name], spec, name, statistics)
        return tensor if values is tensor else self.meter.add(values)
