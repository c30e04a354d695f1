"""What the rules ask of the plan, answered inside a job: from the files that the head wrote before it submitted it.

A job on a cluster reads the Snakefile again, twice. It does not plan the study again: that takes a second each time,
and a study that somebody has edited meanwhile would no longer have the job's shard.
"""

from functools import cache
from pathlib import Path

from kbit.plan.places import JobOptions, Resources, job_options
from kbit.spec.calibration import CALIBRATION
from kbit.spec.hardware import Hardware
from kbit.store.atomic import read_planned
from kbit.store.paths import locator_path, outliers_spec_path, requests_path, shard_path


class SubmittedJobs:
    """Answers the questions of `kbit.plan.jobs.PlannedJobs`."""

    def __init__(self, hardware: Hardware) -> None:
        self.hardware = hardware

    def requests(self, model: str, slice: str, key: str) -> list[str]:  # noqa: A002 - Snakemake's wildcards, by name
        """The requests files of a shard: if another node made them, Snakemake waits until they show here."""
        cells = read_once(shard_path(model, slice, key))["cells"]
        paths = [requests_path(cell["task"], cell["requests"]) for cell in cells]
        paths += [requests_path(CALIBRATION, cell["calibration"]) for cell in cells if "calibration" in cell]
        return list(dict.fromkeys(map(str, paths)))

    def model_stamps(self, **_: str) -> list[str]:
        """None: the head saw to what comes from the hub."""
        return []

    def requests_stamps(self, **_: str) -> list[str]:
        """None, likewise."""
        return []

    def options(self, model: str, slice: str, key: str) -> JobOptions:  # noqa: A002
        """What `kbit run-shard` is told: the same as in the head, of the same sizes in the same place."""
        locator = read_once(locator_path(model))
        parameters = locator["parameters"]
        linears = locator["quantized_parameters"] or parameters
        shard = read_once(shard_path(model, slice, key))
        calibrates = any("calibration" in cell for cell in shard["cells"])
        return job_options(parameters, linears, shard["dtype"], self.hardware, calibrates)

    def resources(self, **_: str) -> Resources:
        """Nothing is asked for: it was granted, and a step of a Slurm job has the job's GPUs without asking again."""
        return Resources(mem_mb=0, runtime=0, gpu=0, gpu_model="", gres="")

    def outliers_requests(self, model: str, key: str) -> list[str]:
        """The requests file of the text that a model's hidden units are looked at on."""
        planned = read_once(outliers_spec_path(model, key))
        return [str(requests_path(planned["task"], planned["requests"]))]

    def outliers_stamps(self, **_: str) -> list[str]:
        """None: the head saw to what comes from the hub."""
        return []

    def outliers_options(self, model: str, key: str) -> JobOptions:
        """What `kbit measure-outliers` is told: the same as in the head."""
        locator = read_once(locator_path(model))
        linears = locator["quantized_parameters"] or locator["parameters"]
        return job_options(
            locator["parameters"], linears, read_once(outliers_spec_path(model, key))["dtype"], self.hardware
        )

    def outliers_resources(self, **_: str) -> Resources:
        """Nothing is asked for, as of a shard."""
        return self.resources()


@cache
def read_once(path: Path) -> dict:
    return read_planned(path)
