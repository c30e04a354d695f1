"""`kbit prune` keeps out of the way of a Snakemake that `kbit run` did not start."""

from pathlib import Path

import pytest

from kbit.cli.prune import prune_results
from kbit.spec.errors import UserError
from kbit.store.head import LOCK
from kbit.upkeep import inventory


@pytest.fixture
def unneeded(finished) -> Path:
    """A part that no study in config/ needs, but perhaps the one that Snakemake was started on by hand."""
    finished.write_study(bits=[5])
    Path(".snakemake/locks").mkdir(parents=True)
    Path(".snakemake/locks/0.input.lock").touch()
    return inventory.parts()[0]


def prune(yes: bool) -> None:
    prune_results([], [], yes, 24.0, False)


def test_it_lists_and_removes_nothing(unneeded, capsys):
    prune(yes=False)
    assert str(unneeded) in capsys.readouterr().out
    with pytest.raises(UserError, match="held by one started by hand, alive or dead: wait for it"):
        prune(yes=True)
    assert unneeded.exists()


def test_the_lock_that_a_killed_run_left_is_nobodys(unneeded):
    LOCK.write_text("`kbit run`, process 1 on n1 since 2026-01-01 00:00 UTC")
    prune(yes=True)
    assert not unneeded.exists()
