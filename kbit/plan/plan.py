"""The plan of a study: its cells, shards and requests files. A library call of about a second, no torch."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kbit import __version__
from kbit.plan.cells import expand_cells
from kbit.plan.hub import write_task_locator
from kbit.plan.imports import Import
from kbit.plan.outliers import OutliersJob, plan_outliers
from kbit.plan.shards import Shard, cut_shards
from kbit.spec.cell import Cell
from kbit.spec.digest import digest_json
from kbit.spec.errors import UserError
from kbit.spec.requests import RequestsSpec
from kbit.spec.study import Study, load_study
from kbit.spec.tasks import Task
from kbit.store.atomic import write_json_if_absent, write_json_if_changed
from kbit.store.disk import cannot_write
from kbit.store.paths import RESULTS, locator_path, part_path, requests_path, requests_spec_path, tables_folder


@dataclass(frozen=True)
class Plan:
    """Everything a study asks for."""

    study: Study
    cells: tuple[Cell, ...]
    shards: tuple[Shard, ...]
    imports: tuple[Import, ...] = ()
    """Published tables."""

    @cached_property
    def parts(self) -> list[Path]:
        """Every part of the study: of its shards, then of its published tables."""
        return [shard.part for shard in self.shards] + [one.part for one in self.imports]

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """All that is read: the study's tasks, and the text that its specs are calibrated on, if any is."""
        is_calibrated = any(cell.calibration is not None for cell in self.cells)
        return (*self.study.tasks, self.study.calibration) if is_calibrated else self.study.tasks

    @cached_property
    def requests(self) -> dict[Path, RequestsSpec]:
        """Requests files by path: one per task and tokenizer."""
        specs = (RequestsSpec(task, model) for model in self.study.models for task in self.tasks)
        return {requests_path(spec.task.name, spec.digest): spec for spec in specs}

    @cached_property
    def key(self) -> str:
        """Digest of all parts, of how the study presents them, and of the version of this software, 12 hex digits."""
        config = self.study.config
        presented = [[model.name, model.family, model.model_id, model.tokens_seen] for model in self.study.models]
        tasks = [task.entry.model_dump(mode="json", exclude={"items", "tokens_per_item"}) for task in self.study.tasks]
        parts = sorted(map(str, [*self.parts, *(job.output for job in self.outliers)]))
        presented += [one.presented for one in self.imports]
        return digest_json([parts, presented, tasks, config.name, config.title, __version__])[:12]

    @cached_property
    def outliers(self) -> tuple[OutliersJob, ...]:
        """What the study asks to see of its models' hidden units."""
        return plan_outliers(self.study)

    def outliers_job(self, model: str, key: str) -> OutliersJob:
        """One of these, by the wildcards of its path."""
        return next(job for job in self.outliers if (job.model.slug, job.key) == (model, key))

    def published(self, publication: str, key: str) -> Import:
        """The import of a part, by the wildcards of its path."""
        return next(one for one in self.imports if (one.publication.name, one.key) == (publication, key))

    def shard(self, model: str, slice: str, key: str) -> Shard:  # noqa: A002 - Snakemake's wildcards, by name
        """The shard of a part, by the wildcards of its path."""
        return self._shards[part_path(model, slice, key)]

    @cached_property
    def _shards(self) -> dict[Path, Shard]:
        return {shard.part: shard for shard in self.shards}

    @property
    def stamp(self) -> Path:
        """Written by the tables rule: says that the tables are of this plan."""
        return tables_folder(self.study.name) / f"plan.{self.key}"

    @property
    def unbuilt(self) -> list[str]:
        """What the study asks for that this release can plan but not evaluate."""
        return sorted({option for spec in {cell.spec for cell in self.cells} for option in spec.unbuilt})

    @property
    def unpinned(self) -> list[str]:
        """Models and tasks of the hub without a revision: their weights and data are not identified."""
        models = [model.name for model in self.study.models if model.hub_id and not model.revision]
        tasks = [task.name for task in self.tasks if task.entry.dataset and not task.entry.revision]
        return models + tasks


def plan_study(path: Path) -> Plan:
    """Plan the study of a YAML file. UserError for every mistake in it."""
    study = load_study(path)
    cells = expand_cells(study)
    if not cells and not study.publications:
        raise UserError(f"{path} asks for no cell: grids is empty and baseline is false")
    imports = tuple(map(Import, study.publications))
    return Plan(study, cells, cut_shards(cells, study.config.token_budget), imports)


def check_runnable(plan: Plan) -> None:
    """Refuse, before any job starts, what could not be evaluated."""
    where = plan.study.path
    if plan.unbuilt:
        raise UserError(f"{where} asks for {', '.join(plan.unbuilt)}, which this release plans but cannot evaluate yet")
    if plan.unpinned:
        first, number = plan.unpinned[0], len(plan.unpinned)
        raise UserError(
            f"{number} models and tasks have no revision, {first!r} first: `kbit pin` fills it in ({where})"
        )


def write_inputs(plan: Plan) -> None:
    """Write what jobs read: shard files (never changed), requests specs, where each model lies now, hub data sets.

    UserError if the disk does not take them.
    """
    try:
        write_files(plan)
    except OSError as error:
        raise cannot_write("the plan's file", Path(error.filename or RESULTS), error) from None


def write_files(plan: Plan) -> None:
    for shard in plan.shards:
        write_json_if_absent(shard.file, shard.to_json)
    for spec in plan.requests.values():
        write_json_if_changed(requests_spec_path(spec.task.name, spec.digest), spec.to_json())
    for job in plan.outliers:
        write_json_if_absent(job.file, job.to_json)
    for model in plan.study.models:
        sizes = {"parameters": model.parameters, "quantized_parameters": model.quantized_parameters}
        write_json_if_changed(locator_path(model.slug), {**model.locator(), **sizes})
    for task in plan.tasks:
        write_task_locator(task)
