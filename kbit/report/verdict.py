"""The verdict box and the shares figure: what fits.parquet says about the best k, put into sentences.

For each k the best spec counts (data_type `best` of the fits); verdicts within one data type and block size stand in
the shares figure and in the table of fits.
"""

import polars as pl
from markupsafe import Markup

from kbit.report.figures import ACCOUNTINGS, METRICS
from kbit.report.palette import Palette
from kbit.scaling.fit_rows import BEST

FIT_METRICS = {"loss": "nats_per_byte", "accuracy": "mean_zero_shot_accuracy"}
"""The page's metric -> its name in fits.parquet."""
UNITS = {"loss": "nats per byte", "accuracy": "of mean accuracy"}

SHARE_SCHEMA = pl.Schema(
    {
        "metric": pl.String, "accounting": pl.String, "family": pl.String, "selection": pl.String, "bits": pl.Int32,
        "share": pl.Float64, "share_low": pl.Float64, "share_high": pl.Float64, "win_rate": pl.Float64,
        "gap_to_best": pl.Float64,
    }
)  # fmt: skip
BEST_SELECTION = "best spec of each k"


def verdict_views(fits: pl.DataFrame, families: list[str], palette: Palette) -> list[dict[str, object]]:
    """One record per (bit accounting, metric): a sentence, a card per family, and how it was found."""
    views = []
    for accounting in ACCOUNTINGS:
        for metric in METRICS:
            chosen = fits.filter(
                (pl.col("fit") == "verdict")
                & (pl.col("data_type") == BEST)
                & (pl.col("bit_accounting") == accounting)
                & (pl.col("metric") == FIT_METRICS[metric])
            )
            cards = [
                family_card(chosen.filter(pl.col("family") == family), family, metric, palette) for family in families
            ]
            methods = (
                chosen.filter((pl.col("quantity") == "best_bits") & (pl.col("status") == "ok"))["method"]
                .unique()
                .sort()
                .to_list()
            )
            views.append(
                {
                    "key": f"{accounting}/{metric}",
                    "cards": cards,
                    "sentence": summary_sentence(cards, accounting, metric),
                    "method": method_note(methods),
                }
            )
    return views


def summary_sentence(cards: list[dict[str, object]], accounting: str, metric: str) -> str:
    """How many families each k is best for."""
    decided = [card for card in cards if card["best"]]
    what = f"At equal {ACCOUNTINGS[accounting]}, judged by {METRICS[metric]}"
    if not decided:
        return f"{what}, no family of this study allows a verdict yet."
    wins = [
        (k, [card["family"] + card["spread"] for card in decided if card["best"] == k])
        for k in sorted({card["best"] for card in decided})
    ]
    parts = [f"{k} bits are best for {join_names(names)}" for k, names in wins]
    return f"{what}: {'; '.join(parts)}."


