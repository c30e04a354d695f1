"""The jobs that look at hidden units: one for each model of a study that asks for it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kbit.spec.digest import digest_json
from kbit.spec.models import Model
from kbit.spec.requests import requests_digest
from kbit.spec.study import Study
from kbit.spec.tasks import Task
from kbit.store.paths import outliers_path, outliers_spec_path, requests_path

OUTLIERS_VERSION = 1
"""Raised when what is observed changes."""


@dataclass(frozen=True)
class OutliersJob:
    """A model and the text that it is watched on."""

    model: Model
    task: Task
    dtype: str
    token_budget: int

    @property
    def requests(self) -> Path:
        return requests_path(self.task.name, self.requests_digest)

    @cached_property
    def requests_digest(self) -> str:
        return requests_digest(self.task, self.model)

    @cached_property
    def key(self) -> str:
        """12 hex digits over what can change what is seen."""
        return digest_json([OUTLIERS_VERSION, self.model.model_id, self.requests_digest, self.dtype])[:12]

    @property
    def file(self) -> Path:
        return outliers_spec_path(self.model.slug, self.key)

    @property
    def output(self) -> Path:
        return outliers_path(self.model.slug, self.key)

    def to_json(self) -> dict[str, object]:
        return {
            "model": self.model.slug,
            "model_id": self.model.model_id,
            "task": self.task.name,
            "requests": self.requests_digest,
            "dtype": self.dtype,
            "token_budget": self.token_budget,
        }


def plan_outliers(study: Study) -> tuple[OutliersJob, ...]:
    """One for each model, if the study names a task for it."""
    config = study.config
    chosen = [task for task in study.tasks if task.name == config.outliers_task]
    return tuple(
        OutliersJob(model, task, config.dtype, config.token_budget) for task in chosen for model in study.models
    )
