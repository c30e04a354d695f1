"""The bench at which a worker evaluates cells: one model, loaded once, brought from spec to spec."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from time import perf_counter

import torch

from kbit.evaluation.applied_spec import AppliedSpec
from kbit.evaluation.baseline import Baselines
from kbit.evaluation.calibration import calibration_batches
from kbit.evaluation.cell_rows import cell_row
from kbit.evaluation.devices import choose_device, device_name, finish_work
from kbit.evaluation.divergence import Comparison
from kbit.evaluation.evaluate import TaskResult, evaluate_tasks
from kbit.evaluation.faults import DeviceLostError, describe, is_device_error, is_out_of_memory, is_passing
from kbit.evaluation.provenance import gpu_columns, peak_memory_bytes, provenance, utc_now
from kbit.evaluation.requests import Requests, read_requests
from kbit.evaluation.scorer import max_length
from kbit.evaluation.text_windows import check_context
from kbit.kernels import backends
from kbit.models.engine import Engine
from kbit.models.inputs import ModelInputs
from kbit.models.open_engine import open_engine
from kbit.spec.calibration import CALIBRATION
from kbit.spec.errors import UnsupportedError, UserError
from kbit.spec.footprint import Footprint
from kbit.spec.notes import note
from kbit.spec.quant import CONTROL, QuantSpec
from kbit.store.journal import JournalWriter
from kbit.store.paths import locator_path, requests_path
from kbit.store.shard_file import ShardCell, ShardFile, read_shard

FOOTPRINT_COLUMNS = ("bits_per_param", "body_bits", "total_bits", "quantized_parameters", "parameters")


def evaluate_job(job: dict) -> None:
    """Evaluate the job's cells in its order; keys as `kbit.evaluation.worker` states them."""
    shard = read_shard(Path(job["shard"]))
    torch.set_num_threads(job["threads"])
    torch.set_num_interop_threads(1)
    device = choose_device(job["device"])
    engine = open_engine(
        read_locator(shard.model),
        shard.dtype,
        str(device),
        job["trust_remote_code"],
        job["device_memory_gb"],
        any(cell.calibration is not None for cell in shard.cells),
    )
    note(f"device {job['device']}: {device_name(device)}, dtype {shard.dtype}, placement {engine.placement}")
    source = {
        **provenance(job["threads"], device_name(device)),
        **engine_columns(engine),
        **gpu_columns(engine.gpus),
        "trust_remote_code": job["trust_remote_code"],
    }
    cells = {cell.cell_id: cell for cell in shard.cells}
    prepare_kernels(engine, [cells[cell_id].spec for cell_id in job["cells"]])
    with JournalWriter(Path(job["journal"])) as journal:
        bench = Bench(shard, engine, source, journal)
        for spec, group in groupby((cells[cell_id] for cell_id in job["cells"]), key=lambda cell: cell.spec):
            bench.evaluate_spec(spec, list(group))


def prepare_kernels(engine: Engine, specs: Iterable[QuantSpec]) -> None:
    """Tell a CPU's kernels how much there is to quantize, so that they are built if that is worth it."""
    if engine.device.type == "cpu":
        with engine.quantized(CONTROL) as footprint:
            weights = footprint.quantized_parameters
        backends.prepare(weights * len({*specs} - {CONTROL}))


def engine_columns(engine: Engine) -> dict[str, object]:
    return {
        "architecture": engine.config.model_type,
        "prefix_sharing": engine.shares_prefixes,
        "placement": engine.placement,
        "gpus": engine.gpus,
    }


def read_locator(model: str) -> dict:
    path = locator_path(model)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} (where the model lies) cannot be read: {error}; plan the study again") from None


