"""Every docs/adding-*.md is carried out as written, in a scratch clone."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from workspace import Workspace, copy

REPOSITORY = Path(__file__).parents[2]
GUIDES = sorted((REPOSITORY / "docs").glob("adding-*.md"))
STEP = re.compile(r"^(?:(Create|Append to|Replace in) )?`([^`\n]+)`:$|^(Run):$", re.MULTILINE)
BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps(guide: str) -> Iterator[tuple[str, str, list[str]]]:
    """(act, path, blocks) of a guide in order; a replacement has two blocks, every other step one."""
    marks = list(STEP.finditer(guide))
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        act = mark.group(3) or mark.group(1) or "Create"
        blocks = BLOCK.findall(guide, mark.end(), following.start() if following else len(guide))
        wanted = 2 if act == "Replace in" else 1
        assert len(blocks) >= wanted, f"{mark.group(0)} is followed by {len(blocks)} code blocks"
        yield act, mark.group(2) or "", blocks[:wanted]


def carry_out(workspace: Workspace, act: str, path: str, blocks: list[str]) -> None:
    file = workspace.root / path
    if act == "Run":
        environment = workspace.environment() | {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
        command = ["bash", "-euo", "pipefail", "-c", blocks[0]]
        done = subprocess.run(command, cwd=workspace.root, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{blocks[0]}\n{done.stdout}\n{done.stderr}"
    elif act == "Replace in":
        text = file.read_text()
        assert text.count(blocks[0]) == 1, f"{path} holds the text to replace {text.count(blocks[0])} times"
        file.write_text(text.replace(*blocks))
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((file.read_text() if act == "Append to" else "") + blocks[0])


def test_there_is_a_guide_for_each_family():
    families = {"data-type", "law", "model", "solver", "task"}
    assert {guide.stem.removeprefix("adding-a-") for guide in GUIDES} == families


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_guide_works_as_written(guide, tmp_path):
    for name in (
        "Snakefile",
        "kbit",
        "workflow",
        "profiles",
        "config",
        "data/models",
        "data/tasks",
        "data/corpus",
        "tests",
        "docs",
        "bench",
        "pyproject.toml",
    ):
        copy(REPOSITORY / name, tmp_path / "clone" / name)
    workspace = Workspace(tmp_path / "clone")
    found = list(steps(guide.read_text()))
    assert any(act == "Run" for act, _, _ in found)
    for act, path, blocks in found:
        carry_out(workspace, act, path, blocks)
