"""The executor of a profile: what it lacks is one line, before anything is planned or submitted."""

from pathlib import Path

import pytest

from kbit.cli.executor import check_executor
from kbit.spec.errors import UserError

PROFILES = Path(__file__).parents[2] / "profiles"


@pytest.fixture
def without_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))


def profile(folder, text):
    (folder / "profile.yaml").write_text(text)
    return folder


@pytest.mark.usefixtures("without_slurm")
def test_the_local_profile_needs_nothing():
    check_executor(PROFILES / "local", submits=True)


@pytest.mark.usefixtures("without_slurm")
def test_a_machine_that_cannot_submit_says_so_and_may_still_plan():
    check_executor(PROFILES / "slurm", submits=False)
    with pytest.raises(UserError, match="no sbatch on the PATH; type this on a node that submits jobs") as raised:
        check_executor(PROFILES / "slurm", submits=True)
    assert "\n" not in str(raised.value)


def test_a_node_that_submits_is_fine(tmp_path, monkeypatch):
    (tmp_path / "sbatch").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    check_executor(PROFILES / "slurm", submits=True)


def test_a_missing_executor_is_named_with_its_package(tmp_path):
    with pytest.raises(
        UserError, match=r"executor no-such of .*: its package snakemake-executor-plugin-no-such is not installed$"
    ):
        check_executor(profile(tmp_path, "executor: no-such\n"), submits=False)


def test_a_missing_slurm_executor_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("kbit.cli.executor.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"executor-plugin-slurm is not installed \(make installs it; by hand: pip"):
        check_executor(PROFILES / "slurm", submits=False)
