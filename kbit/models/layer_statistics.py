"""What quantizing the layers of one model takes beside their weights, worked out when it is first asked for."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from kbit.models.architectures import find_architecture, linears
from kbit.models.architectures.roles import Feeder
from kbit.models.unit_moments import UnitMoments, combine, measure_units
from kbit.quant.statistics import NO_STATISTICS, Statistics
from kbit.spec.quant import QuantSpec

UNITS_ARE_COLUMNS = (nn.Embedding, Conv1D)


class LayerStatistics:
    """Of the pristine weights of a model, wherever these lie; kept for all specs, a few numbers for each unit."""

    def __init__(
        self,
        model: PreTrainedModel,
        read: Callable[[str], Tensor],
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> None:
        """model: with or without values. read: path of a layer -> its pristine weight, in its own layout. dtype,
        device: what the model computes with, where `read` gives something else.
        """
        self.feeders = find_architecture(model.config).feeders(model)
        """Path of a quantized layer -> whose outputs its input dimensions are."""
        self._modules = dict(model.named_modules())
        self._owners = first_of_each_weight(model)
        self._read, self._dtype, self._device = read, dtype, device
        self._moments: dict[str, UnitMoments] = {}
        self._feeder_std: dict[str, Tensor] = {}

    def of(self, name: str, spec: QuantSpec) -> Statistics:
        """What `spec` needs of the quantized layer at path `name`. Layers that share a weight have those of the first
        of them, as what is stored once can be quantized in one way only."""
        if "feeder_std" not in spec.needed_statistics:
            return NO_STATISTICS
        return Statistics(feeder_std=self.feeder_std(name))

    def feeder_std(self, name: str) -> Tensor:
        """f32 [in]: the weight std of the hidden unit that feeds each input dimension of a layer."""
        owner = self._owners[name]
        if owner not in self._feeder_std:
            self._feeder_std[owner] = combine([self.units_of(feeder) for feeder in self.feeders[owner]]).std
        return self._feeder_std[owner]

    def units_of(self, feeder: Feeder) -> UnitMoments:
        """Of every input dimension that a layer feeds."""
        path = self._owners.get(feeder.layer, feeder.layer)
        if path not in self._moments:
            weight = self._read(path)
            axis = 1 if isinstance(self._modules[path], UNITS_ARE_COLUMNS) else 0
            self._moments[path] = measure_units(
                weight, axis, self._dtype or weight.dtype, self._device or weight.device
            )
        return self._moments[path].at(feeder.units)


def first_of_each_weight(model: PreTrainedModel) -> dict[str, str]:
    """Path of a quantized layer -> the first path of its weight, mostly its own."""
    first: dict[nn.Parameter, str] = {}
    for path, parameter in model.named_parameters(remove_duplicate=False):
        first.setdefault(parameter, path.removesuffix(".weight"))
    return {path: first[layer.weight] for path, layer in linears(model).items()}


def live_statistics(model: PreTrainedModel) -> LayerStatistics:
    """Of a model that is pristine whenever it is asked."""
    return LayerStatistics(model, lambda path: model.get_submodule(path).weight.data)
