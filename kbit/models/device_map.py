"""Which device holds which module of a model that lies whole on several devices."""

from bisect import bisect_left
from collections.abc import Collection, Sequence

from torch import nn
from transformers import PreTrainedModel

from kbit.models.architectures import find_architecture
from kbit.models.model_parts import Part, cut_model

Device = int | str
"""In the words of `device_map`: a GPU's number, or a name such as cpu."""


def map_devices(model: PreTrainedModel, itemsize: int, devices: Sequence[Device]) -> dict[str, Device]:
    """Path of a module -> its device, for `from_pretrained(device_map=...)`: consecutive blocks, loads alike in bytes.

    The stem goes with the first blocks, and so does a head that is tied to the embedding; what follows the blocks, and
    any other head, goes with the last. The heaviest device carries at most one piece more than an even share.
    model: with or without values. itemsize: bytes of one value in the compute dtype. ValueError for no devices.
    """
    architecture = find_architecture(model.config)
    parts = cut_model(architecture, model)
    last = [*parts.after, *([] if is_tied(model) else [parts.head])]
    sizes = [count_bytes([part], itemsize) for part in parts.blocks]
    sizes[0] += count_bytes([parts.stem], itemsize)
    sizes[-1] += count_bytes(last, itemsize)
    owners = [devices[i] for i in split_evenly(sizes, len(devices))]
    blocks = {f"{architecture.blocks}.{i}": owner for i, owner in enumerate(owners)}
    paths = {module: path for path, module in model.named_modules()}
    behind = {paths[part.module]: owners[-1] for part in last}
    return {**other_modules(model, "", {*blocks, *behind}, owners[0]), **blocks, **behind}


def is_tied(model: PreTrainedModel) -> bool:
    return model.get_output_embeddings().weight is model.get_input_embeddings().weight


def count_bytes(parts: Sequence[Part], itemsize: int) -> int:
    states = [(part.module.state_dict(), part) for part in parts]
    return sum(itemsize * state[local].numel() for state, part in states for local in part.names.values())


def other_modules(model: nn.Module, path: str, placed: Collection[str], device: Device) -> dict[str, Device]:
    """The modules at and below `path` that are not placed yet, by the highest path that holds no placed one.

    Modules with computed buffers alone are among them.
    """
    if path in placed:
        return {}
    prefix = f"{path}." if path else ""
    if not any(at.startswith(prefix) for at in placed):
        return {path: device}
    children = (f"{prefix}{name}" for name, _ in model.get_submodule(path).named_children())
    return {at: owner for child in children for at, owner in other_modules(model, child, placed, device).items()}


def split_evenly(sizes: Sequence[int], n_runs: int) -> list[int]:
    """Which of `n_runs` runs of consecutive pieces each piece belongs to, so that the largest run is smallest.

    The smallest limit under which filling run after run needs no more than `n_runs`, found by bisection.
    """
    if n_runs < 1:
        raise ValueError("a model needs a device")
    limits = range(max(sizes), sum(sizes) + 1)
    limit = limits[bisect_left(limits, True, key=lambda bound: fill_runs(sizes, bound)[-1] < n_runs)]
    return fill_runs(sizes, limit)


def fill_runs(sizes: Sequence[int], limit: int) -> list[int]:
    """The run of each piece, where a run takes pieces until the next one would exceed `limit`."""
    runs, run, load = [], 0, 0
    for size in sizes:
        if load + size > limit and load:
            run, load = run + 1, 0
        load += size
        runs.append(run)
    return runs
