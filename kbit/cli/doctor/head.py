"""Who holds the results folder: a run that is alive, one that died, Snakemake started by hand."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from kbit.store.head import LOCK, is_held, read_holder
from kbit.upkeep.finding import Finding

SNAKEMAKE_LOCKS = Path(".snakemake/locks")


def check(_named: Sequence[Path]) -> Iterator[Finding]:
    held, holder = is_held(), read_holder()
    locked = any(SNAKEMAKE_LOCKS.glob("*.lock"))
    if held:
        yield Finding("ok", f"a run is at work ({LOCK}): {holder}")
    elif holder:
        also = " and Snakemake's own lock" if locked else ""
        yield Finding(
            "note", f"{LOCK}{also} was left by a head that died ({holder}); the next `kbit run` takes it over"
        )
    elif locked:
        yield Finding(
            "problem",
            f"Snakemake's lock ({SNAKEMAKE_LOCKS}/) is held by a snakemake started by hand, alive or dead",
            "wait for it; if none runs: snakemake --unlock --config study=STUDY, with the study that it ran",
        )
    else:
        yield Finding("ok", "no run is at work, and none died")
