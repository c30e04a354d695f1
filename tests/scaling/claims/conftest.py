"""Studies with a planted truth, as the tests of claims see them: real tables, and the verdicts fitted to them."""

import pytest

from kbit.scaling.claims import CLAIMS, Tables
from kbit.scaling.evidence import read_evidence
from kbit.scaling.fit_rows import fit_frame
from kbit.scaling.laws.verdict import fit_verdicts
from kbit.spec.quant import CONTROL, QuantSpec

SIZES = (100_000, 400_000, 1_600_000)


def spec(bits, block_size=64, data_type="int", **options):
    return CONTROL if bits == 16 else QuantSpec(data_type=data_type, bits=bits, block_size=block_size, **options)


@pytest.fixture
def plant(study, score):
    """`plant({(family, spec): height})`: tables of a study of one perplexity task.

    A height is by how much the loss of a spec is below that of a model of its size at 16 bits; the loss falls by 0.1
    nats with each next size. Kinds other than losses are given the heights as accuracies.
    """

    def make(heights, sizes=SIZES, stderr=1e-4, kind="perplexity", metric="nats_per_byte", verdicts=False):
        sign, base = (-1, 3.0) if kind == "perplexity" else (1, 0.2)
        scores = []
        for (family, of), height in heights.items():
            for number, size in enumerate(sizes):
                value = base + sign * (0.1 * number + (height(size) if callable(height) else height))
                model = f"{family.lower().replace(' ', '-')}-{size}"
                scores.append(score(family, model, size, of, "t", value, stderr, kind=kind, metric=metric))
        built = study(scores).build()
        evidence = read_evidence(built.tables, built.parts, lambda _: None)
        return Tables(evidence, fit_frame(list(fit_verdicts(evidence)) if verdicts else []))

    return make


@pytest.fixture
def findings():
    """`findings("H1", tables)`: what the test of a claim finds."""

    def find(name, tables):
        return list(next(claim for claim in CLAIMS if claim.name == name).test(tables))

    return find


@pytest.fixture
def status(findings):
    """The status of a claim's findings; all alike, as they are for both counts of bits in these studies."""

    def of(name, tables, statistic=""):
        found = {one.status for one in findings(name, tables) if statistic in one.statistic}
        assert len(found) == 1, found
        return found.pop()

    return of


@pytest.fixture
def make_spec():
    return spec
