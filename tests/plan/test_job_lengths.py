"""Jobs of the right size: what the cut into slices aims at, held for the paper's study at the hardware as shipped."""

from pathlib import Path

import pytest

from kbit.plan.job_lengths import AIM, LIMITS, Job, count_lengths, jobs_to_run, lengths_by_model, share_as_aimed
from kbit.plan.plan import plan_study
from kbit.plan.resources import Estimator
from kbit.spec.hardware import hardware_of_profile
from kbit.store.throughput import ThroughputTable

ROOT = Path(__file__).parents[2]


def job(minutes, gpu_hours=0.0, model="a"):
    return Job(model, minutes, gpu_hours)


def test_a_length_is_counted_in_its_bin():
    edges = [0, 4.9, *LIMITS, 1000]
    lengths = count_lengths(map(job, edges))
    assert lengths.counts == (2, 1, 1, 1, 1, 1, 2)
    assert (lengths.jobs, lengths.median_minutes, lengths.longest_minutes) == (9, 20, 1000)


def test_models_are_counted_apart():
    lengths = lengths_by_model([job(3, model="b"), job(30), job(50, model="b")])
    assert {model: own.jobs for model, own in lengths.items()} == {"b": 2, "a": 1}
    assert lengths["b"].median_minutes == 26.5


def test_the_share_is_of_gpu_hours():
    assert share_as_aimed([job(AIM[0], 1), job(AIM[1], 2), job(19.9, 3), job(60.1, 6)]) == 0.25
    assert share_as_aimed([job(30), job(30)]) is None


@pytest.fixture(scope="module", params=["local", "slurm"])
def jobs(request, tmp_path_factory):
    """Those of the paper's study in an empty results folder, as a profile is shipped."""
    hardware = hardware_of_profile(ROOT / "profiles" / request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("nothing"))
        estimator = Estimator(plan_study(ROOT / "config/paper.yaml"), hardware, ThroughputTable())
        return jobs_to_run(estimator)


def test_the_papers_study_is_hundreds_of_jobs_of_20_to_60_minutes(jobs):
    """Issue 5: not tens of thousands. Of 691 jobs 632 are so long, 46 shorter, 13 longer."""
    assert 300 < len(jobs) < 1000
    aimed = [each for each in jobs if AIM[0] <= each.minutes <= AIM[1]]
    assert len(aimed) > 0.85 * len(jobs)
    assert share_as_aimed(jobs) > 0.85
    assert max(each.minutes for each in jobs) < 2 * AIM[1]


def test_a_job_whose_part_is_there_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = plan_study(ROOT / "config/tiny.yaml")
    plan.shards[0].part.parent.mkdir(parents=True)
    plan.shards[0].part.touch()
    left = jobs_to_run(Estimator(plan, hardware_of_profile(ROOT / "profiles/local"), ThroughputTable()))
    assert [each.model for each in left] == [shard.model.name for shard in plan.shards[1:]]
    assert all(each.minutes > 0 and each.gpu_hours == 0 for each in left)
