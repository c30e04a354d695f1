"""Parts come back as written, and whatever is wrong with a file is said in one line."""

import random
import shlex
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kbit.spec.errors import UserError
from kbit.spec.rows import COLUMNS, ROW_VERSION
from kbit.store.parts import VERSION_KEY, DamagedPartError, part_rows, read_part, read_parts, write_part
from kbit.store.rows import check_row
from kbit.store.schema import SCHEMA, polars_schema

CELLS = [f"{number:032x}" for number in range(8)]


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_rows_come_back_bit_for_bit(data, row_strategy, row_bits, tmp_path):
    rows = [data.draw(row_strategy(cell)) for cell in CELLS[:2]]
    write_part(rows[::-1], tmp_path / "p.parquet", {})
    assert [row_bits(row) for row in part_rows(read_part(tmp_path / "p.parquet"))] == [row_bits(row) for row in rows]


def test_a_part_is_sorted_and_states_its_schema(make_row, tmp_path):
    path = tmp_path / "deep" / "p.parquet"
    write_part([make_row(cell) for cell in reversed(CELLS)], path, {"key": "0123456789ab"})
    frame = read_part(path)
    assert frame["cell_id"].to_list() == CELLS
    assert frame.schema == polars_schema()
    assert frame.columns == [column.name for column in COLUMNS]
    assert pl.read_parquet(path).equals(frame, null_equal=True)
    metadata = pl.read_parquet_metadata(path)
    assert (metadata["kbit_row_version"], metadata["kbit_key"]) == (str(ROW_VERSION), "0123456789ab")
    assert [file.name for file in path.parent.iterdir()] == ["p.parquet"]


def test_the_same_rows_make_the_same_bytes(make_row, tmp_path):
    rows = [make_row(cell) for cell in CELLS]
    write_part(rows, tmp_path / "a.parquet", {})
    write_part(rows[::-1], tmp_path / "b.parquet", {})
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_cell_has_one_row_in_a_part(make_row, tmp_path):
    with pytest.raises(ValueError, match="one row per cell"):
        write_part([make_row(CELLS[0]), make_row(CELLS[0])], tmp_path / "p.parquet", {})
    assert list(tmp_path.iterdir()) == []


def test_log_likelihoods_take_less_room_than_their_four_bytes(make_row, tmp_path):
    """No two are alike, as in a real part: signs and exponents are what compresses, so nearly a byte of four goes."""
    samples = [-np.random.default_rng(seed).gamma(5, 3, size=2000).astype("<f4") for seed in range(8)]
    rows = [make_row(cell, samples=values) for cell, values in zip(CELLS, samples, strict=True)]
    path = tmp_path / "p.parquet"
    write_part(rows, path, {})
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = {group.column(index).path_in_schema: group.column(index) for index in range(group.num_columns)}
    assert "BYTE_STREAM_SPLIT" in columns["samples.list.element"].encodings
    # 23 bits of mantissa do not compress; sign and exponent take about two bits in place of nine.
    assert columns["samples.list.element"].total_compressed_size < 3.3 * 16_000
    assert "RLE_DICTIONARY" in columns["metrics.list.element.name"].encodings


def test_columns_are_read_on_request(make_row, tmp_path):
    write_part([make_row(cell) for cell in CELLS], tmp_path / "p.parquet", {})
    assert read_part(tmp_path / "p.parquet", ["status", "cell_id"]).columns == ["status", "cell_id"]
    both = read_parts([tmp_path / "p.parquet", tmp_path / "p.parquet"], ["cell_id"])
    assert both["cell_id"].to_list() == CELLS * 2
    assert read_parts([], ["cell_id"]).schema == {"cell_id": pl.String}


