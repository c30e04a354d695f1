"""A causal LM cut into the parts that data meets one after the other: stem, blocks, what follows them, head."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedModel

from kbit.models.architectures import Architecture


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A module, and which of the model's tensors are its own."""

    module: nn.Module
    names: dict[str, str]
    """Name within the model, as in its state dict -> name within the module."""
    constants: dict[str, Tensor]
    """Name within the module -> a buffer that is computed and never stored (frequencies of rotary embeddings)."""

    def __call__(self, tensors: Mapping[str, Tensor], *args: object, **kwargs: object) -> Any:
        """Run the module with `tensors`, by their names within the model, in place of its own."""
        own = {local: tensors[name] for name, local in self.names.items()}
        device = next((tensor.device for tensor in own.values()), None)
        constants = {local: tensor.to(device) for local, tensor in self.constants.items()}
        return functional_call(self.module, {**own, **constants}, args, kwargs)


@dataclass(frozen=True, slots=True, eq=False)
class ModelParts:
    """Every stored tensor of a model belongs to one part; a head tied to the embedding has it under its own name."""

    stem: Part
    """All that stands before the blocks. Its module is the model itself."""
    blocks: list[Part]
    after: list[Part]
    """What follows the blocks, in order."""
    head: Part


def cut_model(architecture: Architecture, model: PreTrainedModel) -> ModelParts:
    """The parts of a model with or without values."""
    modules = {module: path for path, module in model.named_modules()}
    blocks = [f"{architecture.blocks}.{i}" for i in range(len(model.get_submodule(architecture.blocks)))]
    # Where a model lacks such a module, transformers leaves None in its place.
    after = [path for path in architecture.after_blocks if path in modules.values()]
    head = modules[model.get_output_embeddings()]
    others = (*blocks, *after, head)
    state = model.state_dict()
    return ModelParts(
        stem=Part(
            model,
            {name: name for name in state if not is_within(name, others)},
            {name: tensor for name, tensor in constants_of(model, state) if not is_within(name, others)},
        ),
        blocks=[part_at(model, path, state) for path in blocks],
        after=[part_at(model, path, state) for path in after],
        head=part_at(model, head, state),
    )


def is_within(name: str, paths: tuple[str, ...]) -> bool:
    return name.startswith(tuple(f"{path}." for path in paths))


def constants_of(model: PreTrainedModel, state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    return ((name, tensor) for name, tensor in model.named_buffers() if name not in state)


def part_at(model: PreTrainedModel, path: str, state: Mapping[str, Tensor]) -> Part:
    prefix = f"{path}."
    return Part(
        model.get_submodule(path),
        {name: name.removeprefix(prefix) for name in state if name.startswith(prefix)},
        {name.removeprefix(prefix): tensor for name, tensor in constants_of(model, state) if name.startswith(prefix)},
    )
