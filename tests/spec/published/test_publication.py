"""Published tables: what a description makes of a CSV file, and the one line that every mistake in either gives."""

import copy
from pathlib import Path

import pytest
import yaml

from kbit.spec.errors import UserError
from kbit.spec.published import read_publication

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "data/published").glob("*.yaml"))
TABLE = """\
model,method,bits,group,task,acc
Big,FP16,16,-1,piqa,80
Big,RTN,4,64,piqa,75
Big,GPTQ*,4,-1,piqa,78.5
Big,RTN,4,64,unused,1
"""
DESCRIPTION = {
    "name": "paper",
    "title": "A paper",
    "url": "https://example.org/paper",
    "licence": "CC0-1.0",
    "file": "table.csv",
    "where": {"task": ["piqa"]},
    "model": "model",
    "task": "task",
    "spec": {
        "bits": "bits",
        "data_type": {"constant": "int-any"},
        "block_size": {"column": "group", "values": {"-1": "row", "64": 64}},
        "solver": {"column": "method", "pattern": "([A-Z]+)", "values": {"FP": "none", "RTN": "rtn", "GPTQ": "gptq"}},
    },
    "metrics": [{"name": {"constant": "acc"}, "value": {"column": "acc", "factor": 0.01}, "binomial": True}],
    "models": [
        {"label": "Big", "name": "big", "family": "F", "parameters": 1000, "quantized_parameters": 640,
         "quantized_rows": 10}
    ],
    "tasks": [{"label": "piqa", "name": "piqa", "kind": "zero-shot", "metric": "acc", "chance": 0.5, "items": 101}],
}  # fmt: skip


