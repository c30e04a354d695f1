"""What a job tells the scheduler of its GPUs, and itself of its device."""

import pytest

from kbit.plan.resources import gpu_resources
from kbit.spec.hardware import Hardware


@pytest.mark.parametrize(
    ("request_", "model", "gpus", "expected"),
    [
        # Nobody hands GPUs out: a laptop's GPU is used if there is one, whatever the plan counts on.
        ("none", None, 1, (1, "", "", "auto")),
        ("none", "a100", 0, (0, "", "", "auto")),
        ("gpus", None, 2, (2, "", "", "cuda")),
        ("gpus", "a100", 1, (1, "a100", "", "cuda")),
        # A model alone would be an empty request for GPUs of that model.
        ("gpus", "a100", 0, (0, "", "", "cpu")),
        # Both `gpu` and `gres` would ask twice.
        ("gres", None, 1, (0, "", "gpu:1", "cuda")),
        ("gres", "a100", 2, (0, "", "gpu:a100:2", "cuda")),
        ("gres", "a100", 0, (0, "", "", "cpu")),
    ],
)
def test_a_job_asks_for_gpus_as_its_place_wants(request_, model, gpus, expected):
    got = gpu_resources(gpus, Hardware(gpu_request=request_, gpu_model=model))
    assert tuple(got[name] for name in ("gpu", "gpu_model", "gres", "device")) == expected


def test_a_place_without_gpus_computes_on_the_cpu_also_where_there_is_one():
    assert gpu_resources(0, Hardware(max_gpus=0))["device"] == "cpu"
