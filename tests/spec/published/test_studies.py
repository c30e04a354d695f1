"""Studies that name published tables: alone, beside models of their own, and with names that clash."""

from pathlib import Path

import pytest
import yaml

from kbit.spec.errors import UserError
from kbit.spec.study import load_study

PUBLISHED = {
    "name": "paper",
    "title": "A paper",
    "url": "https://example.org",
    "licence": "CC0-1.0",
    "file": "table.csv",
    "model": "model",
    "task": {"constant": "piqa"},
    "spec": {"bits": {"constant": 16}, "data_type": {"constant": "none"}, "block_size": {"constant": "row"}},
    "metrics": [{"name": {"constant": "acc"}, "value": "acc"}],
    "models": [{"label": "A", "name": "theirs", "family": "F", "parameters": 1000}],
    "tasks": [{"label": "piqa", "name": "piqa", "kind": "zero-shot", "metric": "acc", "chance": 0.5}],
}


OWN = {"name": "first", "family": "F", "hub_id": "lab/first", "revision": "0" * 40, "parameters": 1000}
TASK = {"name": "toy", "kind": "zero-shot", "metric": "acc", "chance": 0.5, "version": "1", "dataset": "lab/toy"}
STUDY = {"name": "s", "title": "S", "models": ["first"], "tasks": ["toy"], "dtype": "float32"}


def write(folder, name, content):
    (folder / name).write_text(yaml.safe_dump(content), encoding="utf-8")


def write_published(folder, file="paper.yaml", **changes):
    (folder / "table.csv").write_text("model,acc\nA,0.5\n")
    write(folder, file, {**PUBLISHED, **changes})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a data sheet of one model and a list of one task; it is the working directory."""
    write(tmp_path, "models.yaml", {"models": [OWN]})
    write(tmp_path, "tasks.yaml", {"tasks": [TASK]})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mistake():
    with pytest.raises(UserError) as refused:
        load_study(Path("study.yaml"))
    return str(refused.value)


def test_a_study_may_be_of_published_tables_alone(folder):
    write_published(folder)
    write(folder, "study.yaml", {"name": "s", "title": "S", "published": ["paper.yaml"]})
    study = load_study(Path("study.yaml"))
    assert (study.models, study.tasks, study.config.dtype) == ((), (), None)
    assert [publication.models for publication in study.publications] == [["theirs"]]


def test_a_published_model_needs_a_name_of_its_own(folder):
    write_published(folder, models=[PUBLISHED["models"][0] | {"name": "first"}])
    write(folder, "study.yaml", {**STUDY, "published": ["paper.yaml"]})
    assert "two models are named 'first', in the study's models and in" in mistake()
    write_published(folder)
    write_published(folder, "again.yaml", name="again")
    write(folder, "study.yaml", {**STUDY, "published": ["paper.yaml", "again.yaml"]})
    assert "two models are named 'theirs'" in mistake()
    write(folder, "study.yaml", {**STUDY, "published": ["paper.yaml", "paper.yaml"]})
    assert mistake() == "two published tables are named 'paper' (published of study.yaml)"
