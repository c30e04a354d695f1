"""A task that is a text: how its documents are found and cut. Such a task needs no definition of lm-eval's."""

from pydantic import Field, model_validator

from kbit.spec.section import Section

TEXT_VERSION = 1
"""Raised when the same settings come to mean other tokens or other scores."""
WHOLE_METRICS = ("nats_per_token", "perplexity", "nats_per_byte", "nats_per_word")
WINDOW_METRICS = ("nats_per_token", "perplexity", "nats_per_byte")
"""Windows cut words, so none is counted."""


class TextConfig(Section):
    """How a text is read, and how it is cut for a model."""

    column: str = Field(
        default="text", min_length=1, description="Column that holds the documents; a .txt file is one document."
    )
    split: str | None = Field(default=None, min_length=1, description="Split of the hub data set.")
    files: tuple[str, ...] = Field(
        default=(),
        description="Files of the hub data set to read as that split; none: the split as the set defines it.",
    )
    documents: int | None = Field(default=None, gt=0, description="Take the first so many documents; null takes all.")
    window: int | None = Field(
        default=None,
        ge=2,
        description="Join the documents, tokenize once, score windows of so many tokens; null scores each document.",
    )
    separator: str = Field(default="\n\n", description="What joins the documents; with window only.")
    windows: int | None = Field(default=None, gt=0, description="Score at most so many windows; null scores all.")
    spread: bool = Field(
        default=False, description="Take the windows from all over the text, not its first ones; needs windows."
    )

    @model_validator(mode="after")
    def check_window(self) -> "TextConfig":
        given = sorted({"separator", "windows"} & self.model_fields_set)
        if self.window is None and given:
            raise ValueError(f"{' and '.join(given)} of a text mean nothing without window")
        if self.spread and self.windows is None:
            raise ValueError("spread: true of a text needs windows, the number of them")
        return self

    @property
    def metrics(self) -> tuple[str, ...]:
        """What can be the headline of such a task."""
        return WHOLE_METRICS if self.window is None else WINDOW_METRICS

    def identity(self) -> dict[str, object]:
        """What of it may change a score. Defaults are left out: a key that is added later changes no identity."""
        return self.model_dump(mode="json", exclude_defaults=True)
