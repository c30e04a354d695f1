"""Points that are not what the rest of the study suggests, as the fits have flagged them."""

import polars as pl

from kbit.report.labels import FIT_LABELS
from kbit.scaling.fit_rows import ALL

UNSTABLE = "unstable"
"""Law whose rows are `rule[model]` of a spec (kbit/scaling/laws/unstable.py)."""
LISTED_POINTS = 200


def unstable_points(fits: pl.DataFrame) -> dict[str, object]:
    """How many points were flagged, what each rule found and means, and the first LISTED_POINTS rows.

    `checked` is False where no rule was applied: tables of an earlier release.
    """
    rows = fits.filter(pl.col("fit") == UNSTABLE)
    counts = rows.filter((pl.col("family") == ALL) & pl.col("quantity").str.starts_with("n_"))
    flagged = rows.filter(pl.col("quantity").str.contains("[", literal=True)).with_columns(
        rule=pl.col("quantity").str.extract(r"^([^\[]*)\["),
        model=pl.col("quantity").str.extract(r"(?s)^[^\[]*\[(.*)\]$"),
        metric_name=pl.col("metric").replace(FIT_LABELS),
    )
    rules = [(row["quantity"].removeprefix("n_"), row["method"], int(row["value"])) for row in counts.to_dicts()]
    listed = flagged.sort("rule", "family", "model", "spec", "metric").head(LISTED_POINTS)
    return {
        "checked": counts.height > 0,
        "count": flagged.select("model", "spec").n_unique() if flagged.height else 0,
        "flags": flagged.height,
        "rules": sorted(rules),
        "points": listed.to_dicts(),
    }
