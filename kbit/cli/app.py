"""The command itself: its help in groups, its options, the arguments that several verbs take, and how it ends."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from kbit import __version__
from kbit.spec.errors import UserError

STUDY, RESULTS, RULES, EMBEDDED = "A study", "A results folder", "Called by rules", "Embedded models and tasks"
"""Headings of `kbit --help`; every verb names one, as its `rich_help_panel`."""


class GroupedHelp(TyperGroup):
    """Lists the verbs under their headings, in the order of their files."""

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:
        """Write a section per heading; typer calls it."""
        verbs = [self.commands[name] for name in self.list_commands(ctx)]
        widest = max(len(verb.name) for verb in verbs)
        for heading in (STUDY, RESULTS, RULES, EMBEDDED):
            group = [verb for verb in verbs if verb.rich_help_panel == heading and not verb.hidden]
            with formatter.section(heading):
                # Padded, so that the descriptions of all groups begin in one column.
                width = formatter.width - widest - 6
                formatter.write_dl([(verb.name.ljust(widest), verb.get_short_help_str(width)) for verb in group])


app = typer.Typer(
    help="k-bit inference scaling laws: for a fixed number of total model bits, how many bits should each weight have?",
    cls=GroupedHelp,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

StudyFile = Annotated[Path, typer.Argument(help="A study, such as config/tiny.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Run Python code that comes with models; without it such a model is refused. Every row says so.",
    ),
]
DeviceMemory = Annotated[
    float | None,
    typer.Option(
        min=0,
        envvar="KBIT_DEVICE_MEMORY_GB",
        help="GB of each GPU to use at most, where others use it too; without it, what is free. A model that does not "
        "fit is streamed through it layer by layer.",
    ),
]


def main() -> None:
    """Run a verb; a user's mistake is one line on stderr and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"kbit: {error}", file=sys.stderr)
        sys.exit(2)


def print_version(wanted: bool) -> None:
    if wanted:
        print(f"kbit {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the command itself."""
