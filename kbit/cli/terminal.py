"""Where verbs print their tables."""

from rich.console import Console

PIPE_WIDTH = 160
"""A pipe has no width of its own; rich's 80 columns would fold every number."""


def open_console() -> Console:
    """Standard output, as wide as the terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)
