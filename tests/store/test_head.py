"""One head per results folder: held, refused, and known to have died."""

import errno
import os

import pytest

from kbit.spec.errors import UserError
from kbit.store import head
from kbit.store.head import LOCK, hold_results, is_held, read_holder


@pytest.fixture(autouse=True)
def in_scratch_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(head, "PATIENCE_SECONDS", 0.1)


def test_a_folder_is_held_for_as_long_as_the_block_lasts():
    assert (is_held(), read_holder()) == (False, "")
    with hold_results() as earlier:
        assert earlier == ""
        assert is_held()
        assert f"process {os.getpid()} on " in read_holder()
    assert (is_held(), read_holder()) == (False, "")


def test_a_second_one_is_told_who_holds_it():
    with hold_results("kbit prune"), pytest.raises(UserError) as caught, hold_results():
        pass
    assert str(caught.value).startswith(f"another `kbit prune` holds results/ (process {os.getpid()} on ")


def test_asking_does_not_get_in_the_way_of_a_run():
    """A run that starts while somebody looks waits for that instant."""
    LOCK.parent.mkdir()
    LOCK.touch()
    with LOCK.open() as looking:
        head.fcntl.flock(looking, head.fcntl.LOCK_SH)
        with pytest.raises(UserError, match="holds results/"), hold_results():
            pass
    with hold_results():
        assert is_held()


def test_a_run_that_does_not_end_in_peace_is_known_until_the_next_has_ended():
    with pytest.raises(KeyboardInterrupt), hold_results():
        raise KeyboardInterrupt
    assert "`kbit run`, process" in read_holder()
    # A prune in between takes nothing of that away, even one that fails.
    with hold_results("kbit prune") as earlier:
        assert "`kbit run`, process" in earlier
    with pytest.raises(UserError, match="disk"), hold_results("kbit prune"):
        raise UserError("disk")
    with hold_results() as earlier:
        assert "`kbit run`, process" in earlier
    assert read_holder() == ""


def test_a_file_system_without_locks_is_named(monkeypatch):
    def no_flock(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(head.fcntl, "flock", no_flock)
    with pytest.raises(UserError, match=r"cannot be locked \(Function not implemented\)"), hold_results():
        pass
    assert LOCK.exists()
    assert not is_held()  # `kbit status` and `kbit doctor` ask, and go on


def test_a_results_folder_that_cannot_be_written_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"results/\.kbit-run\.lock cannot be opened: "), hold_results():
        pytest.fail("held")


def test_a_full_disk_is_said_in_one_line(monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(head.os, "write", full)
    said = r"^lock results/\.kbit-run\.lock cannot be written: no space left on the disk"
    with pytest.raises(UserError, match=said), hold_results():
        pytest.fail("held")
    assert not is_held()
