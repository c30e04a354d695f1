"""What `kbit plan` prints of the paper's study: sums that agree, and what they are based on."""

from pathlib import Path

import pytest

from kbit.cli.plan import SHARES, as_json, basis_lines, print_plan, summarize
from kbit.plan.plan import plan_study
from kbit.plan.resources import Estimator
from kbit.spec.hardware import Hardware
from kbit.store.throughput import PredictionRatio, ThroughputTable


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """The plan of the whole study, with nothing done yet."""
    with pytest.MonkeyPatch.context() as patch:
        # Nothing of a results folder of this checkout counts.
        patch.chdir(tmp_path_factory.mktemp("nothing"))
        plan = plan_study(Path(__file__).parents[2] / "config/paper.yaml")
        estimator = Estimator(plan, Hardware(), ThroughputTable())
        summarize(estimator)  # estimates every shard, once
        yield estimator


def test_families_add_up_to_the_total(paper):
    summary = summarize(paper)
    for key in ("models", "cells", "slices", "cells_there", "gpu_tokens", "gpu_flop", "streamed_models"):
        assert sum(family[key] for family in summary["families"]) == summary["total"][key], key
    for row in [*summary["families"], summary["total"]]:
        # Every figure is rounded to a hundredth of an hour.
        assert sum(row["gpu_hours_by"].values()) == pytest.approx(row["gpu_hours"], abs=0.01 * len(SHARES))
        assert row["gpu_hours"] > row["gpu_hours_by"]["score"] > 0


def test_the_whole_study_fits_its_budget_at_the_assumed_speed(paper):
    """600 H100-hours are the aim; with an eighth of the tokens or eight times as many this would be another study."""
    total = summarize(paper)["total"]
    assert 2e20 < total["gpu_flop"] < 1.6e21
    assert total["gpu_flop"] / (0.5 * 989e12) / 3600 == pytest.approx(total["gpu_hours_by"]["score"], rel=0.05)
    assert total["gpu_hours"] < 600
    # OPT-66B and both models of 176 billion parameters, on one card of 80 GB.
    assert total["streamed_models"] == 3


def test_the_printed_plan_says_that_its_speed_is_assumed(paper, capsys):
    print_plan(paper, as_json=False)
    printed = " ".join(capsys.readouterr().out.split())
    assert "speed of 33 models: assumed 50% of 989 TFLOP/s (float16)" in printed
    assert "place: GPUs of 80 GB and 989 TFLOP/s, at most 1 of them" in printed
    assert "last prediction" not in printed


def test_the_printed_plan_has_a_histogram_of_job_lengths(paper, capsys):
    print_plan(paper, as_json=False)
    printed = capsys.readouterr().out
    histogram = printed[printed.index("jobs by the minutes they are expected to take") :]
    rows = {
        cells[0]: cells[1:]
        for line in histogram.splitlines()
        if len(cells := [cell.strip() for cell in line.strip("│┃").split("│")]) > 1
    }
    assert len(rows) == 33 + 1
    # Jobs, the bins from <5 to 120+ minutes, median and longest: each of these models is one slice per spec, or one.
    assert rows["bloom-176b"][:8] == ["226", "", "", "", "226", "", "", ""]
    assert rows["gpt2-small"][:8] == ["1", "", "", "", "1", "", "", ""]
    assert rows["all"][0] == "691"
    assert "92% of the GPU-hours are in jobs of 20 to 60 minutes" in histogram


def test_the_histogram_adds_up(paper):
    jobs = summarize(paper)["jobs"]
    bins = zip(*(model["counts"] for model in jobs["models"]), strict=True)
    assert [sum(counts) for counts in bins] == list(jobs["total"]["counts"])
    assert sum(jobs["total"]["counts"]) == jobs["total"]["jobs"] == summarize(paper)["total"]["slices"]
    assert len(jobs["total"]["counts"]) == len(jobs["limits_minutes"]) + 1


def test_the_last_prediction_is_stated(paper):
    error = PredictionRatio(1234, 0.98, 0.5, 2.25, ("assumed", "measured"))
    line = basis_lines(summarize(paper) | {"last_prediction": as_json(error)})[-1]
    assert line.startswith(
        "last prediction: 0.98 times the measured seconds of a cell (80 % of 1,234 cells between 0.50"
    )
