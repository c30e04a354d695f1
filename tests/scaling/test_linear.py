"""The linear model against a cluster jackknife computed directly in numpy."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from kbit.scaling.regression import build_design, identified_rows, regression_rows
from kbit.spec.quant import CONTROL, QuantSpec
from kbit.warehouse import read_table

FAMILIES = {"a": (1e5, 4e5, 1e6), "b": (2e5, 8e5, 3e6), "c": (5e5, 6e6)}


def specs():
    for data_type in ("int", "quantile"):
        for bits in (3, 4, 5):
            for block_size in (64, 1024):
                yield QuantSpec(data_type=data_type, bits=bits, block_size=block_size)


@pytest.fixture
def invented(study, score):
    """A study whose loss is exactly linear but for a quirk of each model and noise of each cell."""

    def build(families=FAMILIES, noise=0.003):
        generator = np.random.default_rng(3)
        scores = []
        for family, sizes in families.items():
            for size in sizes:
                quirk = generator.normal(0, 10 * noise)
                for spec in [CONTROL, *specs()]:
                    penalty = {3: 0.2, 4: 0.05, 5: 0.01, 16: 0.0}[spec.bits]
                    loss = 4 - 0.1 * np.log2(size) + penalty * (1.5 if spec.block_size == 1024 else 1) + quirk
                    loss += -0.02 * (spec.data_type == "quantile") + generator.normal(0, noise)
                    model = f"{family}{size:.0f}"
                    fixed = {"kind": "perplexity", "metric": "nats_per_byte"}
                    scores.append(score(family, model, int(size), spec, "pages", float(loss), **fixed))
        return study(scores)

    return build


def fitted(fits):
    rows = fits.filter(pl.col("fit") == "linear")
    return {row["quantity"]: row for row in rows.iter_rows(named=True)}


def test_coefficients_and_intervals_equal_a_jackknife_in_numpy(invented):
    study = invented()
    found = fitted(study.fit())
    design = build_design(identified_rows(regression_rows(read_table(study.tables, "points")))[0])
    beta = np.linalg.lstsq(design.X, design.y, rcond=None)[0]
    models = np.unique(design.groups)
    deleted = np.stack(
        [np.linalg.lstsq(design.X[design.groups != g], design.y[design.groups != g], rcond=None)[0] for g in models]
    )
    n = len(models)
    # CRV3 (MacKinnon, Nielsen & Webb 2023): the jackknife variance around the full estimate.
    se = np.sqrt((n - 1) / n * ((deleted - beta) ** 2).sum(axis=0))
    reach = stats.t.ppf(0.975, n - 1) * se
    for name, value, half in zip(design.names, beta, reach, strict=True):
        row = found[name]
        # Two ways to solve one least-squares problem in double precision.
        assert (row["value"], row["low"], row["high"]) == pytest.approx(
            (value, value - half, value + half), rel=1e-6, abs=1e-9
        )
    assert (n, found["intercept"]["n"]) == (8, 8 * 12)


def test_the_planted_effects_are_found(invented):
    found = fitted(invented(noise=1e-5).fit())
    # The quirks (1e-4 per model) limit slope and families, the noise (1e-5) the rest.
    assert found["log2_parameters"]["value"] == pytest.approx(-0.1, abs=1e-3)
    assert found["data_type[quantile]"]["value"] == pytest.approx(-0.02, abs=1e-4)
    reference = "bits_block[3,1024]"
    assert f"reference levels: {reference}, data_type[int], family[a]" in found["intercept"]["note"]
    assert found["bits_block[5,64]"]["value"] == pytest.approx(0.01 - 0.3, abs=1e-4)
    assert found["r_squared"]["value"] > 0.999


def test_a_family_with_one_model_is_left_out_and_listed(invented):
    found = fitted(invented(FAMILIES | {"lone": (1e6,)}).fit())
    assert "family[lone]" not in found
    assert "left out, only one model: family lone" in found["intercept"]["note"]
    assert found["intercept"]["n"] == 8 * 12


def test_too_few_models_are_undetermined(invented):
    found = fitted(invented({"a": (1e5, 1e6), "lone": (1e6,)}).fit())
    assert set(found) == {"log2_parameters"}
    assert found["log2_parameters"]["status"] == "undetermined"
    assert "needs 3 models in families of two or more, has 2" in found["log2_parameters"]["note"]


def test_a_spec_that_only_one_model_has_is_left_out(invented, score):
    study = invented()
    extra = QuantSpec(data_type="int", bits=8, block_size=64)
    study.scores.append(score("a", "a100000", 100_000, extra, "pages", 2.0, kind="perplexity", metric="nats_per_byte"))
    found = fitted(study.fit())
    assert "bits_block[8,64]" not in found
    assert "left out, only one model: bits_block 8,64" in found["intercept"]["note"]
