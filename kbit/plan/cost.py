"""The cost model: seconds, host memory and GPUs of a job, from its model's size, the cells still missing and the place.

Where the weights lie follows from sizes alone (kbit/spec/placement.py), how fast tokens are scored from
kbit/plan/rates.py. What is added to that, erring upwards:

* Starting: the interpreter, torch, the CUDA context. Weights are read from the file system once per job.
* `host`: the pristine linears cross from host memory once per spec; `mapped`: they are read from the file system.
* `streamed`: all weights cross once per spec, from the page cache if host memory has room for it, else from the file
  system, and the hidden states of all of a spec's tokens come and go between host and device once per layer; all of it
  beside the computing (kbit/models/streamed.py), so that only what takes longer than that is added.
* Quantizing is bound by memory, and by sorting for `quantile`; calibrated specs take more (kbit/plan/calibrating.py).
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import groupby

from kbit.plan.calibrating import PLAIN, Calibrating, count_calibrated
from kbit.plan.places import BYTES, place_model
from kbit.plan.rates import Rates
from kbit.spec.cell import Cell
from kbit.spec.flop import token_flop
from kbit.spec.hardware import Hardware
from kbit.spec.placement import ASPECT, BASELINE_BYTES, CPU, HOST_BYTES, Placement, hidden_room, width_bound

GPU_START_SECONDS = 60
CPU_START_SECONDS = 10
LINK_BYTES_PER_SECOND = 20e9
"""Between pinned host memory and a GPU, each way: PCIe 4 x16 gives 25 GB/s, PCIe 5 the double."""
PIN_BYTES_PER_SECOND = 4e9
"""Taking and pinning fresh host memory, page by page."""
DISK_BYTES_PER_SECOND = 2e9
"""Of a node's own disk, where hidden states go that host memory has no room for."""
PADDED = 1.05
"""Positions over tokens at most: what batches are held to."""
SPREAD = 2.0
"""Mean size of a task's masks, whose rows are padded to 16 values, over the square of its items' mean length: 1.14 to
1.26 of the embedded tasks, whose lengths are rather alike."""
POWERS_OF_TWO = 2
"""Pinned memory over what was asked for at most, where torch gives it out (kbit/models/traffic.py)."""
CALL_VALUES = 256
"""Of a token, beside masks, that blocks are called with: its rotation (2 x 128 values) or biases of attention (112
heads in BLOOM-176B), its position."""
HOST_MB = 2000
"""The interpreter, torch and lm-eval (about 1 GB), requests and rows."""
MARGIN = 2.0
"""A job asks for this many times the expected minutes: one that is cut off costs a start and the cell in flight."""
LEAST_MINUTES = 5


@dataclass(frozen=True, slots=True)
class Work:
    """Missing cells of one model, added up."""

    parameters: int
    """All of the model, tied tensors once."""
    linears: int
    """Weights that are quantized; all parameters where the data sheet does not say."""
    dtype: str
    token_budget: int
    """Tokens of one batch."""
    cells: int
    specs: int
    """The model is quantized once for each."""
    tokens: int
    pass_tokens: int
    """Tokens of the largest spec: what a streamed model keeps hidden states of."""
    pass_mask_values: int
    """Of the largest spec: values in the masks of its rows of shared prefixes, one for each pair of a row's tokens."""
    compared_tokens: tuple[int, ...]
    """Of each task that is compared with the model's own 16-bit run."""
    flop: int
    calibrating: Calibrating = PLAIN
    calibrates: bool = False
    """Whether a spec of the shard is calibrated, missing or not: its job leaves room for that (kbit/plan/places.py)."""

    @property
    def weight_bytes(self) -> int:
        return BYTES[self.dtype] * self.parameters

    @property
    def linear_bytes(self) -> int:
        return BYTES[self.dtype] * self.linears


@dataclass(frozen=True, slots=True)
class Seconds:
    """Expected wall time of a job by what it is spent on."""

    start: float
    read: float
    quantize: float
    transfer: float
    score: float

    @property
    def total(self) -> float:
        return sum(getattr(self, part.name) for part in fields(self))


