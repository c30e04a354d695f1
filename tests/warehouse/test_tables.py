"""Tables: values computed by hand, cells that went wrong, and bytes that never vary."""

import hashlib
import math
import random

import polars as pl
import pytest

from kbit.spec.errors import UserError
from kbit.store.parts import write_part
from kbit.warehouse import SampleReader, build_tables, read_table, samples


@pytest.fixture
def build(plan, write_parts, tmp_path):
    """Build the tables of rows and return a reader of them."""

    def build_from(rows, plan=plan):
        build_tables(plan, write_parts(rows), tmp_path / "tables")
        return lambda name: read_table(tmp_path / "tables", name)

    return build_from


def point(table, model, spec):
    return table.row(by_predicate=(pl.col("model") == model) & (pl.col("spec") == spec), named=True)


def change(rows, model, spec, task, **changes):
    cell_id = f"{model}/{spec}/{task}"
    assert any(row["cell_id"] == cell_id for row in rows)
    return [{**row, **changes} if row["cell_id"] == cell_id else row for row in rows]


CRASH = {
    "status": "crashed", "error": "killed by signal 11", "metrics": None, "samples": None, "greedy": None,
    "n_items": None, "n_tokens": None, "seconds": None, "quantize_seconds": None, "peak_memory_bytes": None,
    "bits_per_param": None, "body_bits": None,
    "total_bits": None, "quantized_parameters": None, "parameters": None,
}  # fmt: skip


def test_a_point_is_the_mean_of_the_headline_metrics(build, rows):
    points = build(rows)("points")
    four = point(points, "large", "int4-b64")
    # By hand: easy acc = 4/20 + .05 = .25; hard acc_norm = (.25 - .1) / 2 = .075.
    assert four["mean_zero_shot_accuracy"] == pytest.approx((0.25 + 0.075) / 2, rel=1e-12)
    assert four["mean_zero_shot_accuracy_stderr"] == pytest.approx(math.hypot(0.03, 0.04) / 2, rel=1e-12)
    assert four["mean_chance"] == pytest.approx(0.375)
    assert (four["n_tasks"], four["n_tasks_of_study"]) == (2, 2)
    assert four["nats_per_byte"] == pytest.approx(1.75, rel=1e-12)
    assert four["nats_per_token"] == pytest.approx(4.75, rel=1e-12)
    assert (four["body_bits"], four["total_bits"], four["status"]) == (34000, 162000, "ok")
    assert points.height == 6
    assert points.select("parameters", "bits").rows() == [
        (2000, 3),
        (2000, 4),
        (2000, 16),
        (16000, 3),
        (16000, 4),
        (16000, 16),
    ]


def test_a_point_with_an_incomplete_set_of_tasks_has_no_mean_and_says_so(build, rows):
    tables = build(change(rows, "small", "int3-b64", "hard", **CRASH))
    three = point(tables("points"), "small", "int3-b64")
    assert three["mean_zero_shot_accuracy"] is None
    assert three["mean_zero_shot_accuracy_stderr"] is None
    assert (three["n_tasks"], three["n_tasks_of_study"], three["status"]) == (1, 2, "crashed")
    # Its perplexity is complete, and its footprint is known from the spec's other cells.
    assert three["nats_per_byte"] == pytest.approx(1.85, rel=1e-12)
    assert three["body_bits"] == 3250


def test_a_crashed_cell_stays_visible_with_the_planned_size(build, rows):
    rows = [{**row, **CRASH} if row["model_id"] == "id-small" else row for row in rows]
    tables = build(rows)
    crashed = tables("cells").filter(pl.col("model") == "small")
    assert crashed["status"].unique().to_list() == ["crashed"]
    assert crashed["error"].to_list() == ["killed by signal 11"] * 9
    assert crashed["parameters"].unique().to_list() == [2000]
    assert tables("scores").filter(pl.col("model") == "small").height == 0
    small = tables("models").row(by_predicate=pl.col("model") == "small", named=True)
    assert (small["n_cells"], small["n_ok"], small["n_crashed"]) == (9, 0, 9)


def test_a_collapsed_cell_keeps_its_accuracy_but_has_no_finite_loss(build, rows):
    metrics = [{"name": "nats_per_byte", "value": math.inf, "stderr": None, "n": 12}]
    rows = change(rows, "large", "int3-b64", "pages", status="collapsed", metrics=metrics)
    three = point(build(rows)("points"), "large", "int3-b64")
    assert three["status"] == "collapsed"
    assert three["nats_per_byte"] is None
    assert (three["n_perplexity_tasks"], three["n_perplexity_tasks_of_study"]) == (0, 1)
    assert three["mean_zero_shot_accuracy"] == pytest.approx((0.2 + 0.05) / 2, rel=1e-12)


def test_a_spec_planned_on_fewer_tasks_has_no_zero_shot_mean(build, rows, plan):
    kept = [row for row in rows if row["spec"] != "int3-b64" or row["task"] == "pages"]
    tables = build(kept, plan.filter(pl.col("cell_id").is_in([row["cell_id"] for row in kept])))
    three = point(tables("points"), "small", "int3-b64")
    assert three["mean_zero_shot_accuracy"] is None
    assert (three["n_tasks"], three["n_cells"]) == (0, 1)
    assert three["nats_per_byte"] == pytest.approx(1.85, rel=1e-12)


def test_scores_are_long_and_mark_the_headline(build, rows):
    scores = build(rows)("scores")
    assert scores.height == 18 * 2
    hard = scores.filter(pl.col("cell_id") == "small/none16/hard")
    assert hard.select("metric", "headline").rows() == [("acc", False), ("acc_norm", True)]
    assert hard["n"].to_list() == [100, 100]


