"""Data of tasks on the hub: fetched at exactly a commit, read offline from there, and never code."""

import gzip
import json
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
from hub_server import HubServer, Repository

from kbit.evaluation.requests import read_requests

ITEMS = Path(__file__).parent / "datasets"
CARD = """---
configs:
- config_name: plain
  data_files:
  - {split: train, path: data/train-*}
  - {split: validation, path: data/validation-*}
- config_name: other
  data_files:
  - {split: validation, path: other/*.parquet}
---
Questions.
"""
SHARD = "en/c4-validation.00000-of-00008.json.gz"
C4_CARD = b"---\nconfigs:\n- config_name: en\n  data_files:\n  - {split: train, path: en/c4-train.*}\n---\n"

# One process fetches for many tasks: importing lm-eval and datasets costs more than all of the fetching.
PROGRAM = """
import json, sys
from pathlib import Path
from kbit.evaluation.fetch import fetch_task_to
from kbit.spec.errors import UserError
for number, line in enumerate(sys.stdin):
    stamp = Path(sys.argv[1], f"{number}.json")
    try:
        fetch_task_to(stamp, json.loads(line))
        print(json.dumps({"names": [file["name"] for file in json.loads(stamp.read_text())["files"]]}))
    except UserError as error:
        print(json.dumps({"error": str(error), "stamp": stamp.exists()}))
"""


def parquet(lines: Path, number: int | None = None) -> bytes:
    """The first lines of a file of JSON lines as Parquet, all if no number is given."""
    sink = BytesIO()
    pl.read_ndjson(lines, n_rows=number).write_parquet(sink)
    return sink.getvalue()


@pytest.fixture(scope="module")
def hub():
    with HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def quiz(hub) -> Repository:
    """PIQA's columns as Parquet in two configurations, beside what no task reads."""
    items = parquet(ITEMS / "piqa/validation.jsonl")
    files = {
        "README.md": CARD.encode(),
        "data/train-0.parquet": parquet(ITEMS / "piqa/validation.jsonl", 5),
        "data/validation-0.parquet": items,
        "other/all.parquet": b"not Parquet",
        "evil.py": b"raise SystemExit",
    }
    return hub.add("dataset", "org/quiz", files)


def locator(name: str, repository: Repository, **values: object) -> dict[str, object]:
    entry = {"name": name, "kind": "zero-shot", "metric": "acc", "version": "1.0", "dataset": repository.hub_id}
    more = {
        "dataset_name": None,
        "revision": repository.commit,
        "yaml_file": None,
        "data_files": [],
        "item_limit": None,
    }
    return {**entry, **more, **values}


def call(command: list[str], environment: dict[str, str], given: str = "") -> str:
    done = subprocess.run(
        [sys.executable, *command], input=given, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def fetched(hub, quiz, tmp_path_factory) -> tuple[Path, dict[str, dict]]:
    """The home of a hub cache, and what each fetch into it left."""
    home = tmp_path_factory.mktemp("home")
    c4 = {
        "README.md": C4_CARD,
        "en/c4-train.00000-of-01024.json.gz": b"not gzip, and not read",
        SHARD: gzip.compress((ITEMS / "c4/validation.jsonl").read_bytes()),
        "en/c4-validation.00001-of-00008.json.gz": b"not read either",
    }
    script = {"script.py": f"open({str(home / 'marker')!r}, 'w')".encode()}
    later = quiz.files | {"data/validation-0.parquet": parquet(ITEMS / "piqa/validation.jsonl", 3)}
    perplexity = {"kind": "perplexity", "metric": "nats_per_token", "version": "0.0", "dataset_name": "en"}
    c4_repository = hub.add("dataset", "org/c4", c4)
    text = {"column": "text", "split": "validation", "documents": 9, "window": 64, "separator": " ", "windows": 256}
    cases = {
        "whole": locator("piqa", quiz, dataset_name="plain"),
        "shards": locator("c4", c4_repository, **perplexity),
        "text": locator("c4_new", c4_repository, **perplexity, text=text | {"files": [SHARD]}),
        "text of a split": locator("prose", quiz, dataset_name="plain", text=text | {"column": "goal", "files": []}),
        "script": locator("piqa", hub.add("dataset", "org/script", script)),
        "configuration": locator("piqa", quiz, dataset_name="none"),
        "broken": locator("piqa", quiz, dataset_name="other"),
        "columns": locator("hellaswag", quiz, dataset_name="plain"),
        "gated": locator("piqa", hub.add("dataset", "org/gated", quiz.files, gated=True), dataset_name="plain"),
        "revision": locator("piqa", quiz, revision="0" * 40),
        "absent": {**locator("piqa", quiz), "dataset": "org/none"},
        "later": locator("piqa", hub.add("dataset", "org/quiz", later), dataset_name="plain"),
    }
    lines = "".join(json.dumps(case) + "\n" for case in cases.values())
    outcomes = call(["-c", PROGRAM, str(home)], hub.environment(home), lines).splitlines()
    return home, dict(zip(cases, map(json.loads, outcomes), strict=True))


def test_the_files_of_a_tasks_configuration_are_fetched(fetched):
    _, outcomes = fetched
    assert outcomes["whole"]["names"] == ["README.md", "data/train-0.parquet", "data/validation-0.parquet"]
    # Of the shards that lm-eval's definition names, the split that is scored.
    assert outcomes["shards"]["names"] == ["README.md", SHARD]
    assert outcomes["text"]["names"] == ["README.md", SHARD]
    assert outcomes["text of a split"]["names"] == outcomes["whole"]["names"]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("script", r"Dataset scripts are no longer supported, but found script.py"),
        ("configuration", r"the data set org/quiz at \w{12} cannot be read: .*'none' not found. Available: \['plain'"),
        ("broken", r"task 'piqa' cannot be loaded from the data set org/quiz: "),
        ("columns", r"task 'hellaswag' cannot be loaded from the data set org/quiz: "),
        (
            "gated",
            r"datasets/org/gated is gated: accept its terms on http://127.0.0.1:\d+/datasets/org/gated, then log in",
        ),
        ("revision", r"datasets/org/quiz has no revision '0{40}' on the hub"),
        ("absent", r"the hub knows no 'datasets/org/none', or it is private"),
    ],
)
def test_what_cannot_be_fetched_is_one_line(fetched, case, message):
    home, outcomes = fetched
    error = outcomes[case]["error"]
    assert "\n" not in error
    assert re.search(message, error), error
    assert not outcomes[case]["stamp"]
    assert not (home / "marker").exists()


def test_offline_requests_are_those_of_the_same_data_on_disk(hub, quiz, fetched, spec_of, real_task_requests, tmp_path):
    """Whichever revision was fetched last."""
    home, outcomes = fetched
    assert "names" in outcomes["later"]
    pinned = spec_of(locator("piqa", quiz, dataset_name="plain"), "neox-32x2")
    (tmp_path / "spec.json").write_text(json.dumps(pinned))
    hub.asked.clear()
    call(["-m", "kbit.cli", "build-requests", str(tmp_path / "spec.json")], hub.environment(home))
    assert hub.asked == []
    built, expected = read_requests(tmp_path / "spec.parquet"), real_task_requests("piqa")
    assert built.docs == expected.docs
    for mine, theirs in zip(
        built.contexts + built.continuations, expected.contexts + expected.continuations, strict=True
    ):
        assert mine.tolist() == theirs.tolist()
