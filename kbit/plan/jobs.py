"""What the rules ask of the plan, answered in the head, which has made it (inside jobs: kbit/plan/submitted.py)."""

from kbit.plan.hub import model_stamps, requests_stamps
from kbit.plan.places import JobOptions, Resources, job_options
from kbit.plan.plan import Plan
from kbit.plan.resources import estimate_study
from kbit.spec.cell import Cell
from kbit.spec.hardware import Hardware
from kbit.spec.quant import CONTROL
from kbit.store.paths import requests_path


class PlannedJobs:
    """Answers by the wildcards of a rule's output."""

    def __init__(self, plan: Plan, hardware: Hardware) -> None:
        self.plan = plan
        self.hardware = hardware
        self.estimator = estimate_study(plan, hardware)

    def requests(self, model: str, slice: str, key: str) -> list[str]:  # noqa: A002 - Snakemake's wildcards, by name
        """The requests files of a shard's tasks, and of what its specs are calibrated on."""
        return [str(path) for path in self.plan.shard(model, slice, key).requests]

    def model_stamps(self, model: str, slice: str, key: str) -> list[str]:  # noqa: A002
        """What says that the shard's model was fetched from the hub."""
        return [str(path) for path in model_stamps(self.plan.shard(model, slice, key).model)]

    def requests_stamps(self, task: str, digest: str) -> list[str]:
        """What says that data and tokenizer of a requests file were fetched from the hub."""
        return [str(path) for path in requests_stamps(self.plan.requests[requests_path(task, digest)])]

    def options(self, model: str, slice: str, key: str) -> JobOptions:  # noqa: A002
        """What `kbit run-shard` is told."""
        shard = self.plan.shard(model, slice, key)
        linears = shard.model.quantized_parameters or shard.model.parameters
        return job_options(shard.model.parameters, linears, shard.cells[0].dtype, self.hardware, shard.calibrates)

    def resources(self, model: str, slice: str, key: str) -> Resources:  # noqa: A002
        """What the job asks for."""
        return self.estimator.resources(self.plan.shard(model, slice, key))

    def outliers_requests(self, model: str, key: str) -> list[str]:
        """The requests file of the text that a model's hidden units are looked at on."""
        return [str(self.plan.outliers_job(model, key).requests)]

    def outliers_stamps(self, model: str, key: str) -> list[str]:
        """What says that this model was fetched from the hub."""
        return [str(path) for path in model_stamps(self.plan.outliers_job(model, key).model)]

    def outliers_options(self, model: str, key: str) -> JobOptions:
        """What `kbit measure-outliers` is told."""
        job = self.plan.outliers_job(model, key)
        linears = job.model.quantized_parameters or job.model.parameters
        return job_options(job.model.parameters, linears, job.dtype, self.hardware)

    def outliers_resources(self, model: str, key: str) -> Resources:
        """What it asks for: as much as scoring the 16-bit model on the text."""
        job = self.plan.outliers_job(model, key)
        return self.estimator.single(Cell("", job.model, CONTROL, job.task, job.dtype), job.token_budget)
