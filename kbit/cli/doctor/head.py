"""Who holds the results folder: a run that is alive, one that died, Snakemake started by hand."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from kbit.store.head import LOCK, RUN, is_held, read_holder
from kbit.store.paths import RESULTS
from kbit.upkeep.finding import Finding
from kbit.upkeep.slurm import SNAKEMAKE_LOCKS


def check(_named: Sequence[Path]) -> Iterator[Finding]:
    held, holder = is_held(), read_holder()
    locked = any(SNAKEMAKE_LOCKS.glob("*.lock"))
    if held:
        yield Finding("ok", f"{RESULTS}/ is in use ({LOCK}): {holder or 'by a process that is just beginning'}")
    elif holder:
        also = ", and Snakemake's own lock with it" if locked else ""
        who = "a head that died" if holder.startswith(f"`{RUN}`") else "a command that died"
        yield Finding("note", f"{LOCK} was left by {who} ({holder}){also}; the next `kbit run` goes on")
    elif locked:
        yield Finding(
            "problem",
            f"Snakemake's lock ({SNAKEMAKE_LOCKS}/) is held by a snakemake started by hand, alive or dead",
            "wait for it; if none runs: snakemake --unlock --config study=STUDY, with the study that it ran",
        )
    else:
        yield Finding("ok", "no run is at work, and none died")
