"""A model under a quantization spec, for the length of a `with` block: both copies of its weights at once.

`kbit.models.pristine` does with one copy.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace as changed
from weakref import WeakSet

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from kbit.models.architectures import linears
from kbit.models.calibrated import check_shown, quantize_in_turn
from kbit.models.inputs import ModelInputs
from kbit.models.layer_statistics import LayerStatistics, live_statistics
from kbit.quant import quantize_weight
from kbit.quant.statistics import NO_STATISTICS, Statistics
from kbit.spec.errors import UserError
from kbit.spec.footprint import Footprint, count_footprint
from kbit.spec.quant import QuantSpec

QUANTIZED_NOW: WeakSet[PreTrainedModel] = WeakSet()


@contextmanager
def quantized(
    model: PreTrainedModel,
    spec: QuantSpec,
    statistics: LayerStatistics | None = None,
    shown: Sequence[ModelInputs] = (),
) -> Iterator[Footprint]:
    """Within the block the model computes with quantized weights; after it, however it ends, with those it came with.

    The weights it came with are set aside, never written: quantized ones take their place in the layers' parameters, so
    going back copies nothing and loses no bit. Both exist at once. For the 16-bit control nothing changes.
    statistics: of the model's layers, where these are kept from spec to spec. shown: what calibrated specs are solved
    for, see `kbit.models.calibrated`.
    UserError: a weight that cannot be quantized, by name, or nothing is shown to a calibrated spec (UnsupportedError
    where only this spec cannot take it), and the model is as it came. RuntimeError: the
    model is quantized already; it stays as it is.
    """
    if model in QUANTIZED_NOW:
        raise RuntimeError(f"the model is quantized already; leave that block before quantizing it as {spec.slug}")
    layers = linears(model)
    parameters = distinct_weights(model, layers)
    footprint = measure(model, spec, parameters)
    check_shown(spec, shown)
    statistics = statistics or live_statistics(model)
    of_layers = {name: statistics.of(name, spec) for name in parameters}
    pristine = {name: parameter.data for name, parameter in parameters.items()}

    def quantize(name: str, statistics: Statistics) -> Tensor:
        return quantize_values(pristine[name], layers[name], spec, f"{name}.weight", statistics)

    def replace_calibrated(name: str, moments: Tensor) -> None:
        if name in parameters:
            parameters[name].data = quantize(name, changed(of_layers[name], second_moments=moments))

    QUANTIZED_NOW.add(model)
    try:
        if spec.is_calibrated:
            quantize_in_turn(model, shown, replace_calibrated)
        else:
            replace(parameters, {name: quantize(name, of_layer) for name, of_layer in of_layers.items()})
        yield footprint
    finally:
        replace(parameters, pristine)
        QUANTIZED_NOW.discard(model)


def replace(parameters: dict[str, nn.Parameter], values: dict[str, Tensor]) -> None:
    """Let every parameter hold the tensor of its name."""
    for name, parameter in parameters.items():
        parameter.data = values[name]


def distinct_weights(model: PreTrainedModel, layers: dict[str, nn.Module]) -> dict[str, nn.Parameter]:
    """Layer's path -> its weight; layers that share one appear once. UserError if a 16-bit part shares it."""
    owners: dict[nn.Parameter, list[str]] = {}
    for path, parameter in model.named_parameters(remove_duplicate=False):
        owners.setdefault(parameter, []).append(path)
    weights = {}
    for name, layer in layers.items():
        sharing = owners[layer.weight]
        if plain := [path for path in sharing if path.removesuffix(".weight") not in layers]:
            raise UserError(f"{name}.weight is tied to {', '.join(plain)}, which stays at 16 bits: it cannot be both")
        if sharing[0] == f"{name}.weight":
            weights[name] = layer.weight
    return weights


def quantize_values(
    values: Tensor, layer: nn.Module, spec: QuantSpec, name: str, statistics: Statistics = NO_STATISTICS
) -> Tensor:
    """A layer's pristine values under `spec`, both in its own layout. A Conv1D has [in, out], quantized as [out, in].

    A new tensor; for the 16-bit control the values themselves, contiguous.
    """
    if isinstance(layer, Conv1D):
        return quantize_weight(values.t(), spec, name, statistics).t().contiguous()
    return quantize_weight(values, spec, name, statistics)


def measure(model: PreTrainedModel, spec: QuantSpec, weights: dict[str, nn.Parameter]) -> Footprint:
    """Count the bits of the model's parameters, tied ones once."""
    layers = linears(model)
    shapes = [output_by_input(layers[name]) for name in weights]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return count_footprint(spec, shapes, parameters - sum(weight.numel() for weight in weights.values()))


def output_by_input(layer: nn.Module) -> tuple[int, int]:
    """(out, in) of a layer's weight."""
    rows, columns = layer.weight.shape
    return (columns, rows) if isinstance(layer, Conv1D) else (rows, columns)
