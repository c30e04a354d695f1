"""What a report keeps beside it, and what the next one says has changed."""

import polars as pl
import pytest

from kbit.report.changes import find_changes, verdict_words
from kbit.report.snapshot import Snapshot, read_before, rotate, take_snapshot


@pytest.fixture(scope="module")
def snapshot(frames, fits):
    return take_snapshot(frames, fits)


def with_value(snapshot: Snapshot, spec: str, value: float | None) -> Snapshot:
    """Another score of ada-1 under a spec, on ho_pair."""
    chosen = (pl.col("model") == "ada-1") & (pl.col("spec") == spec) & (pl.col("task") == "ho_pair")
    return Snapshot(
        snapshot.cells.with_columns(pl.when(chosen).then(value).otherwise(pl.col("value")).alias("value")),
        snapshot.verdicts,
    )


def test_every_cell_stands_once_with_its_headline_score(snapshot, frames):
    assert snapshot.cells.height == frames["cells"].height
    assert snapshot.cells.select("model", "spec", "task").is_unique().all()
    unscored = snapshot.cells.filter(pl.col("status").is_in(["failed", "crashed"]))
    assert unscored["value"].to_list() == [None, None]
    assert snapshot.date == "2026-01-02T03:04:05Z"
    assert snapshot.verdicts["family"].unique().sort().to_list() == ["Ada", "Bel & Co"]


def test_the_previous_report_stays_until_the_tables_change(snapshot, tmp_path):
    assert rotate(tmp_path, snapshot) is None
    assert rotate(tmp_path, snapshot) is None  # made anew from the same tables
    later = with_value(snapshot, "int4-b64", 0.5)
    assert read_before(tmp_path, later).equals(snapshot)  # not drawn yet: against what is drawn
    assert rotate(tmp_path, later).equals(snapshot)
    assert rotate(tmp_path, later).equals(snapshot)
    assert read_before(tmp_path, later).equals(snapshot)
    last = with_value(snapshot, "int4-b64", 0.6)
    assert rotate(tmp_path, last).equals(later)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn", "previous"]


def test_a_report_that_died_while_its_tables_changed_places_costs_nothing_but_the_comparison(snapshot, tmp_path):
    rotate(tmp_path, snapshot)
    (tmp_path / "drawn").rename(tmp_path / "previous")
    later = with_value(snapshot, "int4-b64", 0.5)
    assert rotate(tmp_path, later).equals(snapshot)


def test_changes_name_new_gone_and_changed_cells(snapshot):
    later = with_value(snapshot, "int4-b64", 0.5)
    fewer = Snapshot(snapshot.cells.filter(pl.col("model") != "bel-3"), snapshot.verdicts)
    changes = find_changes(fewer, later)
    assert changes.new["model"].unique().to_list() == ["bel-3"]
    assert changes.gone.height == changes.moved.height == 0
    (row,) = changes.changed.to_dicts()
    assert (row["model"], row["spec"], row["task"], row["value"]) == ("ada-1", "int4-b64", "ho_pair", 0.5)
    assert row["was_value"] == pytest.approx(0.8, abs=0.2)
    assert find_changes(later, fewer).gone.height == changes.new.height
    assert find_changes(later, later).is_empty


def test_a_score_that_went_missing_is_a_change(snapshot):
    later = with_value(snapshot, "int4-b64", None)
    assert find_changes(snapshot, later).changed.height == find_changes(later, snapshot).changed.height == 1


def test_verdicts_that_moved(snapshot):
    ada = (pl.col("family") == "Ada") & (pl.col("metric") == "nats_per_byte")
    other = pl.when(ada).then(3.0).otherwise(pl.col("best_bits")).alias("best_bits")
    earlier = Snapshot(snapshot.cells, snapshot.verdicts.with_columns(other))
    moved = find_changes(earlier, snapshot).moved
    assert moved.select("family", "bit_accounting").rows() == [("Ada", "body_bits"), ("Ada", "total_bits")]
    assert moved["was_best_bits"].to_list() == [3.0, 3.0]
    assert verdict_words(4.0, 3.0, 4.0) == "4 bits (95 %: 3 to 4)"
    assert verdict_words(4.0, None, None) == verdict_words(4.0, 4.0, 4.0) == "4 bits"
    assert verdict_words(None, None, None) == "undetermined"