@pytest.fixture
def describe(tmp_path):
    """Write the table and its description, either changed, and read them."""

    def read(table=TABLE, **changes):
        (tmp_path / "table.csv").write_text(table, encoding="utf-8")
        content = copy.deepcopy(DESCRIPTION)
        for key, value in changes.items():
            target, *rest = key.split("__")
            where = content
            for step in rest:
                where, target = where[int(target) if target.isdigit() else target], step
            where[int(target) if target.isdigit() else target] = value
        (tmp_path / "paper.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        return read_publication(tmp_path / "paper.yaml")

    return read


def test_lines_become_cells_in_the_publications_words(describe):
    publication = describe()
    assert publication.n_lines == 3
    assert [cell.spec.slug for cell in publication.cells] == ["none16", "int-any4-b64", "int-any4-row-gptq"]
    control, blocks, rows = (cell.content() for cell in publication.cells)
    assert (control["data_type"], control["bits"], control["solver"]) == ("none", 16, None)
    assert (blocks["block_size"], rows["block_size"], rows["solver"]) == ("64", "row", "gptq")
    # sqrt(0.785 * 0.215 / 100), the standard error of a share of 101 items.
    assert rows["metrics"] == [{"name": "acc", "value": 0.785, "stderr": pytest.approx(0.0410822, rel=1e-5), "n": 101}]


def test_bits_are_the_papers_count_over_what_was_quantized(describe):
    control, blocks, rows = (cell.bits for cell in describe().cells)
    assert (control.body_bits, control.total_bits) == (16 * 640, 16 * 1000)
    assert (blocks.bits_per_param, blocks.body_bits) == (4.25, 4 * 640 + 16 * 10)
    assert blocks.total_bits == blocks.body_bits + 16 * 360
    assert rows.body_bits == 4 * 640 + 16 * 10


def test_without_shapes_all_parameters_count_and_a_scale_per_row_nothing(describe):
    bare = {"label": "Big", "name": "big", "family": "F", "parameters": 1000}
    control, blocks, rows = (cell.bits for cell in describe(models=[bare]).cells)
    assert [bits.total_bits for bits in (control, blocks, rows)] == [16_000, 4250, 4000]


def test_a_stated_size_is_taken_as_it_is(describe):
    cells = describe(total_bits={"constant": 2, "factor": 1000.0}).cells
    assert {(cell.bits.total_bits, cell.bits.body_bits, cell.bits.bits_per_param) for cell in cells} == {
        (2000, None, 2)
    }


def test_a_cell_is_what_its_row_says(describe):
    before = {cell.spec.slug: cell.cell_id for cell in describe().cells}
    changed = {cell.spec.slug: cell.cell_id for cell in describe(TABLE.replace(",75\n", ",76\n")).cells}
    assert [slug for slug in before if before[slug] != changed[slug]] == ["int-any4-b64"]
    renamed = describe(models__0__name="other", title="Another title")
    assert {cell.cell_id for cell in renamed.cells} == set(before.values())


def test_a_metric_may_have_a_line_of_its_own(describe):
    table = "model,metric,value,se\nBig,acc,0.5,0.1\nBig,ppl,7.389056098930650,0.2\n"
    metrics = [
        {"name": {"column": "metric", "values": {"acc": "acc", "ppl": "perplexity"}}, "value": "value", "stderr": "se"}
    ]
    spec = {name: {"constant": value} for name, value in (("bits", 16), ("data_type", "none"), ("block_size", "row"))}
    (cell,) = describe(table, where={}, task={"constant": "piqa"}, spec=spec, metrics=metrics).cells
    assert cell.metrics == {"acc": (0.5, 0.1), "perplexity": (7.38905609893065, 0.2)}


def test_a_perplexity_becomes_nats(describe):
    table = TABLE.replace(",80\n", ",7.389056098930650\n")
    metrics = [{"name": {"constant": "nats_per_token"}, "value": {"column": "acc", "log": True}}]
    assert describe(table, metrics=metrics).cells[0].metrics["nats_per_token"] == (pytest.approx(2, rel=1e-12), None)


def test_lines_that_say_the_same_are_one_cell(describe):
    repeated = describe(TABLE + "Big,FP16,16,-1,piqa,80\n")
    assert (repeated.n_lines, len(repeated.cells)) == (4, 3)


MISTAKES = {
    "contradiction": (
        {"table": TABLE + "Big,RTN,4,64,piqa,74\n"},
        "line 6: acc of Big, int-any4-b64, piqa is 0.74, but 0.75 in .* line 3",
    ),
    "no column": ({"model": "modell"}, r"no column 'modell' \(model\); its columns are model, method"),
    "no column of where": ({"where": {"tusk": ["piqa"]}}, r"no column 'tusk' \(where\)"),
    "unknown model": ({"models__0__label": "Small"}, r"line 2: 'Big' is not one of Small \(labels of models\)"),
    "unknown task": ({"where": {}}, r"line 5: 'unused' is not one of piqa \(labels of tasks\)"),
    "no number": ({"table": TABLE.replace(",75\n", ",n/a\n")}, r"line 3: 'n/a' is not a number \(metrics\[0\].value\)"),
    "infinite": (
        {"table": TABLE.replace(",75\n", ",inf\n")},
        r"line 3: inf has no finite value \(metrics\[0\].value\)",
    ),
    "no share": ({"metrics__0__value": "acc"}, r"line 2: 80 is no share of known items"),
    "no bits": ({"spec__bits": "acc"}, r"line 4: 78.5 is not a whole number above 0 \(spec.bits\)"),
    "unknown text": (
        {"spec__block_size": {"column": "group", "values": {"-1": "row"}}},
        r"'64' is not one of -1 \(values of spec.block_size\)",
    ),
    "no block size": ({"spec__block_size": "method"}, r"block_size 'rtn' is not a number, row or tensor"),
    "no match": (
        {"spec__solver": {"column": "method", "pattern": "^(R)"}},
        r"'GPTQ\*' does not match the pattern \^\(R\) \(spec.solver\)",
    ),
    "no word": ({"spec__solver": "method"}, r"'gptq\*' is no word of letters, digits"),
    "short line": ({"table": TABLE + "Big,RTN\n"}, "line 6 has not the 6 fields of the header line"),
    "no line": ({"where": {"task": ["boolq"]}}, "has no line that `where` keeps"),
    "no file": ({"file": "other.csv"}, r"no file .*other.csv \(file of the published table 'paper'\)"),
    "bad pattern": ({"spec__solver": {"column": "method", "pattern": "("}}, "is no regular expression"),
    "no group": ({"spec__solver": {"column": "method", "pattern": "A"}}, "has no group in parentheses"),
    "two origins": ({"model": {"column": "model", "constant": "x"}}, "exactly one of column and constant"),
    "two errors": ({"metrics__0__stderr": "acc"}, "either stderr or binomial"),
    "no chance": ({"tasks__0__chance": None}, "chance is stated for zero-shot tasks, and only for them"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_one_line(describe, mistake):
    changes, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message) as refused:
        describe(**changes)
    assert "\n" not in str(refused.value)


def test_a_label_that_stands_twice_is_refused(describe):
    models = [DESCRIPTION["models"][0], DESCRIPTION["models"][0] | {"name": "other"}]
    with pytest.raises(UserError, match="models have the label 'Big' twice"):
        describe(models=models)


def test_a_table_that_is_no_text_is_refused(describe, tmp_path):
    describe()
    (tmp_path / "table.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read as CSV"):
        read_publication(tmp_path / "paper.yaml")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_tables_are_read_whole(path):
    counts = {
        "autoround": (768, 672),  # four tasks of eleven; every 16-bit line stands there four times
        "llama2-70b-scoreboard": (13, 13),
        "llama3-8b-scoreboard": (46, 46),
        "pythia-evals": (145, 87),  # three tasks of 29 models; LAMBADA and PIQA have two metrics
    }
    publication = read_publication(path)
    assert (publication.n_lines, len(publication.cells)) == counts[path.stem]
    assert len(publication.models) == len(publication.config.models)


def test_shapes_of_the_anchors_are_those_of_the_data_sheet():
    sheet = yaml.safe_load((ROOT / "config/models.yaml").read_text(encoding="utf-8"))["models"]
    known = {
        model["name"]: (model["parameters"], model["quantized_parameters"]) for model in sheet if "hub_id" in model
    }
    publication = read_publication(ROOT / "data/published/pythia-evals.yaml")
    for model in publication.config.models:
        assert (model.parameters, model.quantized_parameters) == known[model.name.removesuffix("-deduped")], model.name


@pytest.mark.parametrize(
    ("label", "layers", "width", "inner", "key_width"),
    [
        ("V1-7B", 32, 4096, 11008, 4096),
        ("V1-13B", 40, 5120, 13824, 5120),
        ("V1-30B", 60, 6656, 17920, 6656),
        ("V1-65B", 80, 8192, 22016, 8192),
        ("V2-7B", 32, 4096, 11008, 4096),
        ("V2-13B", 40, 5120, 13824, 5120),
        ("V2-70B", 80, 8192, 28672, 1024),
        ("Mistral-7B", 32, 4096, 14336, 1024),
    ],
)
def test_shapes_of_llama_add_up(label, layers, width, inner, key_width):
    """Attention (two of width x width, two of width x key_width), three of width x inner; 32,000 words, untied."""
    publication = read_publication(ROOT / "data/published/autoround.yaml")
    model = next(model for model in publication.config.models if model.label == label)
    assert model.quantized_parameters == layers * (2 * width * (width + key_width) + 3 * width * inner)
    assert model.quantized_rows == layers * (2 * width + 2 * key_width + 2 * inner + width)
    assert model.parameters - model.quantized_parameters == 2 * 32_000 * width + (2 * layers + 1) * width
