"""Methods of invented studies against plain 4-bit integers, where the difference is known."""

import numpy as np
import pytest

from kbit.scaling.evidence import read_evidence
from kbit.scaling.laws.equal_bits import REFERENCE, fit_equal_bits
from kbit.spec.quant import CONTROL, QuantSpec

SIZES = (100_000, 200_000, 400_000, 800_000)
NF3 = QuantSpec(data_type="nf", bits=3, block_size=64)
ROTATED = QuantSpec(data_type="int", bits=4, block_size=64, rotation="hadamard")
STANDARD = QuantSpec(data_type="mxfp4", bits=4, block_size=32)
OTHER_BLOCK = QuantSpec(data_type="int", bits=4, block_size=1024)
DAMAGE = {REFERENCE: 0.05, NF3: 0.2, ROTATED: 0.02, STANDARD: 0.03, OTHER_BLOCK: 0.1, CONTROL: 0.0}
PER_DOUBLING = 0.1


def planted_loss(size, spec):
    return 2 - PER_DOUBLING * np.log2(size / SIZES[0]) + DAMAGE[spec]


@pytest.fixture
def rows(study, score):
    """The law's rows of a family with the planted losses, at total bits: (spec, quantity) -> row."""

    def make(sizes=SIZES, specs=tuple(DAMAGE)):
        of_text = {"kind": "perplexity", "metric": "nats_per_byte", "stderr": 1e-3}
        scores = [
            score("f", f"f{size}", size, spec, "pages", float(planted_loss(size, spec)), **of_text)
            for size in sizes
            for spec in specs
        ]
        built = study(scores).build()
        found = list(fit_equal_bits(read_evidence(built.tables, built.parts, lambda _: None)))
        return {(row.subject.spec, row.quantity): row for row in found if row.subject.bit_accounting == "total_bits"}

    return make


def test_difference_is_what_bits_and_damage_make(rows):
    found = rows()
    for spec, bits in ((REFERENCE, 4.25), (ROTATED, 4.25), (NF3, 3.25), (STANDARD, 4.5)):
        # A loss that takes b bits a weight is reached with b / 4.25 times the bits: log2 of that doublings.
        expected = DAMAGE[spec] - DAMAGE[REFERENCE] + PER_DOUBLING * np.log2(bits / 4.25)
        difference, over_models = (found[spec.slug, name] for name in ("difference", "difference_over_models"))
        # Curves are straight: what is left is the rounding to whole bits.
        assert difference.value == pytest.approx(expected, abs=1e-4)
        assert over_models.value == pytest.approx(expected, abs=1e-4)
        assert over_models.high - over_models.low < 1e-3  # no model contradicts another
        assert difference.low <= difference.value <= difference.high
    assert found[REFERENCE.slug, "difference"].value == 0


def test_other_block_sizes_and_the_control_are_not_ranked(rows):
    assert {spec for spec, _ in rows()} == {spec.slug for spec in (REFERENCE, NF3, ROTATED, STANDARD)}


def test_nothing_without_the_reference(rows):
    assert rows(specs=(CONTROL, NF3, ROTATED)) == {}


def test_what_is_missing_is_said(rows):
    found = rows(sizes=SIZES[:2])
    assert found[ROTATED.slug, "difference"].status == "ok"
    row = found[ROTATED.slug, "difference_over_models"]
    assert (row.status, row.note) == ("undetermined", "needs 4 sizes to leave one out, has 2")


def test_curves_that_share_no_bits_are_undetermined(rows):
    """Sizes that differ by a tenth: the largest model at 3.25 bits is smaller than the smallest at 4.25."""
    row = rows(sizes=(100_000, 110_000))[NF3.slug, "difference"]
    assert row.status == "undetermined"
    assert "share no range of bits" in row.note