def test_models_have_their_16_bit_scores_and_checkpoints_are_told_apart(build, rows, plan):
    # The two models made one size: the one that has seen fewer tokens is an earlier checkpoint.
    rows = [{**row, "parameters": 2000} for row in rows]
    seen = pl.when(pl.col("model") == "small").then(10).otherwise(30).cast(pl.Int64)
    models = build(rows, plan.with_columns(tokens_seen=seen))("models")
    assert models.select("model", "is_final_checkpoint").rows() == [("small", False), ("large", True)]
    assert models["control_nats_per_byte"].to_list() == pytest.approx([1.2, 1.15], rel=1e-12)


def test_options_are_those_of_the_slug(build, rows):
    from kbit.spec.quant import QuantSpec

    specs = [
        QuantSpec(data_type="int", bits=4, block_size=64),
        QuantSpec(data_type="int", bits=4, block_size=64, centered="block", outlier_fraction=0.02),
    ]
    fields = ("centered", "outlier_fraction", "outlier_rule", "scale_format", "solver", "rotation")
    plain, special = specs
    values = {name: getattr(special, name) for name in fields}
    rows = [{**row, **values} if row["spec"] == "int4-b64" else row for row in rows]
    options = dict(build(rows)("points").select("spec", "options").iter_rows())
    assert options == {"none16": "", "int3-b64": "-".join(plain.options), "int4-b64": "-".join(special.options)}
    assert options["int4-b64"] == "centered_block-p0.02"


def test_the_same_rows_in_any_order_give_the_same_bytes(plan, rows, write_parts, tmp_path):
    digests = set()
    for seed in range(3):
        shuffled = random.Random(seed).sample(rows, len(rows))
        parts = random.Random(seed).sample(write_parts(shuffled), 2)
        output = tmp_path / f"tables-{seed}"
        build_tables(plan.sample(fraction=1, shuffle=True, seed=seed), parts, output)
        files = sorted(output.iterdir())
        assert [file.name for file in files] == ["cells.parquet", "models.parquet", "points.parquet", "scores.parquet"]
        digests.add(tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file in files))
    assert len(digests) == 1


def test_a_duplicate_cell_is_named_with_both_parts(plan, rows, write_parts, tmp_path):
    parts = write_parts(rows)
    write_part([rows[0]], tmp_path / "again.parquet", {})
    message = r"cell small/none16/easy \(id-small, none16, easy\) stands twice.*again.parquet.*rm "
    with pytest.raises(UserError, match=message):
        build_tables(plan, [*parts, tmp_path / "again.parquet"], tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def test_a_missing_cell_is_named(plan, rows, write_parts, tmp_path):
    with pytest.raises(UserError, match=r"cell large/int3-b64/pages .* has no row .*\(1 such cells\)"):
        build_tables(plan, write_parts(rows[:-1]), tmp_path / "tables")


def test_a_foreign_cell_is_named_with_the_command_that_drops_it(plan, rows, write_parts, tmp_path):
    parts = write_parts(rows)
    with pytest.raises(UserError, match=r"cell small/none16/easy .* is not of this study .*rm .*id-small"):
        build_tables(plan.filter(pl.col("cell_id") != "small/none16/easy"), parts, tmp_path / "tables")


def test_an_unreadable_part_is_named(plan, rows, write_parts, tmp_path):
    parts = write_parts(rows)
    parts[0].write_bytes(parts[0].read_bytes()[:-100])
    with pytest.raises(UserError, match=r"rm .*id-large"):
        build_tables(plan, parts, tmp_path / "tables")


def test_samples_stay_in_the_parts_and_can_be_read_by_cell(rows, write_parts):
    rows = [
        {**row, "samples": [-float(index), -0.5], "greedy": [index == 5, index == 2]} for index, row in enumerate(rows)
    ]
    parts = write_parts(rows)
    wanted = [rows[5]["cell_id"], rows[2]["cell_id"]]
    reader = SampleReader(parts)
    found = reader.read(wanted)
    assert found.loglikelihoods.tolist() == [[-5.0, -0.5], [-2.0, -0.5]]
    assert found.greedy.tolist() == [[True, False], [False, True]]
    # Other cells next, of parts that were read and of others.
    others = [row["cell_id"] for row in rows if row["cell_id"] not in wanted]
    assert reader.read(others[::-1]).loglikelihoods.tolist() == [
        [-float(index), -0.5] for index in reversed(range(len(rows))) if index not in (2, 5)
    ]
    view = samples(parts).filter(pl.col("cell_id") == wanted[0]).collect()
    assert view["samples"].to_list() == [[-5.0, -0.5]]
    assert view["greedy"].to_list() == [[True, False]]


def test_samples_without_greedy_are_still_samples(rows, write_parts):
    rows = [
        {**row, "samples": [-1.0, -0.5], "greedy": None if index else [True, False]} for index, row in enumerate(rows)
    ]
    found = SampleReader(write_parts(rows)).read([rows[0]["cell_id"], rows[1]["cell_id"]])
    assert found.loglikelihoods.tolist() == [[-1.0, -0.5]] * 2
    assert found.greedy is None


def test_cells_without_equal_samples_have_none(rows, write_parts):
    rows = [{**row, "samples": [-1.0] * (1 + index % 2)} for index, row in enumerate(rows)]
    assert SampleReader(write_parts(rows)).read([rows[0]["cell_id"], rows[1]["cell_id"]]) is None
