"""The requests of a task: its items as token ids, built once per (task, tokenizer) and named by digest."""

from dataclasses import dataclass

from kbit.spec.digest import digest_json
from kbit.spec.models import Model
from kbit.spec.tasks import Task

REQUESTS_VERSION = 1
"""Raised when the layout of a requests file or the way it is built changes; scores are unaffected by it."""
REQUESTS_HEADER = b"kbit_requests"
"""Key of a requests file's metadata: what it holds, as JSON."""


@dataclass(frozen=True, slots=True)
class RequestsSpec:
    """One requests file: which items, tokenized how."""

    task: Task
    model: Model
    """A model that has the tokenizer."""

    @property
    def digest(self) -> str:
        return requests_digest(self.task, self.model)

    def to_json(self) -> dict[str, object]:
        return {
            "requests_version": REQUESTS_VERSION,
            "task": self.task.locator(),
            "task_identity": self.task.items_identity,
            "tokenizer_id": self.model.tokenizer_id,
            "model": self.model.locator(),
        }


def requests_digest(task: Task, model: Model) -> str:
    """12 hex digits over the items, the tokenizer and the layout."""
    return digest_requests(task.items_identity, model.tokenizer_id, REQUESTS_VERSION)


def digest_requests(items_identity: str, tokenizer_id: str, version: int) -> str:
    """The digest in the name of a requests file, which its header states in these three parts."""
    return digest_json([items_identity, tokenizer_id, version])[:12]
