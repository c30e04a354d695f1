"""Calibrated specs: the blocks of a model in turn, each quantized for what it is given by the quantized ones before it.

The sequences of a text wait before a block. It runs them with its pristine weights, which shows what its linears are
given; these are quantized for that, each with the others pristine beside it; then it runs them again, and hands on what
the next block is given. So does GPTQ's code (without its `true_sequential`, which takes the linears of a block in turn
as well). The second moments of one block exist at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from kbit.models.architectures import Architecture, find_architecture
from kbit.models.hidden_store import HiddenStore
from kbit.models.inputs import ModelInputs
from kbit.models.stem import Stem
from kbit.models.traffic import BlockCall, Traffic
from kbit.spec.errors import UserError
from kbit.spec.placement import HIDDEN_BYTES
from kbit.spec.quant import QuantSpec

RunBlock = Callable[..., object]
"""A block as its model calls it: hidden states [rows, length, width] and the rest -> new ones, alone or in a tuple."""
Waiting = tuple[int, Tensor, BlockCall]
"""A batch before a block: its number, its hidden states [rows, length, width], what else the block is called with."""


def check_shown(spec: QuantSpec, shown: Sequence[ModelInputs]) -> None:
    """UserError if a calibrated spec comes without inputs to calibrate on."""
    if spec.is_calibrated and not shown:
        raise UserError(f"{spec.slug}: solver {spec.solver} needs a text to calibrate on (`calibration` of the study)")


@torch.no_grad()
def quantize_in_turn(
    model: PreTrainedModel, shown: Sequence[ModelInputs], quantize: Callable[[str, Tensor], None]
) -> None:
    """Take a pristine model block by block.

    shown: sequences to calibrate on, plain rows of equal length. quantize(path, moments): brings one linear under the
    spec, given the mean of x x^T over its inputs x, f32 [in, in].
    """
    architecture = find_architecture(model.config)
    traffic = Traffic(room_for(shown, model))
    stem = Stem(architecture, model)
    for index, inputs in enumerate(shown):
        traffic.put(index, *stem(inputs))
    blocks = model.get_submodule(architecture.blocks)
    for index, block in enumerate(blocks):
        layers, device = block_layers(architecture, index, block), next(block.parameters()).device
        quantize_layers(second_moments(layers, block, on_device(traffic, device)), quantize)
        if index + 1 < len(blocks):
            run_through(block, traffic, device)


def quantize_layers(moments: Mapping[str, Tensor], quantize: Callable[[str, Tensor], None]) -> None:
    """Apart from the walk, whose variables would hold a matrix of the last block while the next one's are summed."""
    for path, of_layer in moments.items():
        quantize(path, of_layer)


def room_for(shown: Sequence[ModelInputs], model: PreTrainedModel) -> HiddenStore:
    """In host memory, or a file, for the hidden states of all sequences."""
    width = model.config.get_text_config().hidden_size
    shapes = [(*inputs.tokens.shape, width) for inputs in shown]
    return HiddenStore(shapes, model.get_input_embeddings().weight.dtype, HIDDEN_BYTES, is_pinned=False)


def block_layers(architecture: Architecture, index: int, block: nn.Module) -> dict[str, nn.Module]:
    """Path -> layer of the linears of a block."""
    return {f"{architecture.blocks}.{index}.{name}": block.get_submodule(name) for name in architecture.block_linears}


def second_moments(layers: Mapping[str, nn.Module], run: RunBlock, batches: Iterable[Waiting]) -> dict[str, Tensor]:
    """The mean of x x^T over all inputs x of each layer while a block runs what waits before it, f32 [in, in].

    Layers that are given the same tensor, as query, key and value are, have the same one.
    """
    moments = SecondMoments()
    with moments.watching(layers):
        for _, states, call in batches:
            moments.begin_batch()
            run(states, *call.args, **call.kwargs)
    return moments.means()


def run_through(run: RunBlock, traffic: Traffic, device: torch.device) -> None:
    """Let a block run all batches that wait before it; its hidden states take the place of theirs."""
    for index, states, call in on_device(traffic, device):
        output = run(states, *call.args, **call.kwargs)
        traffic.keep(index, output[0] if isinstance(output, tuple) else output)
    traffic.finish()


def on_device(traffic: Traffic, device: torch.device, count: int | None = None) -> Iterator[Waiting]:
    """The first `count` batches, or all, where a block can run them: a model's blocks may lie on several GPUs."""
    for index, states, call in traffic.batches(count):
        yield index, states.to(device), call.map(lambda tensor: tensor.to(device))


class SecondMoments:
    """Sums of x x^T over what linear layers are given."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._owners: dict[str, str] = {}
        """Layer -> the one that was given the same tensors before it; itself if none was."""
        self._inputs: list[tuple[str, Tensor]] = []
        """Of this batch: who was given which tensor first."""

    def begin_batch(self) -> None:
        self._inputs.clear()

    @contextmanager
    def watching(self, layers: Mapping[str, nn.Module]) -> Iterator[None]:
        """Within the block, take in what the layers are given."""
        with ExitStack() as hooks:
            for path, layer in layers.items():
                hooks.enter_context(layer.register_forward_pre_hook(lambda _, args, path=path: self.add(path, args[0])))
            yield

    def add(self, path: str, given: Tensor) -> None:
        """given: [..., in]."""
        owner = next((other for other, tensor in self._inputs if tensor is given), path)
        self._owners[path] = owner
        if owner != path:
            return
        self._inputs.append((path, given))
        rows = given.reshape(-1, given.shape[-1]).float()
        if path not in self._sums:
            self._sums[path] = rows.new_zeros(rows.shape[1], rows.shape[1])
            self._counts[path] = 0
        self._sums[path].addmm_(rows.t(), rows)
        self._counts[path] += len(rows)

    def means(self) -> dict[str, Tensor]:
        """By layer; takes the sums' place."""
        means = {path: total.div_(self._counts[path]) for path, total in self._sums.items()}
        return {path: means[owner] for path, owner in self._owners.items()}