@dataclass(frozen=True, slots=True)
class Cost:
    """What a shard asks for, and what it is expected to take."""

    minutes: int
    """Wall time to ask for; twice what is expected."""
    mem_mb: int
    """Host memory."""
    placement: Placement
    seconds: Seconds

    @property
    def gpus(self) -> int:
        return self.placement.gpus

    @property
    def gpu_hours(self) -> float:
        """Expected, without margin; 0 on a CPU."""
        return self.gpus * self.seconds.total / 3600


IDLE = Cost(minutes=LEAST_MINUTES, mem_mb=HOST_MB, placement=CPU, seconds=Seconds(0, 0, 0, 0, 0))
"""Nothing is missing: the job only writes its part from the journal."""


def add_up(missing: Sequence[Cell], token_budget: int, calibrates: bool = False) -> Work:
    """The work of missing cells of one model; at least one. calibrates: whether a spec of their shard is calibrated."""
    model = missing[0].model
    tokens: Counter[object] = Counter()
    mask_values: Counter[object] = Counter()
    # Runs of cells share a spec: it is hashed once for them all.
    for _, run in groupby(missing, key=lambda cell: id(cell.spec)):
        cells = list(run)
        tokens[cells[0].spec] += sum(map(cell_tokens, cells))
        mask_values[cells[0].spec] += sum(map(cell_mask_values, cells))
    calibrating = count_calibrated(missing)
    # A job runs the 16-bit model once more over every text that others are compared with.
    baselines = list({cell.task.name: cell for cell in missing if cell.task.divergence}.values())
    compared_tokens = tuple(map(cell_tokens, baselines))
    return Work(
        parameters=model.parameters,
        linears=model.quantized_parameters or model.parameters,
        dtype=missing[0].dtype,
        token_budget=token_budget,
        cells=len(missing),
        specs=len(tokens),
        tokens=tokens.total() + sum(compared_tokens),
        pass_tokens=max(tokens.values()) + calibrating.tokens,
        pass_mask_values=max(mask_values.values()),
        compared_tokens=compared_tokens,
        flop=sum(map(cell_flop, [*missing, *baselines])),
        calibrating=calibrating,
        calibrates=calibrates or calibrating.specs > 0,
    )


def cell_tokens(cell: Cell) -> int:
    """Tokens that go through the model, as the list of tasks estimates them."""
    return cell.task.items * cell.task.entry.tokens_per_item


def cell_mask_values(cell: Cell) -> int:
    """One mask for each item, all of whose texts are a row; texts that are scored whole need none."""
    items = 0 if cell.task.kind == "perplexity" else cell.task.items
    return items * int(SPREAD * cell.task.entry.tokens_per_item**2)


def cell_flop(cell: Cell) -> int:
    """Operations of a cell's forward passes; comparing with the 16-bit run takes the head's once more."""
    model = cell.model
    per_token = token_flop(model.parameters, model.quantized_parameters, cell.task.kind)
    if cell.task.divergence:
        per_token += per_token - token_flop(model.parameters, model.quantized_parameters, "zero-shot")
    return cell_tokens(cell) * per_token


def place(work: Work, hardware: Hardware) -> Placement:
    """Where the weights will lie, and on how many GPUs."""
    return place_model(work.parameters, work.linears, work.dtype, hardware, work.calibrates)


def job_cost(work: Work, hardware: Hardware, rates: Rates) -> Cost:
    """What a job of this work asks for."""
    placement = place(work, hardware)
    score = rates.scoring_seconds(work.tokens, work.flop, work.cells)
    if placement.kind == "streamed":
        read, transfer = 0.0, streaming_seconds(work, hardware, score)
    else:
        read = work.weight_bytes / (1e9 * hardware.read_gb_per_second)
        transfer = work.specs * pristine_seconds(work, placement, hardware)
    is_16_bit = placement.gpus > 0 and work.dtype != "float32"
    calibrating = work.calibrating.seconds(work.linears, width(work), rates.flop_per_second, is_16_bit)
    seconds = Seconds(
        start=GPU_START_SECONDS if placement.gpus else CPU_START_SECONDS,
        read=read,
        quantize=work.specs * work.linears * rates.quantize_seconds + calibrating,
        transfer=transfer,
        score=score,
    )
    minutes = max(LEAST_MINUTES, math.ceil(MARGIN * seconds.total / 60))
    return Cost(minutes, host_mb(work, placement, hardware), placement, seconds)


