"""One head per results folder: who holds it, and holding it (docs/decisions/0003-one-head-and-its-locks.md)."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO

from kbit.spec.errors import UserError
from kbit.store.disk import cannot_write
from kbit.store.paths import RESULTS

LOCK = RESULTS / ".kbit-run.lock"
RUN = "kbit run"
PATIENCE_SECONDS = 1.0
"""Longer than `is_held` looks, so that whoever asks never gets in a run's way."""


def read_holder() -> str:
    """Who holds the results folder, or held it when it died; empty if the last one ended in peace."""
    try:
        return LOCK.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def is_held() -> bool:
    """Whether some process, on whatever machine, holds the results folder now. Returns at once.

    A file system without locks holds nothing: `take` refuses it, and `kbit doctor` says so.
    """
    try:
        with LOCK.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def run_is_alive() -> bool:
    """Whether a `kbit run` holds the results folder now."""
    return is_held() and read_holder().startswith(f"`{RUN}`")


@contextmanager
def hold_results(verb: str = RUN) -> Iterator[str]:
    """Hold the results folder; yields who died while holding it, empty if nobody did. UserError if it is held.

    A second head would delete the first one's Snakemake locks when it ends, so it is refused.
    """
    with open_lock() as lock:
        take(lock)
        # For Snakemake (kbit/cli/run.py): if `kbit run` alone is killed, it goes on, and so holds the folder.
        os.set_inheritable(lock.fileno(), True)
        earlier = read_holder()
        write_holder(lock, f"`{verb}`, process {os.getpid()} on {socket.gethostname()} since {now()}")
        try:
            yield earlier
        finally:
            if verb != RUN:
                write_holder(lock, earlier)
        if verb == RUN:
            # Only a head that gets here has ended; the next one finds the name of one that died.
            write_holder(lock, "")


def open_lock() -> IO[str]:
    """UserError where the results folder cannot be written."""
    try:
        RESULTS.mkdir(parents=True, exist_ok=True)
        return LOCK.open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{LOCK} cannot be opened: {error.strerror}") from None


def take(lock: IO[str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                verb, _, who = read_holder().partition(", ")
                raise UserError(
                    f"another {verb or 'kbit'} holds {RESULTS}/ ({who or 'starting now'}); wait for it or stop it"
                ) from None
            time.sleep(PATIENCE_SECONDS / 20)
        except OSError as error:
            raise UserError(
                f"{LOCK} cannot be locked ({error.strerror}): this file system has no flock; mount it with locks, or "
                "keep results/ on one that has them"
            ) from None
        else:
            return


def write_holder(lock: IO[str], text: str) -> None:
    """UserError where the disk is full."""
    try:
        lock.truncate(0)
        # Past the stream's buffer, which would be written again, and fail again, when it is closed.
        os.write(lock.fileno(), text.encode())
    except OSError as error:
        raise cannot_write("lock", LOCK, error) from None


def now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
