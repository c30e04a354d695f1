"""Where the pristine values of a model's linears wait while it computes with quantized ones: `Weights`, three times.

All three give the same bits. They differ in memory, and in what going from spec to spec costs (`kbit.spec.placement`).
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from kbit.models.architectures import linears
from kbit.models.calibrated import check_shown, quantize_in_turn
from kbit.models.inputs import ModelInputs
from kbit.models.layer_statistics import LayerStatistics, live_statistics
from kbit.models.pinned import pin
from kbit.models.quantized import distinct_weights, measure, quantize_values, quantized
from kbit.models.stored_weights import StoredWeights
from kbit.spec.footprint import Footprint
from kbit.spec.quant import CONTROL, QuantSpec


class Weights(Protocol):
    """The weights of a model that lies whole on its devices."""

    placement: str
    statistics: LayerStatistics

    def quantized(self, spec: QuantSpec, shown: Sequence[ModelInputs] = ()) -> AbstractContextManager[Footprint]:
        """Within the block the model computes with weights under `spec`.

        shown: what calibrated specs are solved for, see `kbit.models.calibrated`.
        UserError: a weight that cannot be quantized, by name (UnsupportedError where only this spec cannot take it).
        RuntimeError: a block of this model is open already. The model is never half quantized unnoticed: outside of
        blocks it either has its pristine weights, or running it raises a RuntimeError.
        """


class Twin:
    """Pristine and quantized weights lie side by side; outside of blocks the model is pristine."""

    placement = "twin"

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.statistics = live_statistics(model)

    def quantized(self, spec: QuantSpec, shown: Sequence[ModelInputs] = ()) -> AbstractContextManager[Footprint]:
        return quantized(self.model, spec, self.statistics, shown)


class PristineValues(Protocol):
    """A second home of the linears' pristine values."""

    placement: str

    def read(self, name: str) -> Tensor:
        """Values of the layer at path `name`, in its own layout, on the CPU, not to be written to."""


class HostCopies:
    """In host memory, pinned where a GPU reads them, so that they cross over at the speed of the bus."""

    placement = "host"

    def __init__(self, parameters: dict[str, nn.Parameter]) -> None:
        self._values = {name: self.copy(parameter.data) for name, parameter in parameters.items()}

    def copy(self, tensor: Tensor) -> Tensor:
        values = torch.empty(tensor.shape, dtype=tensor.dtype)
        if tensor.is_cuda:
            pin(values, owner=self)
        return values.copy_(tensor)

    def read(self, name: str) -> Tensor:
        return self._values[name]


class MappedValues:
    """In the model's files, read again each time."""

    placement = "mapped"

    def __init__(self, stored: StoredWeights) -> None:
        self._stored = stored

    def read(self, name: str) -> Tensor:
        return self._stored.read(f"{name}.weight")


def mapped_values(stored: StoredWeights | None, parameters: dict[str, nn.Parameter]) -> MappedValues | None:
    """The files as home of pristine values; None unless they hold the loaded values bit for bit.

    They do not where the loader converts what it reads, by fusing matrices for example.
    """
    if stored is None or any(f"{name}.weight" not in stored for name in parameters):
        return None
    values = MappedValues(stored)
    same = all(same_bits(arrive(values, name, parameter), parameter.data) for name, parameter in parameters.items())
    return values if same else None


def arrive(values: PristineValues, name: str, parameter: nn.Parameter) -> Tensor:
    """Pristine values where they are computed with, in the compute dtype."""
    return values.read(name).to(device=parameter.device, dtype=parameter.dtype, non_blocking=True)


def same_bits(left: Tensor, right: Tensor) -> bool:
    return left.shape == right.shape and torch.equal(
        left.contiguous().view(torch.uint8), right.contiguous().view(torch.uint8)
    )


class InPlace:
    """The devices hold the weights once: each linear is fetched, quantized and written over what was there.

    Leaving a block restores nothing, as the next one writes every linear anyway (bringing 60 GB back for nothing would
    take seconds per spec, and minutes from a disk); until then the model refuses to run. So it does after a block that
    could not be entered.
    """

    def __init__(self, model: PreTrainedModel, values: PristineValues) -> None:
        self.model = model
        self.placement = values.placement
        self._values = values
        self._layers = linears(model)
        self._parameters = distinct_weights(model, self._layers)
        self.statistics = LayerStatistics(model, self.read_pristine)
        self._holds: QuantSpec | None = CONTROL
        """The spec that the linears are under; None while or after they were changed in part."""
        self._is_open = False
        model.base_model.register_forward_pre_hook(self.refuse_leftovers)

    @contextmanager
    def quantized(self, spec: QuantSpec, shown: Sequence[ModelInputs] = ()) -> Iterator[Footprint]:
        if self._is_open:
            raise RuntimeError(f"the model is quantized already; leave that block before quantizing it as {spec.slug}")
        check_shown(spec, shown)
        footprint = measure(self.model, spec, self._parameters)
        self._is_open = True
        try:
            self.write(spec, shown)
            yield footprint
        finally:
            self._is_open = False

    @torch.no_grad()
    def write(self, spec: QuantSpec, shown: Sequence[ModelInputs]) -> None:
        """Bring every linear under `spec`."""
        if self._holds == spec == CONTROL:
            return
        self._holds = None
        if spec.is_calibrated:
            self.write_in_turn(spec, shown)
        else:
            for name, parameter in self._parameters.items():
                values = arrive(self._values, name, parameter)
                statistics = self.statistics.of(name, spec)
                parameter.copy_(quantize_values(values, self._layers[name], spec, f"{name}.weight", statistics))
        self._holds = spec

    def write_in_turn(self, spec: QuantSpec, shown: Sequence[ModelInputs]) -> None:
        """All pristine first, then block by block."""
        for name, parameter in self._parameters.items():
            parameter.copy_(arrive(self._values, name, parameter))

        def quantize(name: str, moments: Tensor) -> None:
            if (parameter := self._parameters.get(name)) is not None:
                statistics = replace(self.statistics.of(name, spec), second_moments=moments)
                values = quantize_values(parameter.data, self._layers[name], spec, f"{name}.weight", statistics)
                parameter.copy_(values)

        quantize_in_turn(self.model, shown, quantize)

    def read_pristine(self, path: str) -> Tensor:
        """The weight of a layer, on its device: what is not quantized has it at all times."""
        if path in self._parameters:
            return arrive(self._values, path, self._parameters[path])
        return self.model.get_submodule(path).weight.data

    def refuse_leftovers(self, *_: object) -> None:
        if not self._is_open and self._holds != CONTROL:
            state = "half quantized" if self._holds is None else f"still quantized as {self._holds.slug}"
            raise RuntimeError(f"the model is {state}: run it inside a `quantized` block")


def keep_pristine(model: PreTrainedModel, placement: str, stored: StoredWeights | None) -> Weights:
    """The weights of a loaded model in a placement: twin, host or mapped. Where mapping is impossible, host."""
    if placement == "twin":
        return Twin(model)
    parameters = distinct_weights(model, linears(model))
    values = mapped_values(stored, parameters) if placement == "mapped" else None
    return InPlace(model, values or HostCopies(parameters))
