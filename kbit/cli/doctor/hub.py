"""What was fetched from the hub: is it still in the cache, so that jobs find it without a network?"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from kbit.store.paths import RESULTS
from kbit.upkeep.finding import Finding


def check(_named: Sequence[Path]) -> Iterator[Finding]:
    from huggingface_hub.constants import HF_HUB_CACHE

    from kbit.evaluation.fetch import is_cached

    stamps = sorted([*(RESULTS / "models").glob("*.fetched.json"), *(RESULTS / "tasks").glob("*.fetched.json")])
    gone = [stamp for stamp in stamps if not is_cached(stamp)]
    if gone:
        yield Finding(
            "note",
            f"{len(gone)} of {len(stamps)} fetched models and data sets are no longer whole in {HF_HUB_CACHE}: "
            f"{', '.join(stamp.name.removesuffix('.fetched.json') for stamp in gone[:5])}",
            "`kbit run` fetches what it still needs again; before a run without network: kbit fetch STUDY",
        )
    elif stamps:
        yield Finding("ok", f"all {len(stamps)} models and data sets that were fetched are in {HF_HUB_CACHE}")
    else:
        yield Finding("ok", f"nothing was fetched from the hub yet; its cache is {HF_HUB_CACHE}")
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        yield Finding("note", "HF_HUB_OFFLINE is set: nothing can be fetched from here (jobs never need it)")