def assert_named_with_its_remedy(path: Path) -> None:
    with pytest.raises(DamagedPartError) as caught:
        read_part(path)
    assert f"`rm {shlex.quote(str(path))}`" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_part_is_named_with_the_command_that_drops_it(make_row, tmp_path):
    path = tmp_path / "p q.parquet"
    write_part([make_row(cell) for cell in CELLS], path, {})
    whole = path.read_bytes()
    for length in (*range(0, len(whole) - 1, 997), len(whole) - 1):
        path.write_bytes(whole[:length])
        assert_named_with_its_remedy(path)


def test_a_flipped_byte_never_changes_a_row(make_row, tmp_path):
    """Either the file is refused or every value is as it was written."""
    path = tmp_path / "p.parquet"
    rows = [make_row(cell, samples=np.random.default_rng(3).normal(size=200).astype("f4")) for cell in CELLS]
    write_part(rows, path, {})
    whole, written = path.read_bytes(), read_part(path)
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    generator, refused = random.Random(11), 0
    for _ in range(250):
        position, mask = generator.randrange(len(whole) - footer), generator.randrange(1, 256)
        path.write_bytes(whole[:position] + bytes([whole[position] ^ mask]) + whole[position + 1 :])
        try:
            assert read_part(path).equals(written, null_equal=True)
        except DamagedPartError:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize("content", [b"", b"not Parquet", b"PAR1" + bytes(100) + b"PAR1"])
def test_what_is_not_parquet_is_named(content, tmp_path):
    path = tmp_path / "p.parquet"
    path.write_bytes(content)
    assert_named_with_its_remedy(path)


def test_a_foreign_parquet_file_is_named(tmp_path):
    path = tmp_path / "p.parquet"
    pl.DataFrame({"cell_id": CELLS, "status": "ok"}).write_parquet(path)
    assert_named_with_its_remedy(path)


def test_a_column_of_another_type_is_named(make_row, tmp_path):
    path = tmp_path / "p.parquet"
    write_part([make_row(CELLS[0])], path, {})
    table = pq.read_table(path)
    wrong = table.set_column(table.column_names.index("bits"), "bits", pa.array([4.0]))
    pq.write_table(wrong.replace_schema_metadata({VERSION_KEY: "1"}), path)
    with pytest.raises(DamagedPartError, match="column bits of type double instead of int32"):
        read_part(path)


def test_a_column_of_a_newer_release_is_refused_by_name(make_row, tmp_path):
    path = tmp_path / "p.parquet"
    write_part([make_row(CELLS[0])], path, {})
    newer = pq.read_table(path).append_column("karma", pa.array([1]))
    pq.write_table(newer.replace_schema_metadata({VERSION_KEY: "2"}), path)
    with pytest.raises(UserError, match=r"p\.parquet has columns .* karma .*use a newer kbit") as caught:
        read_part(path)
    assert not isinstance(caught.value, DamagedPartError)


def test_a_column_an_older_release_lacked_is_null(make_row, tmp_path):
    path = tmp_path / "p.parquet"
    write_part([make_row(CELLS[0])], path, {})
    older = pq.read_table(path).drop_columns(["quantize_seconds", "samples", "greedy"])
    pq.write_table(older.replace_schema_metadata({VERSION_KEY: "0"}), path)
    frame = read_part(path)
    assert frame.schema == polars_schema()
    assert frame["quantize_seconds"].to_list() == [None]
    assert frame["samples"].to_list() == [None]
    assert part_rows(frame)[0]["greedy"] is None


def test_a_missing_part_is_not_called_damaged(tmp_path):
    with pytest.raises(UserError, match="no part") as caught:
        read_part(tmp_path / "p.parquet")
    assert not isinstance(caught.value, DamagedPartError)


def test_arrow_schema_follows_the_documented_columns():
    assert SCHEMA.names == [column.name for column in COLUMNS]
    assert [field.nullable for field in SCHEMA] == [column.null != "never" for column in COLUMNS]


def test_only_a_published_row_may_lack_how_it_was_computed(make_row):
    row = make_row(CELLS[0], source=None, dtype=None, device=None)
    with pytest.raises(ValueError, match="column dtype of a row must not be null"):
        check_row(row)
    check_row({**row, "source": "published"})
