"""What identifies a local task: its YAML and data, and every file that the YAML draws in."""

import hashlib
from pathlib import Path

import pytest

from kbit.spec.digest import digest_json
from kbit.spec.errors import UserError
from kbit.spec.tasks import TaskEntry, resolve_task

ENTRY = TaskEntry(
    name="toy", kind="zero-shot", metric="acc", chance=0.5, version="1.0", yaml_file="toy.yaml",
    data_files=("toy.jsonl",),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the task's files."""
    (tmp_path / "toy.yaml").write_text("task: toy\ndataset_path: json\n", encoding="utf-8")
    (tmp_path / "toy.jsonl").write_text('{"query": "a", "label": 0}\n', encoding="utf-8")
    return tmp_path


def identity(folder: Path) -> str:
    return resolve_task(ENTRY, None, folder / "tasks.yaml").identity


def mistake(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        identity(folder)
    return str(caught.value).replace(f"{folder.resolve()}/", "")


def test_a_task_of_yaml_and_data_is_identified_by_these_two(folder):
    (folder / "toy.py").write_text("score = 1\n", encoding="utf-8")  # beside it, but named by nothing
    files = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("toy.yaml", "toy.jsonl")]
    assert identity(folder) == digest_json([digest_json(files), "1.0", None])


@pytest.mark.parametrize("tag", ["score.right", "rules.score.right"])
def test_the_file_of_a_function_is_part_of_the_task(folder, tag):
    file = folder / f"{tag.rpartition('.')[0].replace('.', '/')}.py"
    (folder / "toy.yaml").write_text(f"task: toy\nmetric_list:\n- metric: !function {tag}\n", encoding="utf-8")
    missing = identity(folder)  # then lm-eval looks for an installed module
    file.parent.mkdir(exist_ok=True)
    file.write_text("def right(items): return 1\n", encoding="utf-8")
    first = identity(folder)
    file.write_text("def right(items): return 1 + 1\n", encoding="utf-8")
    assert len({missing, first, identity(folder)}) == 3
    file.write_text("def right(items): return 1\n", encoding="utf-8")
    assert identity(folder) == first


def test_an_included_file_is_part_of_the_task_with_its_functions(folder):
    (folder / "common").mkdir()
    (folder / "toy.yaml").write_text("task: toy\ninclude: common/base.yaml\n", encoding="utf-8")
    assert mistake(folder) == "task 'toy': no file common/base.yaml (include of toy.yaml)"
    base, function = folder / "common" / "base.yaml", folder / "common" / "score.py"
    function.write_text("def right(doc): return 1\n", encoding="utf-8")
    call = "process_results: !function score.right\n"
    identities = set()
    # The last one includes its includer, which lm-eval refuses when the requests are built.
    for text in ("test_split: test\n", call, f"include: [../toy.yaml]\n{call}"):
        base.write_text(text, encoding="utf-8")
        identities.add(identity(folder))
    function.write_text("def right(doc): return 1 + 1\n", encoding="utf-8")
    identities.add(identity(folder))
    assert len(identities) == 4
    base.write_text("include: [", encoding="utf-8")
    assert mistake(folder).startswith("task 'toy': common/base.yaml is not YAML: ")
