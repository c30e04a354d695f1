"""`kbit verify`: silence over what is whole; every damage named, with an act that mends it."""

import json
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kbit.cli import verify
from kbit.spec.cell import digest_cell, spec_identity
from kbit.store.lines import encode_line
from kbit.store.parts import write_table
from kbit.store.paths import journal_folder
from kbit.store.rows import encode_row
from kbit.store.shard_file import read_shard
from kbit.upkeep.finding import Finding
from kbit.upkeep.verify import files_to_read, verify_results


def findings(level: str = "problem") -> list[Finding]:
    return [finding for finding in verify_results(Counter()) if finding.level == level]


@pytest.mark.usefixtures("finished")
def test_a_whole_folder_is_found_whole():
    counts: Counter[str] = Counter()
    assert list(verify_results(counts)) == []
    assert counts == {
        "journals": 2,
        "rows in journals": 12,
        "parts": 2,
        "rows in parts": 12,
        "shard files": 2,
        "requests files": 4,  # of two tasks, each with its spec; all embedded models have one tokenizer
    }


@pytest.mark.usefixtures("folder")
def test_an_empty_folder_is_found_whole():
    assert list(verify_results(Counter())) == []


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x20
    path.write_bytes(content)


def only_journal(shard) -> Path:
    (path,) = journal_folder(shard.model.slug).iterdir()
    return path


def truncated_part(_folder, shard, _other) -> Path:
    shard.part.write_bytes(shard.part.read_bytes()[:-40])
    return shard.part


def flipped_page(_folder, shard, _other) -> Path:
    column = pq.ParquetFile(shard.part).metadata.row_group(0).column(0)
    flip(shard.part, column.data_page_offset + column.total_compressed_size // 2)
    return shard.part


def part_under_another_key(_folder, shard, _other) -> Path:
    return shard.part.rename(shard.part.with_name("all.0123456789ab.parquet"))


def part_of_another_slice(_folder, shard, _other) -> Path:
    return shard.part.rename(shard.part.with_name(f"int.{shard.key}.parquet"))


def part_of_another_model(_folder, shard, other) -> Path:
    other.part.unlink()
    return shard.part.rename(other.part.with_name(shard.part.name))


def part_that_contradicts_the_journal(folder, shard, _other) -> Path:
    return folder.write_part(shard, folder.rows(shard, ["ok"] * len(shard.cells), seed=1.0))


def part_with_a_cell_twice(_folder, shard, _other) -> Path:
    table = pq.read_table(shard.part, partitioning=None)
    write_table(pa.concat_tables([table, table.slice(0, 1)]), shard.part)
    return shard.part


def part_with_a_column_of_another_type(_folder, shard, _other) -> Path:
    table = pq.read_table(shard.part, partitioning=None)
    at = table.schema.get_field_index("seconds")
    write_table(table.set_column(at, "seconds", table["seconds"].cast(pa.string())), shard.part)
    return shard.part


def part_of_another_program(_folder, shard, _other) -> Path:
    pq.write_table(pa.table({"cell_id": ["c"]}), shard.part)
    return shard.part


def part_of_what_its_cells_are_not(folder, shard, _other) -> Path:
    """Its ids make the key of its name, and no journal says otherwise; but 3 bits are not 4."""
    only_journal(shard).unlink()
    rows = folder.rows(shard, ["ok"] * len(shard.cells))
    return folder.write_part(shard, [row | ({"bits": 4} if row["bits"] == 3 else {}) for row in rows])


def journal_from_the_future(_folder, shard, _other) -> Path:
    os.utime(only_journal(shard), (time.time() + 900, time.time() + 900))
    return only_journal(shard)


def requests_from_the_future(_folder, shard, _other) -> Path:
    os.utime(shard.requests[0], (time.time() + 900, time.time() + 900))
    return shard.requests[0]


def part_from_the_future(_folder, shard, _other) -> Path:
    os.utime(shard.part, (time.time() + 900, time.time() + 900))
    return shard.part


def shard_file_that_is_cut(_folder, shard, _other) -> Path:
    shard.file.write_bytes(shard.file.read_bytes()[:-20])
    return shard.file


def shard_file_of_other_cells(_folder, shard, _other) -> Path:
    return shard.file.rename(shard.file.with_name("all.0123456789ab.json"))


def requests_under_another_digest(_folder, shard, _other) -> Path:
    path = shard.requests[0]
    return path.rename(path.with_name(f"{path.stem.partition('.')[0]}.0123456789ab.parquet"))


def requests_that_are_cut(_folder, shard, _other) -> Path:
    shard.requests[0].write_bytes(shard.requests[0].read_bytes()[:-9])
    return shard.requests[0]


def requests_with_a_flipped_token(_folder, shard, _other) -> Path:
    path = shard.requests[0]
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    flip(path, column.dictionary_page_offset + column.total_compressed_size - 1)  # the end of its last page
    return path


MENDED_BY_THEIR_COMMAND = [
    truncated_part,
    flipped_page,
    part_under_another_key,
    part_of_another_slice,
    part_of_another_model,
    part_that_contradicts_the_journal,
    part_with_a_cell_twice,
    part_with_a_column_of_another_type,
    part_of_another_program,
    part_of_what_its_cells_are_not,
    part_from_the_future,
    journal_from_the_future,
    requests_from_the_future,
    shard_file_that_is_cut,
    shard_file_of_other_cells,
    requests_under_another_digest,
    requests_that_are_cut,
    requests_with_a_flipped_token,
]


@pytest.mark.parametrize("damage", MENDED_BY_THEIR_COMMAND, ids=lambda damage: damage.__name__)
def test_damage_is_named_with_the_command_that_mends_it(damage: Callable, finished):
    path = damage(finished, *finished.plan().shards)
    found = findings()
    assert found
    assert all(str(path) in finding.what for finding in found)
    for command in {re.match(r"(rm|touch) \S+?(?=[,:]? |,|$)", finding.do).group() for finding in found}:
        subprocess.run(command, shell=True, check=True)
    assert findings() == []


def test_a_flipped_bit_in_a_journal_is_found(finished):
    path = only_journal(finished.plan().shards[0])
    flip(path, path.read_bytes().index(b"\n") + 100)  # in the second line, which is a row
    (problem,) = findings()
    assert problem.what == f"journal {path}: 1 lines fail their checksum"
    assert "kbit prune --yes" in problem.do
    # What only the part has now is said too.
    (note,) = findings("note")
    assert note.what.endswith("1 of its rows stand in no journal; it is their only place")


def test_a_torn_last_line_is_the_trace_of_a_kill_and_no_damage(finished):
    shard = finished.plan().shards[0]
    path = only_journal(shard)
    content = path.read_bytes()
    path.write_bytes(content + content.splitlines()[0][:30])
    os.utime(path, (time.time() - 2e6, time.time() - 2e6))
    assert findings() == []
    (note,) = findings("note")
    assert "its last line is torn" in note.what


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cell_id": "f" * 32}, "names another cell or status"),
        ({"model_id": "other"}, "of the model other"),
        ({"bits": "four"}, "column bits of a row takes int32"),
        ({"karma": 1}, "columns that this release does not know: karma"),
        ({"task_identity": "other"}, "the cell id is not the digest of what the row says"),
    ],
)
def test_a_row_that_is_not_what_its_line_says_is_found(change, said, finished):
    shard = finished.plan().shards[0]
    row = finished.rows(shard, ["ok"] * len(shard.cells))[0]
    line = encode_line(row["cell_id"], "ok", {"row_version": 2, "row": encode_row(row) | change})
    path = only_journal(shard)
    path.write_bytes(path.read_bytes() + line)
    (problem,) = findings()
    assert problem.what.startswith(f"journal {path}: 1 rows: ")
    assert said in problem.what
    if "karma" in change:
        assert problem.do == "use the release that wrote it"
    else:
        assert problem.do.startswith(f"mv {path} elsewhere, and run the study again")


