"""lm-eval's task object without its data: rebuilt from a requests file to compute metrics as lm-eval does.

Jobs neither load a data set nor read the task's YAML nor search lm-eval's index, so that editing a task cannot
break a queued job. Only functions that a definition names (`!function`) are imported again, from their file.
"""

import importlib.util
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path

from lm_eval.api.task import ConfigurableTask

from kbit.spec.errors import UserError

SCORING_FIELDS = (
    "task",
    "output_type",
    "doc_to_text",
    "doc_to_target",
    "doc_to_choice",
    "process_results",
    "use_prompt",
    "target_delimiter",
    "metric_list",
)
"""What of a task's definition takes part in its metrics. Data, splits, prompts and shots have done their work."""
FUNCTION = "!function"


def describe_task(task: ConfigurableTask) -> dict[str, object]:
    """The definition as JSON, as far as metrics need it; functions as [file, name]."""
    config = task.config
    return {field: encode_value(getattr(config, field), config.task) for field in SCORING_FIELDS}


def encode_value(value: object, task: str) -> object:
    if isinstance(value, dict):
        return {key: encode_value(inner, task) for key, inner in value.items()}
    if isinstance(value, list):
        return [encode_value(inner, task) for inner in value]
    if not callable(value):
        return value
    if not inspect.isfunction(value) or "." in value.__qualname__:
        raise UserError(f"task {task!r}: {value!r} is not a function of a module, which is all a definition may name")
    return {FUNCTION: [relative_file(Path(inspect.getsourcefile(value))), value.__name__]}


def harness_folder() -> Path:
    """The folder that holds lm-eval's package."""
    return Path(inspect.getfile(ConfigurableTask)).resolve().parents[2]


def relative_file(file: Path) -> str:
    """A file of lm-eval relative to where it is installed, which differs between machines; any other as it is."""
    file = file.resolve()
    return str(file.relative_to(harness_folder())) if file.is_relative_to(harness_folder()) else str(file)


def decode_value(value: object) -> object:
    if isinstance(value, dict):
        return (
            import_function(*value[FUNCTION])
            if FUNCTION in value
            else {key: decode_value(inner) for key, inner in value.items()}
        )
    if isinstance(value, list):
        return [decode_value(inner) for inner in value]
    return value


@cache
def import_module(file: Path) -> object:
    spec = importlib.util.spec_from_file_location(f"kbit_task_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def import_function(file: str, name: str) -> Callable:
    path = harness_folder() / file  # an absolute file stays what it is
    if not path.is_file():
        raise UserError(f"no file {path}, whose function {name} a task of this study uses")
    function = getattr(import_module(path), name, None)
    if function is None:
        raise UserError(f"{path} has no function {name}, which a task of this study uses")
    return function


class StoredDocs(list):
    """Documents with the one attribute of a data set that lm-eval's tasks look at."""

    @property
    def features(self) -> dict[str, None]:
        return dict.fromkeys(key for doc in self for key in doc)


class StoredTask(ConfigurableTask):
    """An lm-eval task over documents already at hand, for `process_results` and `aggregation`."""

    def __init__(self, definition: dict[str, object], docs: list[dict]) -> None:
        self._stored = StoredDocs(docs)
        self._rendered: dict[tuple[str, int], object] = {}
        config = {key: decode_value(value) for key, value in definition.items()}
        # num_fewshot: lm-eval compares it with 0 when a task has neither training nor validation documents.
        super().__init__(config={**config, "test_split": "stored", "num_fewshot": 0})

    def download(self, *_: object, **__: object) -> None:
        """Instead of a download: the documents stored with the requests."""
        self.dataset = {"stored": self._stored}

    def rendered(self, field: str, doc: dict, render: Callable[[], object]) -> object:
        """A template's value for a stored document, rendered once per process instead of once per cell.

        lm-eval compiles the Jinja template anew on each call, most of the time of `process_results`.
        """
        key = (field, id(doc))  # the documents live as long as this object
        if key not in self._rendered:
            self._rendered[key] = render()
        return self._rendered[key]

    def doc_to_text(self, doc: dict, doc_to_text: object = None) -> object:
        return self.rendered("text", doc, lambda: super(StoredTask, self).doc_to_text(doc, doc_to_text))

    def doc_to_target(self, doc: dict, doc_to_target: object = None) -> object:
        return self.rendered("target", doc, lambda: super(StoredTask, self).doc_to_target(doc, doc_to_target))

    def doc_to_choice(self, doc: dict, doc_to_choice: object = None) -> object:
        return self.rendered("choice", doc, lambda: super(StoredTask, self).doc_to_choice(doc, doc_to_choice))
