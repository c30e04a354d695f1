"""The known conclusion: fed with the AutoRound tables, the analysis finds what their readers found.

Expected figures were computed independently of this code, by linear interpolation on log2 total bits over LLaMA-1 7B to
65B, mean of the paper's four tasks, nominal bits (bits + 16 / group) over all parameters.
"""

from pathlib import Path

import polars as pl
import pytest

from kbit.spec.quant import CONTROL, QuantSpec

PUBLISHED = Path(__file__).parents[2] / "data/published/autoround/autoround_paper_acc.csv"
TASKS = ("lambada_openai", "winogrande", "hellaswag", "piqa")
GROUPED = ("W4G128", "W3G128", "W2G128")
ALL_SCHEMES = (*GROUPED, "W4G-1")


def spec_of(scheme: str, bits: int) -> QuantSpec:
    if bits == 16:
        return CONTROL
    return QuantSpec(data_type="int", bits=bits, block_size="row" if scheme == "W4G-1" else 128)


@pytest.fixture
def verdict(study, score):
    """Fit the published numbers of one method and return {(quantity, bits): row} of the verdict on total bits."""

    def fit(method: str, schemes: tuple[str, ...]) -> dict:
        table = pl.read_csv(PUBLISHED).with_columns(pl.col("method").str.strip_chars("*"))
        chosen = table.filter(
            (pl.col("family") == "llama1")
            & pl.col("task").is_in(TASKS)
            & ((pl.col("method") == "FP16") | ((pl.col("method") == method) & pl.col("scheme").is_in(schemes)))
        )
        chosen = chosen.with_columns(scheme=pl.when(pl.col("bits") < 16).then("scheme")).unique()
        scores = [
            score(
                "llama1",
                row["model"],
                row["n_params"],
                spec_of(row["scheme"], row["bits"]),
                row["task"],
                row["acc_pct"],
            )
            for row in chosen.iter_rows(named=True)
        ]
        fits = study(scores).fit().filter((pl.col("data_type") == "best") & (pl.col("bit_accounting") == "total_bits"))
        return {(row["quantity"], row["bits"]): row for row in fits.iter_rows(named=True)}

    return fit


@pytest.mark.parametrize(("method", "four_minus_three"), [("RTN", 1.17), ("GPTQ", 0.79), ("AWQ", 0.38), ("Ours", 0.06)])
def test_four_bits_win_and_by_how_much(verdict, method, four_minus_three):
    found = verdict(method, GROUPED)
    # Half a unit of the last printed digit.
    assert found["gap_to_next_lower", 4]["value"] == pytest.approx(four_minus_three, abs=0.005)
    if method != "Ours":
        assert found["best_bits", None]["value"] == 4
        assert found["share", 4]["value"] == 1.0
    assert found["range_low", None]["value"] == pytest.approx(36.65, abs=0.005)
    assert found["range_high", None]["value"] == pytest.approx(37.01, abs=0.005)


def test_heights_of_round_to_nearest(verdict):
    found = verdict("RTN", GROUPED)
    # Means over the common range: 16-bit 70.21, 4-bit 73.49, 3-bit 73.09, 2-bit 47.80; distances are to 4 bits.
    for bits, mean in {16: 70.21, 3: 73.09, 2: 47.80}.items():
        assert found["gap_to_best", bits]["value"] == pytest.approx(mean - 73.49, abs=0.01)
    assert found["gap_to_runner_up", None]["value"] == pytest.approx(73.49 - 73.09, abs=0.01)
    assert "runner-up: 3 bits" in found["gap_to_runner_up", None]["note"]


def test_with_the_strongest_method_three_bits_take_a_share(verdict):
    found = verdict("Ours", ALL_SCHEMES)
    assert found["best_bits", None]["value"] == 4
    assert found["share", 4]["value"] == pytest.approx(0.87, abs=0.005)
    assert found["share", 3]["value"] == pytest.approx(0.13, abs=0.005)


def test_without_items_or_standard_errors_there_is_no_interval_and_the_fit_says_so(verdict):
    best = verdict("RTN", GROUPED)["best_bits", None]
    assert (best["low"], best["high"], best["level"], best["status"]) == (None, None, None, "ok")
    assert "no interval" in best["note"]