def pristine_seconds(work: Work, placement: Placement, hardware: Hardware) -> float:
    """Per spec: bringing the pristine weights of the linears back to the device."""
    if placement.kind == "twin":
        return 0.0
    is_host = placement.kind == "host"
    return work.linear_bytes / (LINK_BYTES_PER_SECOND if is_host else 1e9 * hardware.read_gb_per_second)


def streaming_seconds(work: Work, hardware: Hardware, score: float) -> float:
    """What streaming takes beyond the computing, `score` seconds of it: moving weights and hidden states."""
    reads = 1 if keeps_weights(work, hardware) else work.specs
    files = reads * work.weight_bytes / (1e9 * hardware.read_gb_per_second)
    states = work.tokens * width(work) * BYTES[work.dtype]
    link = (work.specs * work.weight_bytes + layers(work) * states) / LINK_BYTES_PER_SECOND
    if keeps_hidden(work, hardware):
        disk, room = 0.0, states / PIN_BYTES_PER_SECOND
    else:
        disk, room = 2 * layers(work) * states / DISK_BYTES_PER_SECOND, 0.0
    return room + max(0.0, max(files, link, disk) - score)


def host_mb(work: Work, placement: Placement, hardware: Hardware) -> int:
    """Host memory to ask for."""
    match placement.kind:
        case "twin":
            needed = 1e6 * HOST_MB + (1 if placement.gpus else 2) * work.weight_bytes + beside_bytes(work, placement)
        case "host":
            # Read, then pinned: never all of both, as the weights leave for the device in between. A job that finds
            # less than the second keeps no copy (kbit/spec/placement.py).
            needed = max(1e6 * HOST_MB + 1.1 * work.weight_bytes, HOST_BYTES + work.linear_bytes)
            needed += beside_bytes(work, placement)
        case "mapped":
            needed = hardware.host_memory_bytes
        case "streamed":
            needed = streamed_bytes(work, hardware) + (work.weight_bytes if keeps_weights(work, hardware) else 0)
            needed = min(needed, hardware.host_memory_bytes)
    return math.ceil(needed / 1e6)


def beside_bytes(work: Work, placement: Placement) -> float:
    """What host memory holds beside weights: of tasks that are compared, and of calibrating."""
    return baseline_bytes(work) + work.calibrating.host_bytes(width(work), BYTES[work.dtype], placement.gpus)


def keeps_weights(work: Work, hardware: Hardware) -> bool:
    """Whether the page cache can hold a streamed model's files from spec to spec, beside the hidden states."""
    return streamed_bytes(work, hardware) + work.weight_bytes <= hardware.host_memory_bytes


def streamed_bytes(work: Work, hardware: Hardware) -> float:
    """What streaming needs of host memory: the process, the block in use and the next, what all of a pass's batches
    wait with, and hidden states if they fit beside it."""
    hidden = hidden_bytes(work) if keeps_hidden(work, hardware) else 0
    return HOST_BYTES + 2 * block_bytes(work) + waiting_bytes(work) + hidden


def keeps_hidden(work: Work, hardware: Hardware) -> bool:
    """Whether host memory has room for the hidden states of a pass; else they go to a file."""
    room = hidden_room(hardware.host_memory_bytes, block_bytes(work))
    return hidden_bytes(work) + waiting_bytes(work) <= room


def waiting_bytes(work: Work) -> float:
    """What is kept for every batch of a pass beside its hidden states, and for tasks that are compared."""
    values = work.pass_mask_values + CALL_VALUES * work.pass_tokens
    return POWERS_OF_TWO * PADDED * values * BYTES[work.dtype] + baseline_bytes(work)


def baseline_bytes(work: Work) -> float:
    """Last hidden states of the 16-bit run, for the tasks that are compared with it."""
    sizes = (tokens * width(work) * BYTES[work.dtype] for tokens in work.compared_tokens)
    return sum(min(size, BASELINE_BYTES) for size in sizes)


def hidden_bytes(work: Work) -> float:
    """Hidden states of a pass: of all tokens of one spec, and of the padding between them."""
    return PADDED * work.pass_tokens * width(work) * BYTES[work.dtype]


def block_bytes(work: Work) -> float:
    return work.linear_bytes / layers(work)


def width(work: Work) -> float:
    """An upper bound of the hidden size."""
    return width_bound(work.linears)


def layers(work: Work) -> float:
    """Layers of a model that is as wide as that."""
    return width(work) / ASPECT
