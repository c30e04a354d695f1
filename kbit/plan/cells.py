"""From the grid to the cells: every (model, quantization spec, task) of a study, once."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from kbit.spec.calibration import calibration_identity
from kbit.spec.cell import Cell, cell_id, spec_identity
from kbit.spec.grid import GridConfig
from kbit.spec.models import Model
from kbit.spec.quant import CONTROL, QuantSpec
from kbit.spec.study import Study
from kbit.spec.tasks import Task


def expand_cells(study: Study) -> tuple[Cell, ...]:
    """All cells, model by model in the order of the data sheet, the 16-bit control first."""
    calibration = study.calibration
    shown = None if calibration is None else calibration_identity(calibration)
    grids = [(grid, [(spec, spec_identity(spec)) for spec in grid.specs(shown)]) for grid in study.config.grids]
    control = [(CONTROL, spec_identity(CONTROL))] if study.config.baseline else []
    dtype = study.config.dtype
    cells = []
    for model in study.models:
        chosen = {}
        for specs, tasks in choices(study, grids, control, model):
            for spec, identity in specs:
                for task in tasks:
                    digest = cell_id(model.model_id, identity, task.identity, dtype)
                    if digest not in chosen:
                        text = None if spec.calibration is None else calibration
                        chosen[digest] = Cell(digest, model, spec, task, dtype, text)
        cells.extend(chosen.values())
    return tuple(cells)


def choices(
    study: Study,
    grids: list[tuple[GridConfig, list[tuple[QuantSpec, str]]]],
    control: list[tuple[QuantSpec, str]],
    model: Model,
) -> Iterator[tuple[list[tuple[QuantSpec, str]], list[Task]]]:
    """The specs and tasks that apply to one model: the control, then every grid that names it."""
    yield control, list(study.tasks)
    for grid, specs in grids:
        if any(fnmatchcase(model.name, pattern) for pattern in grid.models):
            yield specs, [task for task in study.tasks if grid.tasks is None or task.name in grid.tasks]
