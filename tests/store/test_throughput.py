"""results/throughput.json: read back as written, merged by key, never in the way."""

import dataclasses

import pytest

from kbit.spec.errors import UserError
from kbit.store.throughput import (
    ENOUGH_CELLS,
    PredictionRatio,
    Throughput,
    ThroughputTable,
    read_throughput,
    write_throughput,
)

ROW = Throughput(
    device="cpu",
    gpus=0,
    placement="twin",
    architecture="gpt_neox",
    parameters=91_008,
    dtype="float32",
    threads=1,
    model_ids=("local-1", "local-2"),
    cells=12,
    tokens=40_000,
    tokens_per_second=1e5,
    flop_per_second=2e9,
    cell_seconds=0.02,
    quantize_seconds=None,
    measured_at="2026-01-02T00:00:00+00:00",
)
ERROR = PredictionRatio(12, 1.5, 0.9, 2.5, ("assumed",))


def test_a_table_reads_back_as_it_was_written(tmp_path):
    table = ThroughputTable((ROW,), {"tiny": ERROR})
    write_throughput(tmp_path / "results/throughput.json", table)
    assert read_throughput(tmp_path / "results/throughput.json") == table
    assert read_throughput(tmp_path / "none.json") == ThroughputTable()


def test_rows_of_other_studies_stay():
    other = dataclasses.replace(ROW, device="NVIDIA H100 80GB HBM3", gpus=1)
    assert ThroughputTable((ROW,)).merged([other]).rows == (other, ROW)


LATER, SOONER = "2026-01-03T00:00:00+00:00", "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("cells", "new_cells", "measured_at", "stays"),
    [
        (12, 11, LATER, "known"),
        (12, 12, LATER, "new"),
        (1000, ENOUGH_CELLS - 1, LATER, "known"),
        (1000, ENOUGH_CELLS, LATER, "new"),
        # The tables of an old study are built again.
        (1000, 2000, SOONER, "known"),
        (ENOUGH_CELLS - 1, 2000, SOONER, "new"),
        # The same study's, with more cells by now or with fewer.
        (1000, 2000, ROW.measured_at, "new"),
    ],
)
def test_of_two_rows_of_one_key_the_newer_stays_if_it_has_enough_cells(cells, new_cells, measured_at, stays):
    known = dataclasses.replace(ROW, cells=cells)
    new = dataclasses.replace(ROW, cells=new_cells, measured_at=measured_at, tokens_per_second=2e5)
    assert ThroughputTable((known,)).merged([new]).rows == (new if stays == "new" else known,)


def test_a_prediction_belongs_to_its_study():
    table = ThroughputTable((ROW,), {"tiny": ERROR}).with_prediction("paper", ERROR)
    assert set(table.predictions) == {"tiny", "paper"}
    assert set(table.with_prediction("tiny", None).predictions) == {"paper"}


def test_a_file_of_another_version_is_left_aside(tmp_path):
    path = tmp_path / "throughput.json"
    path.write_text('{"version": 0, "lines": []}')
    assert read_throughput(path) == ThroughputTable()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"version": 2}', '{"version": 2, "rows": [{}], "predictions": {}}']
)
def test_a_damaged_file_is_named_with_the_command_that_drops_it(tmp_path, content):
    path = tmp_path / "throughput.json"
    path.write_text(content)
    with pytest.raises(UserError, match=rf"{path} cannot be read .*rm {path}"):
        read_throughput(path)


def test_predictions_of_another_shape_are_a_damaged_file(tmp_path):
    file = tmp_path / "throughput.json"
    file.write_text('{"version": 2, "rows": [], "predictions": []}')
    with pytest.raises(UserError, match="drop it with `rm "):
        read_throughput(file)
