"""The text that calibrated solvers are shown: a text of the task list, cut into sequences of one length.

It becomes a requests file like those of tasks, one for each tokenizer (kbit/spec/requests.py). Solvers that need it say
so in `kbit.spec.members.SOLVERS`.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from kbit.spec.errors import UserError, choice_error
from kbit.spec.section import Section
from kbit.spec.tasks import Task, TaskEntry, resolve_task

CALIBRATION = "calibration"
"""Name of its requests files, whatever the text is called."""


class CalibrationConfig(Section):
    """What solvers that look at a layer's inputs are calibrated on."""

    text: str = Field(description="Name of a text in tasks_files; how it is cut there is no matter.")
    sequences: int = Field(default=128, gt=0, description="How many sequences, spread evenly over the text.")
    length: int = Field(default=2048, ge=2, description="Tokens of each; no more than the models read.")


def resolve_calibration(config: CalibrationConfig, entries: Mapping[str, tuple[TaskEntry, Path]], where: Path) -> Task:
    """The text as a task. UserError if there is none of that name, or it is no text, or cannot be read."""
    if config.text not in entries:
        texts = [name for name, (entry, _) in entries.items() if entry.text is not None]
        raise choice_error("text", config.text, texts, f"calibration of {where}")
    entry, tasks_file = entries[config.text]
    if entry.text is None:
        raise UserError(f"text {config.text!r} is one of lm-eval's tasks, not a plain text (calibration of {where})")
    text = entry.text.model_copy(update={"window": config.length, "windows": config.sequences, "spread": True})
    # Neither its name there nor what is stated of its scoring belongs to its identity.
    plain = {"name": CALIBRATION, "version": "1", "metric": "nats_per_token", "label": None, "items": config.sequences}
    return resolve_task(
        entry.model_copy(update={**plain, "text": text, "tokens_per_item": config.length}), None, tasks_file
    )


def calibration_identity(task: Task) -> str:
    """What of it changes a score, in a word: sequences x length - digest of both and of the text."""
    text = task.entry.text
    return f"{text.windows}x{text.window}-{task.items_identity[:16]}"