class Bench:
    """Evaluates cells on a model. Each leaves a row in the journal, and the first of those scored together a start."""

    def __init__(self, shard: ShardFile, engine: Engine, source: dict[str, object], journal: JournalWriter) -> None:
        self.shard = shard
        self.engine = engine
        self.source = source
        self.journal = journal
        self.baselines = Baselines(engine)
        self._requests: dict[tuple[str, str], Requests] = {}
        self._shown: dict[str, list[ModelInputs]] = {}

    def evaluate_spec(self, spec: QuantSpec, cells: Sequence[ShardCell]) -> None:
        """Quantize once, score every task. A spec the model cannot take gives each of its cells a row that says so."""
        if not (cells := self.readable(cells)):
            return
        # Quantizing counts as part of the first cell, so that a crash in it is laid at the spec's door.
        started_at = self.start(cells[0])
        began = perf_counter()
        with AppliedSpec(self.engine, spec) as applied:
            try:
                applied.shown = self.shown(cells[0])
                footprint = applied.apply()
                finish_work(self.engine.gpus)
            except UnsupportedError as error:
                self.write_all(cells, "unsupported", started_at, {"error": describe(error)})
                return
            except (OSError, RuntimeError, MemoryError) as error:
                self.fail(cells, started_at, {}, error)
                return
            values = {**footprint_columns(footprint), "quantize_seconds": perf_counter() - began}
            for group in self.groups(cells):
                began_at = started_at if group[0] is cells[0] else self.start(group[0])
                self.evaluate_cells(applied, group, began_at, values)

    def readable(self, cells: Sequence[ShardCell]) -> list[ShardCell]:
        """Without the cells of texts in windows that the model's context cannot hold; these get a row that says so."""
        kept = []
        for cell in cells:
            requests = self.requests(cell)
            try:
                check_context(requests, max_length(self.engine.config, requests))
            except UnsupportedError as error:
                self.write(cell, "unsupported", self.start(cell), {"error": describe(error)})
            else:
                kept.append(cell)
        return kept

    def groups(self, cells: Sequence[ShardCell]) -> list[list[ShardCell]]:
        """Cells of one spec that are scored together: all where a pass over the weights is dear, else each alone."""
        return [list(cells)] if self.engine.streams else [[cell] for cell in cells]

    def start(self, cell: ShardCell) -> str:
        """Note the start of a cell in the journal; returns its time."""
        started_at = utc_now()
        self.journal.start(cell.cell_id, {**self.source, "started_at": started_at})
        return started_at

    def evaluate_cells(
        self, applied: AppliedSpec, cells: Sequence[ShardCell], started_at: str, values: dict[str, object]
    ) -> None:
        """Score tasks on the quantized model and write their rows."""
        try:
            results, token_budget, seconds = self.score(applied, cells)
        except UnsupportedError as error:  # a streamed model is quantized while it is scored
            self.write_all(cells, "unsupported", started_at, {"error": describe(error)})
            return
        except (OSError, RuntimeError, MemoryError) as error:
            self.fail(cells, started_at, values, error)
            return
        # Tasks that shared a pass share its time by their tokens.
        seconds_per_token = seconds / sum(result.n_tokens for result in results)
        for cell, result in zip(cells, results, strict=True):
            status = "collapsed" if result.collapsed else "ok"
            outcome = {
                **result_columns(result),
                "token_budget": token_budget,
                "quantize_backend": applied.backend,
                "error": "the model's logits are not finite" if result.collapsed else None,
                "seconds": seconds_per_token * result.n_tokens,
            }
            self.write(cell, status, started_at, {**values, **outcome})

    def score(self, applied: AppliedSpec, cells: Sequence[ShardCell]) -> tuple[list[TaskResult], int, float]:
        """The results, the token budget they took, and the seconds of the pass.

        The budget is halved, down to one item a batch, while memory runs out. Baselines that are missing are recorded
        here, before the pass, so that a crash in one is laid at the door of a cell that needs it.
        """
        tasks = [self.requests(cell) for cell in cells]
        compared = [requests for requests, cell in zip(tasks, cells, strict=True) if cell.divergence]
        for token_budget in halvings(self.baselines.budget(compared, self.shard.token_budget)):
            try:
                self.complete_baselines(applied, compared, token_budget)
                comparisons = [self.comparison(task) if task in compared else None for task in tasks]
                began = perf_counter()
                results = evaluate_tasks(self.engine, tasks, token_budget, comparisons)
                return results, token_budget, perf_counter() - began
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or token_budget == 1:
                    raise
            if self.engine.device.type == "cuda":
                torch.cuda.empty_cache()
        raise AssertionError("halvings end at 1")

    def complete_baselines(self, applied: AppliedSpec, tasks: Sequence[Requests], token_budget: int) -> None:
        """Record the baselines that are not there; the spec is lifted for it, and stands on the model again after."""
        if missing := self.baselines.missing(tasks, token_budget):
            applied.lift()
            self.baselines.record(missing, token_budget)
        applied.apply()

    def comparison(self, task: Requests) -> Comparison:
        return Comparison(self.engine, self.baselines.of_task[task])

    def requests(self, cell: ShardCell) -> Requests:
        key = (cell.task, cell.requests)
        if key not in self._requests:
            self._requests[key] = read_requests(requests_path(*key))
        return self._requests[key]

    def shown(self, cell: ShardCell) -> list[ModelInputs]:
        """What the cell's spec is calibrated on; nothing for most. UnsupportedError: the model cannot read it."""
        if cell.calibration is None:
            return []
        if cell.calibration not in self._shown:
            requests = read_requests(requests_path(CALIBRATION, cell.calibration))
            longest = max_length(self.engine.config, requests)
            self._shown[cell.calibration] = calibration_batches(requests, longest, self.engine.device)
        return self._shown[cell.calibration]

    def fail(self, cells: Sequence[ShardCell], started_at: str, values: dict[str, object], error: Exception) -> None:
        """A passing fault is the cells' own and is tried again with their shard; any other goes up."""
        if not is_passing(error):
            raise error
        self.write_all(cells, "failed", started_at, {**values, "error": describe(error)})
        if is_device_error(error):
            raise DeviceLostError(describe(error)) from error

    def write_all(self, cells: Sequence[ShardCell], status: str, started_at: str, values: dict[str, object]) -> None:
        """The same outcome for several cells."""
        for cell in cells:
            self.write(cell, status, started_at, values)

    def write(self, cell: ShardCell, status: str, started_at: str, values: dict[str, object]) -> None:
        memory = peak_memory_bytes(self.engine.gpus)
        source = {**self.source, "started_at": started_at, "peak_memory_bytes": memory}
        self.journal.row(cell_row(self.shard, cell, status, source, values))


def halvings(token_budget: int) -> Iterator[int]:
    """The budget, its half, ... 1."""
    while token_budget >= 1:
        yield token_budget
        token_budget //= 2


def footprint_columns(footprint: Footprint) -> dict[str, object]:
    return {name: getattr(footprint, name) for name in FOOTPRINT_COLUMNS}


def result_columns(result: TaskResult) -> dict[str, object]:
    return {
        "metrics": [asdict(metric) for metric in result.metrics],
        "samples": result.samples,
        "greedy": result.greedy,
        "n_items": result.n_items,
        "n_tokens": result.n_tokens,
    }
