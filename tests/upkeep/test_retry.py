"""`kbit retry`: the cells that failed are tried again, and no other."""

import sys

import pytest

from kbit.cli import main
from kbit.plan.missing import FinishedCells, missing_cells
from kbit.store.journal import read_journals
from kbit.store.paths import journal_folder
from kbit.upkeep.retry import find_failures


@pytest.fixture
def with_failures(folder):
    """Of two shards, one with two failed cells and a crashed one."""
    folder.write_study()
    first, second = folder.plan().shards
    folder.finish(first, ["ok", "failed", "ok", "crashed", "failed", "ok"])
    folder.finish(second)
    return folder


def retry(monkeypatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["kbit", "retry", "config/small.yaml", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code


def test_the_part_goes_and_its_failed_cells_alone_are_missing(with_failures, monkeypatch, capsys):
    first, second = with_failures.plan().shards
    retry(monkeypatch)
    printed = capsys.readouterr().out
    assert f"{first.part} (a): 2 failed\n    1 x failed: disk of cell " in printed
    assert "1 parts dropped: 2 cells are tried again by `kbit run config/small.yaml`" in printed
    assert (first.part.exists(), second.part.exists()) == (False, True)
    assert missing_cells(first, FinishedCells()) == [first.cells[1].cell_id, first.cells[4].cell_id]
    assert list(find_failures(with_failures.plan())) == []


def test_rows_that_the_part_alone_has_are_kept(with_failures, monkeypatch):
    first = with_failures.plan().shards[0]
    for journal in journal_folder(first.model.slug).iterdir():
        journal.unlink()
    retry(monkeypatch)
    assert set(read_journals(journal_folder(first.model.slug)).rows) == {
        cell.cell_id for number, cell in enumerate(first.cells) if number not in (1, 4)
    }


def test_a_dry_run_only_lists(with_failures, monkeypatch, capsys):
    retry(monkeypatch, "--dry-run")
    assert ": 2 failed" in capsys.readouterr().out
    assert all(shard.part.exists() for shard in with_failures.plan().shards)


@pytest.mark.usefixtures("finished")
def test_nothing_to_try_again_is_said(monkeypatch, capsys):
    retry(monkeypatch)
    assert "nothing to try again" in capsys.readouterr().out
