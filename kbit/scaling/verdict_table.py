"""The verdict as a short table of text, for the end of a run: best k per family, with its interval."""

import polars as pl

from kbit.scaling.fit_rows import BEST
from kbit.scaling.metrics import METRICS

BIT_LABELS = {"total_bits": "total bits", "body_bits": "body bits"}


def verdict_table(fits: pl.DataFrame, metric: str | None = None) -> list[dict[str, str]]:
    """One row per family and count of bits, as heading -> text, from the rows of fits.parquet.

    For each k the best spec counts. `metric` is one of `metrics.METRICS`; by default the first of them that was fitted.
    """
    verdicts = fits.filter((pl.col("fit") == "verdict") & (pl.col("data_type") == BEST))
    fitted = [known.name for known in METRICS if known.name in verdicts["metric"]]
    verdicts = verdicts.filter(pl.col("metric") == (metric or next(iter(fitted), None)))
    rows = []
    for family in verdicts["family"].unique().sort():
        for bit_accounting in BIT_LABELS:
            of_row = (pl.col("family") == family) & (pl.col("bit_accounting") == bit_accounting)
            rows.append(describe_family(verdicts.filter(of_row)))
    return rows


def describe_family(verdict: pl.DataFrame) -> dict[str, str]:
    """The text of one verdict: best k, its interval, share of the range, resamples won, gap."""
    best = verdict.row(by_predicate=pl.col("quantity") == "best_bits", named=True)
    names = {
        "family": best["family"],
        "metric": best["metric"].replace("_", " "),
        "at fixed": BIT_LABELS[best["bit_accounting"]],
    }
    if best["status"] != "ok":
        return {
            **names,
            "best k": "undetermined",
            "95 %": "",
            "share of range": "",
            "wins resamples": "",
            "gap to runner-up": best["note"],
        }
    k = int(best["value"])
    quantities = {(row["quantity"], row["bits"]): row for row in verdict.iter_rows(named=True)}
    gap = quantities["gap_to_runner_up", None]
    runner_up = gap["note"].partition(";")[0].removeprefix("runner-up: ")
    return {
        **names,
        "best k": f"{k} bits",
        "95 %": interval_text(best, "{:.0f}"),
        "share of range": with_interval(quantities["share", k], "{:.0%}"),
        "wins resamples": f"{quantities['win_rate', k]['value']:.0%}" if ("win_rate", k) in quantities else "",
        "gap to runner-up": f"{with_interval(gap, '{:+.4f}')} ({runner_up})",
    }


def with_interval(row: dict[str, object], form: str) -> str:
    return " ".join(text for text in (form.format(row["value"]), interval_text(row, form)) if text)


def interval_text(row: dict[str, object], form: str) -> str:
    """The interval in brackets; nothing where there is none."""
    if row["low"] is None:
        return ""
    return f"[{form.format(row['low'])}, {form.format(row['high'])}]"