def join_names(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def method_note(methods: list[str]) -> str:
    """The rule of the verdict in two sentences, and the method that the fits recorded."""
    if not methods:
        return "No verdict was fitted for this metric."
    return (
        "A verdict compares, over the range of bits that all curves of a family cover, the interpolated curve of each "
        "k, taking at every point the best of its specs. The best k is the one that wins the largest share of that "
        "range; brackets are 95 % intervals. "
        f"Method: {'; or '.join(methods)}."
    )


def family_card(verdict: pl.DataFrame, family: str, metric: str, palette: Palette) -> dict[str, object]:
    """What the box of one family says: best k with its interval, shares of the range, gap to the runner-up."""
    rows = {(row["quantity"], row["bits"]): row for row in verdict.iter_rows(named=True)}
    best = rows.get(("best_bits", None))
    if best is None or best["value"] is None:
        return {
            "family": family,
            "best": None,
            "variable": None,
            "detail": best["note"] if best else "no verdict was fitted",
        }
    k = int(best["value"])
    variables = {series.value: series.variable for series in palette}
    shares = [
        {"bits": bits, "share": row["value"], "variable": variables[bits]}
        for (quantity, bits), row in rows.items()
        if quantity == "share" and row["value"]
    ]
    won = f"Best on {with_interval(rows['share', k], percent)} of the common range"
    return {
        "family": family,
        "best": k,
        "spread": spread_text(best),
        "variable": variables[k],
        "shares": shares,
        "shares_text": "Share of the range won: "
        + ", ".join(f"{share['bits']} bits {percent(share['share'])}" for share in shares),
        "claim": Markup("{}{}.").format(won, range_text(rows)),
        "detail": detail_text(rows, k, metric),
    }


def range_text(rows: dict[tuple[str, int | None], dict[str, object]]) -> str:
    low, high = (rows.get((name, None)) for name in ("range_low", "range_high"))
    if not (low and high):
        return ""
    return Markup(", 2<sup>{:.1f}</sup> to 2<sup>{:.1f}</sup> bits").format(low["value"], high["value"])


def spread_text(best: dict[str, object]) -> str:
    """The interval of the best k, where it leaves a choice."""
    if best["low"] is None or best["low"] == best["high"]:
        return ""
    return f" (95 %: {best['low']:.0f} to {best['high']:.0f})"


def detail_text(rows: dict[tuple[str, int | None], dict[str, object]], k: int, metric: str) -> str:
    """Resamples, gap and remarks, as far as the fits have them."""
    best, win_rate, gap = rows["best_bits", None], rows.get(("win_rate", k)), rows.get(("gap_to_runner_up", None))
    parts = []
    if win_rate is not None:
        parts.append(f"Wins {percent(win_rate['value'])} of resamples.")
    if gap is not None and gap["value"] is not None:
        runner_up = gap["note"].partition(";")[0].removeprefix("runner-up: ")
        parts.append(f"Mean lead over {runner_up}: {with_interval(gap, signed)} {UNITS[metric]}.")
    if best["low"] is None:
        parts.append("No interval.")
    return " ".join(parts)


def percent(value: float) -> str:
    return f"{value:.0%}"


def signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")


def with_interval(row: dict[str, object], form: object) -> str:
    bracket = "" if row["low"] is None else f" [{form(row['low'])}, {form(row['high'])}]"
    return form(row["value"]) + bracket


def share_rows(fits: pl.DataFrame) -> pl.DataFrame:
    """One row per (metric, accounting, family, selection, k) of `SHARE_SCHEMA`, the best of all specs first."""
    verdicts = fits.filter((pl.col("fit") == "verdict") & pl.col("bits").is_not_null())
    page_metric = {name: metric for metric, name in FIT_METRICS.items()}
    name = pl.concat_str(
        [pl.col("data_type"), block_label(), pl.when(pl.col("options") != "").then(pl.col("options"))],
        separator=", ",
        ignore_nulls=True,
    )
    keys = ["metric", "accounting", "family", "selection", "bits"]
    named = verdicts.with_columns(
        pl.col("metric").replace(page_metric),
        pl.col("bit_accounting").alias("accounting"),
        pl.when(pl.col("data_type") == BEST).then(pl.lit(BEST_SELECTION)).otherwise(name).alias("selection"),
    )
    of = {quantity: named.filter(pl.col("quantity") == quantity) for quantity in ("share", "win_rate", "gap_to_best")}
    return (
        of["share"]
        .select(*keys, share="value", share_low="low", share_high="high")
        .join(of["win_rate"].select(*keys, win_rate="value"), on=keys, how="left")
        .join(of["gap_to_best"].select(*keys, gap_to_best="value"), on=keys, how="left")
        .select(SHARE_SCHEMA.names())
        .cast(SHARE_SCHEMA)
        .sort(keys)
    )


def block_label() -> pl.Expr:
    is_number = pl.col("block_size").str.contains(r"^\d+$")
    return (
        pl.when(is_number)
        .then(pl.format("block {}", "block_size"))
        .otherwise(pl.format("one absmax per {}", "block_size"))
    )
