"""The rule for optional needs: skipped with a reason on a user's machine, a failure where KBIT_REQUIRE names them."""

from pathlib import Path

import pytest


@pytest.fixture
def conftest(request: pytest.FixtureRequest):
    """tests/conftest.py as pytest loaded it."""
    path = Path(__file__).with_name("conftest.py")
    return next(p for p in request.config.pluginmanager.get_plugins() if getattr(p, "__file__", None) == str(path))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("programs")
def test_missing_need_is_skipped_with_its_reason(conftest):
    with pytest.raises(pytest.skip.Exception, match=r"needs compiler: g\+\+ or c\+\+ or clang\+\+ not on the PATH"):
        conftest.find_need("compiler", required={"browser"})


@pytest.mark.usefixtures("programs")
def test_missing_need_fails_where_it_is_required(conftest):
    with pytest.raises(pytest.fail.Exception, match="KBIT_REQUIRE names it"):
        conftest.find_need("compiler", required={"browser", "compiler"})


def test_present_need_gives_its_path(conftest, programs):
    (programs / "clang++").touch(mode=0o755)
    assert conftest.find_need("compiler", required=set()) == str(programs / "clang++")


def test_a_need_of_several_programs_misses_the_absent_ones(conftest, programs):
    for present in ("slurmctld", "slurmd", "munged", "slurmdbd", "mariadbd"):
        (programs / present).touch(mode=0o755)
    with pytest.raises(pytest.skip.Exception, match="needs slurm: sbatch not on the PATH"):
        conftest.find_need("slurm", required=set())


def test_needs_are_read_from_the_environment(conftest):
    assert conftest.required_needs({"KBIT_REQUIRE": "browser, compiler,"}) == {"browser", "compiler"}
    assert conftest.required_needs({}) == set()


def test_unknown_need_stops_the_run(conftest):
    with pytest.raises(pytest.UsageError, match="KBIT_REQUIRE names slrum; known needs are browser, compiler, slurm"):
        conftest.required_needs({"KBIT_REQUIRE": "browser,slrum"})
