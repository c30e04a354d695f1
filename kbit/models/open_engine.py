"""From where a model lies to an engine that runs it, with its weights where they fit."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from kbit.models.architectures import find_architecture, linears
from kbit.models.device_map import map_devices
from kbit.models.engine import Engine
from kbit.models.load import empty_model, find_dtype, load_config, load_model
from kbit.models.locator import Locator, describe
from kbit.models.memory import device_memory_bytes, host_memory_bytes
from kbit.models.pristine import keep_pristine
from kbit.models.quantized import distinct_weights
from kbit.models.resident import Resident
from kbit.models.stored_weights import open_stored_weights
from kbit.models.streamed import Streamed
from kbit.spec.errors import UserError
from kbit.spec.notes import note
from kbit.spec.placement import BATCH_BYTES, Placement, choose_placement, hidden_room, solving_bytes

REASONS: Mapping[str, str] = {
    "twin": "pristine and quantized weights fit side by side",
    "host": "the weights fit once, and the pristine values of the linears into host memory",
    "mapped": "the weights fit once, and the pristine values of the linears are read from their files again",
    "streamed": "the weights do not fit, so that the layers pass through the device in turn",
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of a model in the compute dtype."""

    weights: int
    """All, tied ones once."""
    linears: int
    block: int
    """The largest."""
    solving: int = 0
    """Beside the weights, while a calibrated spec is solved for."""


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that a job may use."""

    device: float
    """Of each device."""
    n_devices: int
    host: float


def open_engine(
    locator: Locator,
    dtype: str,
    device: str,
    trust_remote_code: bool = False,
    device_memory_gb: float | None = None,
    calibrates: bool = False,
) -> Engine:
    """The engine of a model in `dtype` (float32, float16 or bfloat16) on `device` (cpu or cuda).

    trust_remote_code: run code that comes with the model's files. device_memory_gb: GB of each device to use at most;
    None: what is free of the GPUs; on a CPU, which has the host's memory, no limit. With one, the CPU stands for a
    device of this size. calibrates: leave room for solving calibrated specs. Says on stderr what it chose and why.
    UserError as `load_model` raises it, or if the model
    would have to be streamed and its files cannot be.
    """
    if device == "cpu" and device_memory_gb is None:
        return Resident(load_model(locator, dtype, device, trust_remote_code))
    model = empty_model(load_config(locator, trust_remote_code), trust_remote_code)
    sizes, room = weigh(model, find_dtype(dtype), calibrates), find_room(device, device_memory_gb)
    placement = place(sizes, room, device)
    if placement.kind == "streamed":
        engine = open_streamed(locator, dtype, device, trust_remote_code, hidden_room(room.host, sizes.block))
    else:
        engine = open_resident(locator, dtype, device, trust_remote_code, placement, model)
    note(explain(engine, describe(locator), dtype, sizes, room))
    return engine


def weigh(model: PreTrainedModel, dtype: torch.dtype, calibrates: bool = False) -> Sizes:
    """Of a model with or without values."""
    weights = distinct_weights(model, linears(model)).values()
    blocks = model.get_submodule(find_architecture(model.config).blocks)
    return Sizes(
        weights=dtype.itemsize * sum(parameter.numel() for parameter in model.parameters()),
        linears=dtype.itemsize * sum(weight.numel() for weight in weights),
        block=dtype.itemsize * max(sum(parameter.numel() for parameter in block.parameters()) for block in blocks),
        solving=int(solving_bytes(model.config.get_text_config().hidden_size)) if calibrates else 0,
    )


def find_room(device: str, device_memory_gb: float | None) -> Room:
    limit = math.inf if device_memory_gb is None else 1e9 * device_memory_gb
    if device == "cpu":
        return Room(limit, 1, host_memory_bytes())
    return Room(min(limit, device_memory_bytes()), torch.cuda.device_count(), host_memory_bytes())


def place(sizes: Sizes, room: Room, device: str) -> Placement:
    """Beside a limited CPU's weights no room is kept for batches: they have the host's memory."""
    kept_free = 0 if device == "cpu" else BATCH_BYTES + sizes.solving
    return choose_placement(sizes.weights, sizes.linears, room.device, room.n_devices, room.host, kept_free)


def open_resident(
    locator: Locator, dtype: str, device: str, trust_remote_code: bool, placement: Placement, empty: PreTrainedModel
) -> Resident:
    """empty: the model without values."""
    device_map = None
    if placement.gpus > 1:
        device_map = map_devices(empty, find_dtype(dtype).itemsize, range(placement.gpus))
    model = load_model(locator, dtype, device, trust_remote_code, device_map)
    stored = open_stored_weights(locator, trust_remote_code) if placement.kind == "mapped" else None
    return Resident(model, keep_pristine(model, placement.kind, stored))


def open_streamed(locator: Locator, dtype: str, device: str, trust_remote_code: bool, hidden_bytes: float) -> Streamed:
    stored = open_stored_weights(locator, trust_remote_code)
    if stored is None:
        raise UserError(
            f"{describe(locator)} does not fit on the device and cannot be streamed, which takes safetensors, or .bin "
            "files in torch's format since 1.6, that need no conversion (more GPUs may hold it: max_gpus of a profile)"
        )
    return Streamed(stored, find_dtype(dtype), torch.device(device), describe(locator), hidden_bytes)


def explain(engine: Engine, name: str, dtype: str, sizes: Sizes, room: Room) -> str:
    """One line."""
    devices = f"{engine.gpus} GPU{'s' if engine.gpus > 1 else ''}" if engine.gpus else "a CPU"
    use = f"{gigabytes(room.device)} to use{' each' if engine.gpus > 1 else ''}"
    return (
        f"{name}: {gigabytes(sizes.weights)} of weights in {dtype} on {devices} with {use}: "
        f"{engine.placement}, {REASONS[engine.placement]} (host memory: {gigabytes(room.host)})"
    )


def gigabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.3g} GB"
