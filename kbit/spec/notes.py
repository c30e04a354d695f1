"""What a job or a verb says on standard error that is no error."""

import sys

NOTE = "note: "
"""How such a line begins, so that nobody takes the last one for what ended a process."""


def note(text: str) -> None:
    print(f"{NOTE}{text}", file=sys.stderr, flush=True)
