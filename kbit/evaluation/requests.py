"""The requests of a task: what a model is asked, as token ids. Built once per (task, tokenizer), read by every job."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from kbit.spec.errors import UserError

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import ConfigurableTask
    from transformers import PreTrainedTokenizerBase

    from kbit.evaluation.encoding import Encoded

UNLIMITED_LENGTH = 10**9
"""A tokenizer's model_max_length above this means that nobody stated one."""


@dataclass(frozen=True, eq=False)
class Requests:
    """The requests of one task in one tokenizer, in the order of their documents.

    Compared by identity: what is prepared from a requests file is kept for as long as the file is in use.
    """

    header: dict[str, object]
    """Of the file: requests_version, task, kind, metric, task_identity, tokenizer_id, output_type, definition,
    tokenizer_max_length (tokens, null if unlimited), lm_eval_version; of a text its settings as `text`."""
    docs: list[dict]
    """The documents as lm-eval's task gave them, the first `item_limit` of them."""
    doc: np.ndarray
    """int32 [n_requests]: the document of each request, ascending from 0."""
    contexts: list[np.ndarray]
    """n_requests x int64 [tokens]: what is given; at least one token."""
    continuations: list[np.ndarray]
    """n_requests x int64 [tokens]: what is scored. Empty only for an empty page of a perplexity task."""

    def __len__(self) -> int:
        return len(self.contexts)

    @property
    def task(self) -> str:
        return str(self.header["task"])

    @property
    def is_rolling(self) -> bool:
        """Whole texts are scored, in as many windows as they need, instead of continuations."""
        return self.header["output_type"] == "loglikelihood_rolling"

    @property
    def is_text(self) -> bool:
        """A plain text, not one of lm-eval's tasks."""
        return "text" in self.header

    @property
    def window(self) -> int | None:
        """Tokens of each window that a text was cut into, context included; None if its documents are scored whole."""
        return self.header["text"]["window"] if self.is_text else None


def build_requests(spec: dict, output: Path, trust_remote_code: bool = False) -> None:
    """Build the requests file of `RequestsSpec.to_json()` at `output`, whole or not at all.

    trust_remote_code: run code that comes with the model's tokenizer.
    UserError: the task's definition or data is broken or unknown, the tokenizer is missing, or a text cannot be scored.
    """
    from kbit.evaluation.requests_file import write_requests
    from kbit.models.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(spec["model"], trust_remote_code)
    write_requests(make_requests(spec, tokenizer), output)


def make_requests(spec: dict, tokenizer: "PreTrainedTokenizerBase") -> Requests:
    """The requests of `RequestsSpec.to_json()`: texts by lm-eval's task object, tokens as lm-eval's HFLM makes them.

    A text that is cut into windows is tokenized whole instead.
    """
    from kbit.evaluation.stored_task import describe_task
    from kbit.evaluation.task_objects import load_task
    from kbit.evaluation.text_windows import window_requests

    with TemporaryDirectory(prefix="kbit-task-") as scratch:
        task = load_task(spec["task"], Path(scratch))
        head = header(spec, task, tokenizer) | {"definition": describe_task(task)}
        if "text" in head and head["text"]["window"]:
            return window_requests(head, [doc["text"] for doc in task.eval_docs], spec["task"]["item_limit"], tokenizer)
        instances = build_instances(task, spec["task"]["item_limit"])
    encoded = encode_instances(instances, tokenizer, spec["model"]["name"])
    check_encoded(instances, encoded)
    return Requests(
        header=head,
        docs=[instance.doc for instance in instances if instance.idx == 0],
        doc=np.array([instance.doc_id for instance in instances], dtype=np.int32),
        contexts=[np.array(request.context, dtype=np.int64) for request in encoded],
        continuations=[np.array(request.continuation, dtype=np.int64) for request in encoded],
    )


def header(spec: dict, task: "ConfigurableTask", tokenizer: "PreTrainedTokenizerBase") -> dict[str, object]:
    from lm_eval import __version__

    max_length = tokenizer.model_max_length
    rolling = task.OUTPUT_TYPE == "loglikelihood_rolling"
    return {
        "requests_version": spec["requests_version"],
        "task": spec["task"]["name"],
        "kind": spec["task"]["kind"],
        "metric": spec["task"]["metric"],
        "task_identity": spec["task_identity"],
        "tokenizer_id": spec["tokenizer_id"],
        "output_type": "loglikelihood_rolling" if rolling else "loglikelihood",
        "tokenizer_max_length": max_length if max_length < UNLIMITED_LENGTH else None,
        "lm_eval_version": __version__,
        **({"text": spec["task"]["text"]} if "text" in spec["task"] else {}),
    }


def build_instances(task: "ConfigurableTask", item_limit: int | None) -> list["Instance"]:
    """lm-eval's request texts of the first `item_limit` documents, in order of document and choice."""
    try:
        task.build_all_requests(limit=item_limit)
    except Exception as error:
        # A template or function of the task's definition met a document it cannot render.
        from kbit.evaluation.task_objects import one_line

        raise UserError(f"task {task.config.task!r}: its requests cannot be built: {one_line(error)}") from error
    return sorted(task.instances, key=lambda instance: (instance.doc_id, instance.idx))


def encode_instances(instances: list["Instance"], tokenizer: "PreTrainedTokenizerBase", model: str) -> list["Encoded"]:
    from kbit.evaluation.encoding import encode_pages, encode_pairs, prefix_token

    prefix = prefix_token(tokenizer, model)
    if instances[0].request_type == "loglikelihood_rolling":
        return encode_pages([instance.args[0] for instance in instances], tokenizer, prefix)
    return encode_pairs([instance.args for instance in instances], tokenizer, prefix)


def check_encoded(instances: list["Instance"], encoded: list["Encoded"]) -> None:
    """Nothing to score is an error of the data, except an empty page, which adds nothing to a perplexity."""
    for instance, request in zip(instances, encoded, strict=True):
        empty = "context" if not request.context else "continuation" if not request.continuation else None
        if empty and instance.request_type != "loglikelihood_rolling":
            place = f"request {instance.idx} of item {instance.doc_id}"
            raise UserError(f"task {instance.task_name!r}: {place} has a {empty} of no tokens: {instance.args!r:.200}")
    if not any(request.continuation for request in encoded):
        raise UserError(f"task {instances[0].task_name!r} has no token to score: all its texts are empty")


def read_requests(path: Path) -> Requests:
    """Read a requests file. UserError, naming the command that drops it, if it is damaged or not one."""
    from kbit.evaluation.requests_file import read_requests_file

    return read_requests_file(path)
