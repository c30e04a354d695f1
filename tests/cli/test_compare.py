"""`kbit compare` on the parts of a planned study: names, numbers, and one line for whatever cannot be compared."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from kbit.cli import main
from kbit.plan.plan import plan_study
from kbit.spec.rows import COLUMNS
from kbit.store.parts import write_part
from kbit.store.paths import requests_path

CONFIG = Path(__file__).parents[2] / "config"
STUDY = {
    "name": "pairs",
    "title": "Pairs",
    "models_files": [str(CONFIG / "models.yaml")],
    "tasks_files": [str(CONFIG / "tasks.yaml")],
    "models": ["tiny-neox-32x2", "tiny-opt-32x2"],
    "tasks": ["ho_piqa", "ho_perplexity"],
    "dtype": "float32",
    "grids": [{"data_types": ["int"], "bits": [3, 4], "block_sizes": [64]}],
}
FILLERS = {
    "string": "-", "bool": False, "int32": 1, "int64": 1, "float64": 1.0, "list<float32>": None, "list<bool>": None,
    "metrics": None,
}  # fmt: skip
SAMPLES = {"none16": [-2.0, -1.0, -1.0, -2.0], "int4-b64": [-2.0, -1.5, -3.0, -2.0]}
ACCURACY = {"none16": 1.0, "int4-b64": 0.5}
"""The right choices are the second and the first."""


@pytest.fixture(autouse=True)
def study(tmp_path, monkeypatch):
    """A study of two models; the cells of the first are there, with 3 bits crashed."""
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(yaml.safe_dump(STUDY))
    plan = plan_study(Path("study.yaml"))
    shard = next(shard for shard in plan.shards if shard.model.name == "tiny-neox-32x2")
    digests = {cell["cell_id"]: cell["requests"] for cell in shard.to_json()["cells"]}
    write_part([make_row(cell, digests[cell.cell_id]) for cell in shard.cells], shard.part, {})
    for cell in shard.cells[:2]:
        write_requests(requests_path(cell.task.name, digests[cell.cell_id]), cell.task.name)
    return plan


def make_row(cell, requests):
    row = {column.name: FILLERS[column.type] for column in COLUMNS}
    row.update(cell_id=cell.cell_id, task=cell.task.name, task_identity=cell.task.identity, requests=requests)
    slug = cell.spec.slug
    if slug not in SAMPLES:
        return {**row, "status": "crashed", "error": "killed by signal 11"}
    is_text = cell.task.name == "ho_perplexity"
    name, value = ("nats_per_token", 1.0) if is_text else ("acc", ACCURACY[slug])
    metrics = [{"name": name, "value": value, "stderr": None, "n": 2}]
    return {**row, "status": "ok", "error": None, "metrics": metrics, "samples": SAMPLES[slug][: 2 if is_text else 4]}


def write_requests(path, task):
    """Two items of two choices, or two texts; every request has three tokens."""
    is_text = task == "ho_perplexity"
    documents = [{"page": "a"}, {"page": "b"}] if is_text else [{"label": 1}, None, {"label": 0}, None]
    header = {"output_type": "loglikelihood_rolling" if is_text else "loglikelihood"}
    table = pa.table(
        {
            "doc": pa.array([0, 1] if is_text else [0, 0, 1, 1], pa.int32()),
            "choice": pa.array([0, 0] if is_text else [0, 1, 0, 1], pa.int32()),
            "continuation": [[1, 2, 3]] * len(documents),
            "document": [document and json.dumps(document) for document in documents],
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    header |= {"definition": {"doc_to_target": "label"}}
    pq.write_table(table.replace_schema_metadata({b"kbit_requests": json.dumps(header)}), path)


def compare(monkeypatch, *words):
    """Exit code of the verb."""
    monkeypatch.setattr("sys.argv", ["kbit", "compare", "study.yaml", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


PIQA = [f"tiny-neox-32x2/{spec}/ho_piqa" for spec in SAMPLES]


def test_the_numbers_as_json(monkeypatch, capsys):
    assert compare(monkeypatch, "--json", *PIQA) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["task"], found["first"]["cell"], found["second"]["cell"]) == ("ho_piqa", *PIQA)
    assert found["accuracies"]["acc"]["difference"]["value"] == -0.5
    assert (found["accuracies"]["acc"]["only_first"], found["accuracies"]["acc"]["only_second"]) == (1, 0)
    # By hand: -1 -> -1.5 and -1 -> -3, three tokens each.
    assert found["likelihood"]["per_item"]["value"] == pytest.approx(-1.25)
    assert found["likelihood"]["per_token"]["value"] == pytest.approx(-2.5 / 6)
    # The first digits of an id name the same cell.
    assert compare(monkeypatch, "--json", found["first"]["cell_id"][:12], PIQA[1]) == 0
    assert json.loads(capsys.readouterr().out) == found


def test_the_numbers_as_a_table(monkeypatch, capsys):
    assert compare(monkeypatch, *PIQA) == 0
    lines = capsys.readouterr().out.splitlines()
    acc = next(line for line in lines if line.startswith("│ acc "))
    assert all(word in acc for word in ("1.0000", "0.5000", "-0.5000", "McNemar, exact (1 : 0)"))
    assert any(line.startswith("│ nats per token") and "-0.4167" in line for line in lines)
    assert any(line.startswith(f"second: {PIQA[1]} (") for line in lines)
    assert "nats: 2 items, 6 tokens" in lines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("tiny-neox-32/none16/ho_piqa", "x"), "no model 'tiny-neox-32' in .*: the nearest of 2 is tiny-neox-32x2 or"),
        (("tiny-neox-32x2/int4b64/ho_piqa", "x"), "no spec 'int4b64' .*: the nearest of 3 is int4-b64 or int3-b64"),
        (("tiny-neox-32x2/int4-b64/piqa", "x"), "no task 'piqa' .*: the nearest of 2 is ho_piqa"),
        (("tiny-neox-32x2/int4-b64", "x"), "'tiny-neox-32x2/int4-b64' is not MODEL/SPEC/TASK, such as tiny-"),
        (("xyz", "x"), "no cell's id starts with 'xyz' .*: a cell is MODEL/SPEC/TASK or the first digits of its id"),
        (("", "x"), "the ids of 12 cells start with ''"),
        ((PIQA[0], PIQA[0]), "are one cell"),
        ((PIQA[0], PIQA[0].replace("piqa", "perplexity")), "these are items of ho_piqa and ho_perplexity"),
        ((PIQA[0], PIQA[0].replace("none16", "int3-b64")), r"int3-b64/ho_piqa has no scores .* crashed \(killed by"),
        ((PIQA[0], PIQA[0].replace("neox", "opt")), "opt-32x2/none16/ho_piqa has no part .* `kbit run study.yaml`"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line(monkeypatch, capsys, words, message):
    assert compare(monkeypatch, *words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(f"kbit: .*{message}.*\n", printed.err), printed.err
