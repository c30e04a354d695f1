"""Claims about specs of the same models, and about what models have in common."""

import polars as pl
import pytest

from kbit.scaling.claims import Tables


@pytest.fixture
def accuracies(plant, make_spec):
    """A family whose largest models lose `loss` of accuracy at 3 bits; chance is 0.5 in these studies."""

    def make(family, loss, sizes=(10**9, 4 * 10**9), **options):
        heights = {(family, make_spec(16)): 0.5, (family, make_spec(3)): 0.5 - loss}
        return plant(heights, sizes=sizes, kind="zero-shot", metric="acc", **options)

    return make


@pytest.mark.parametrize(
    ("family", "loss", "expected"),
    [
        ("OPT", 0.28, "supported"),
        ("OPT", 0.1, "refuted"),
        ("Pythia", 0.28, "supported"),
        ("GPT-2", 0.1, "supported"),
        ("BLOOM", 0.28, "refuted"),
    ],
)
def test_large_opt_and_pythia_collapse_and_the_others_do_not(accuracies, status, family, loss, expected):
    # The larger model has 0.8 at 16 bits, a lead of 0.3 over chance.
    assert status("H4", accuracies(family, loss)) == expected


def test_small_models_say_nothing_about_collapse(accuracies, findings):
    (found,) = findings("H4", accuracies("tiny OPT", 0.28, sizes=(1000, 2000)))
    assert (found.status, found.value) == ("undetermined", None)
    assert "the largest has 2,000" in found.missing
    assert findings("H4", accuracies("Llama", 0.28)) == []


def both_metrics(n, noise):
    """Points whose accuracy falls with the loss, up to `noise` by turns."""
    return pl.DataFrame(
        [
            {"family": "f", "model": f"m{number}", "nats_per_byte": 1.0 + number / 10,
             "mean_zero_shot_accuracy": 0.8 - number / 20 + (noise if number % 2 else 0.0)}
            for number in range(n)
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("n", "noise", "expected"),
    [(8, 0.001, "supported"), (12, 0.5, "refuted"), (3, 0.0, "undetermined"), (6, 0.08, "undetermined")],
)
def test_correlation_is_judged_over_models(findings, n, noise, expected):
    class Evidence:
        points = both_metrics(n, noise)

    (found,) = findings("H5", Tables(Evidence(), pl.DataFrame()))
    assert found.status == expected


def test_blocks_are_worth_a_bit_where_they_are(plant, make_spec, status, findings):
    def make(family, blocks):
        return plant(
            {
                (family, make_spec(4, 1024)): 0.0,
                (family, make_spec(4, 64)): blocks,
                (family, make_spec(5, 1024)): 0.1,
            }
        )

    assert status("H7", make("Pythia", 0.09)) == "supported"
    assert status("H7", make("tiny NeoX", 0.01)) == "refuted"
    assert status("H7", make("Pythia", 0.05)) == "undetermined"
    assert findings("H7", make("OPT", 0.09)) == []


@pytest.fixture
def data_types(plant, make_spec):
    def make(**heights):
        exponent = {"float": {"exponent_bits": 2}}
        return plant(
            {("f", make_spec(4, data_type=name, **exponent.get(name, {}))): height for name, height in heights.items()}
        )

    return make


def test_data_types_at_four_bits(data_types, status, findings):
    assert status("H8", data_types(quantile=0.03, float=0.02, int=0.01, dynamic=0.0)) == "supported"
    assert status("H8", data_types(quantile=0.03, float=0.005, int=0.01, dynamic=0.0)) == "refuted"
    (found,) = findings("H8", data_types(quantile=0.03, float=0.02, int=0.01))
    assert found.missing.startswith("models with int, float, dynamic and quantile")


def test_int_at_five_bits(plant, make_spec, status):
    def make(gain):
        floats = make_spec(5, data_type="float", exponent_bits=3)
        return plant({("f", make_spec(5)): gain, ("f", floats): 0.0})

    assert status("H9", make(0.01)) == "supported"
    assert status("H9", make(-0.01)) == "refuted"


def test_centering_is_measured_against_the_damage(plant, make_spec, status):
    def make(gain):
        heights = {("f", make_spec(16)): 0.0, ("f", make_spec(4)): -0.1}
        return plant({**heights, ("f", make_spec(4, centered="block")): -0.1 + gain})

    # A tenth of the damage is 0.01.
    assert status("H10", make(0.002)) == "supported"
    assert status("H10", make(0.05)) == "refuted"
    assert status("H10", make(0.01)) == "undetermined"


def correlations(strong, middle, control, parameters=350_000_000):
    pairs = {("attention_output", "ffn1"): strong, ("kvq", "attention_output"): middle, ("ffn1", "ffn2"): control}
    return pl.DataFrame(
        [
            {"family": "OPT", "model": f"m{number}", "parameters": parameters, "feeder": feeder, "role": role,
             "spearman": values[number]}
            for (feeder, role), values in pairs.items()
            for number in range(2)
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("strong", "middle", "control", "expected"),
    [
        ((0.55, 0.66), (0.12, 0.20), (-0.05, -0.08), "supported"),
        ((0.10, 0.66), (0.12, 0.20), (-0.05, -0.08), "undetermined"),
        ((0.10, 0.10), (0.12, 0.20), (-0.05, -0.08), "refuted"),
        ((0.55, 0.66), (0.12, 0.20), (-0.30, -0.30), "refuted"),
    ],
)
def test_the_order_of_rank_correlations(findings, strong, middle, control, expected):
    (found,) = findings("H12", Tables(None, pl.DataFrame(), correlations(strong, middle, control)))
    assert found.status == expected


def test_without_large_models_there_is_no_order(findings):
    small = correlations((0.5, 0.5), (0.1, 0.1), (0.0, 0.0), parameters=1000)
    (found,) = findings("H12", Tables(None, pl.DataFrame(), small))
    assert found.missing == "a model of 300,000,000 parameters or more"
    (found,) = findings("H12", Tables(None, pl.DataFrame()))
    assert "the table outliers" in found.missing


def test_finetuned_models_are_damaged_alike(plant, make_spec, findings):
    def make(tuned):
        return plant(
            {
                ("BLOOM", make_spec(16)): 0.0,
                ("BLOOM", make_spec(3)): -0.1,
                ("BLOOMZ", make_spec(16)): 0.05,
                ("BLOOMZ", make_spec(3)): 0.05 - tuned,
            }
        )

    for tuned, expected in ((0.11, "supported"), (0.2, "refuted")):
        (found,) = findings("H13", make(tuned))
        assert (found.status, found.subject.family) == (expected, "BLOOM, BLOOMZ")
    (found,) = findings("H13", plant({("BLOOM", make_spec(16)): 0.0}))
    assert found.missing == "both families, BLOOM and BLOOMZ"
