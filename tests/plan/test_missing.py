"""What is still missing of a plan's shards: without a part, by the journals, which are looked at once per model."""

from pathlib import Path

import pytest

from kbit.plan import missing
from kbit.plan.missing import FinishedCells, missing_cells
from kbit.plan.plan import plan_study
from kbit.store.journal import JournalScan
from kbit.store.lines import encode_line
from kbit.store.paths import journal_folder


@pytest.fixture
def shards(tmp_path, monkeypatch):
    """Two shards of one model, in a folder without results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(missing, "_scans", {})  # paths are relative: another test's would be taken for this one's
    plan = plan_study(Path(__file__).parents[2] / "config/paper.yaml")
    return [shard for shard in plan.shards if shard.model.name == "opt-2.7b"][:2]


def write_journal(shard, name, cells):
    folder = journal_folder(shard.model.slug)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_bytes(b"".join(encode_line(cell.cell_id, "ok", {"row": {}}) for cell in cells))


def test_rows_in_any_journal_of_the_model_count(shards):
    first, second = shards
    write_journal(first, "mixed", [first.cells[0], second.cells[3]])
    finished = FinishedCells()
    for shard, done in ((first, 0), (second, 3)):
        assert missing_cells(shard, finished) == [
            cell.cell_id for number, cell in enumerate(shard.cells) if number != done
        ]


def test_a_part_leaves_nothing_missing(shards):
    first, second = shards
    first.part.parent.mkdir(parents=True)
    first.part.touch()
    finished = FinishedCells()
    assert (missing_cells(first, finished), len(missing_cells(second, finished))) == ([], len(second.cells))


def test_the_journals_of_a_model_are_looked_at_once_for_all_of_its_shards(shards, monkeypatch):
    looks = []
    look = JournalScan.finished_cells
    monkeypatch.setattr(JournalScan, "finished_cells", lambda scan: looks.append(scan.folder) or look(scan))
    first, second = shards
    finished = FinishedCells()
    missing_cells(first, finished)
    write_journal(first, "later", first.cells)
    assert len(missing_cells(second, finished)) == len(second.cells)
    assert looks == [journal_folder(first.model.slug)]
    assert missing_cells(first, FinishedCells()) == []