def test_an_event_of_a_newer_release_is_no_row_to_be_moved_away(finished):
    path = only_journal(finished.plan().shards[0])
    path.write_bytes(path.read_bytes() + encode_line("f" * 32, "applause", {"hands": 2}))
    (problem,) = findings()
    assert problem.what == f"journal {path}: 1 rows: this release does not know what applause is"
    assert problem.do == "use the release that wrote it"


def test_a_row_of_an_older_evaluation_or_of_a_spec_of_tomorrow_is_no_damage(finished):
    """Its id is that of its own version; and of a member that this release does not know, nothing can be said."""
    shard = finished.plan().shards[0]
    row = finished.rows(shard, ["ok"] * len(shard.cells))[0]
    older = row | {"evaluation_version": 0}
    spec = spec_identity(read_shard(shard.file).cells[0].spec)
    older["cell_id"] = digest_cell(row["model_id"], spec, row["task_identity"], row["dtype"], 0)
    unknown = row | {"data_type": "ternary", "cell_id": "f" * 32}
    finished.write_journal(shard, [older, unknown])
    assert findings() == []


def test_reading_much_tells_how_far_it_is_and_json_stays_json(finished, monkeypatch, capsys):
    monkeypatch.setattr(verify, "LINE_SECONDS", 0)
    truncated_part(finished, *finished.plan().shards)
    assert verify.verify(as_json=True) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["problems"] == 1
    lines = printed.err.splitlines()
    assert len(lines) == len(files_to_read())
    assert lines[-1].partition(" of ")[0] == lines[-1].partition(" of ")[2].partition(" MB")[0]  # all of it


def test_two_parts_that_contradict_each_other_are_found(finished):
    """Each is a copy of a row in the journals, but of different evaluations."""
    shard = finished.plan().shards[0]
    finished.write_study("more", bits=[3, 4, 5])
    larger = finished.plan("more").shards[0]
    rows = finished.rows(larger, ["ok"] * len(larger.cells), seed=1.0)
    finished.write_journal(larger, rows)
    finished.write_part(larger, rows)
    (problem,) = findings()
    assert f"6 rows: each contradicts the row of its cell in {min(shard.part, larger.part)}" in problem.what
    assert problem.do.startswith(f"rm {max(shard.part, larger.part)}, ")
    (note,) = findings("note")
    assert "6 cells were evaluated more than once, 6 of them with other scores" in note.what


def test_parts_of_two_studies_that_share_cells_are_whole(finished):
    finished.write_study("more", bits=[3, 4, 5])
    finished.finish(finished.plan("more").shards[0])
    assert findings() == []


def test_what_a_dead_writer_left_is_found_and_what_a_living_one_writes_is_not(finished):
    shard = finished.plan().shards[0]
    left = shard.part.with_name(f".{shard.part.name}.elsewhere-77.tmp")
    left.write_bytes(b"half a part")
    assert findings() == []
    os.utime(left, (time.time() - 2e5, time.time() - 2e5))
    (problem,) = findings()
    assert (str(left) in problem.what, problem.do) == (True, "kbit prune --yes")
