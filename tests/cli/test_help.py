"""What `kbit --help` lists, and what each verb says of itself."""

import pytest
from typer.main import get_command

from kbit.cli import main
from kbit.cli.app import EMBEDDED, RESULTS, RULES, STUDY, app

VERBS = get_command(app).commands


def help_of(monkeypatch, capsys, *arguments: str) -> str:
    monkeypatch.setattr("sys.argv", ["kbit", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_every_verb_is_listed_under_a_heading(monkeypatch, capsys):
    printed = help_of(monkeypatch, capsys, "--help")
    places = [printed.index(f"\n{heading}:\n") for heading in (STUDY, RESULTS, RULES, EMBEDDED)]
    assert places == sorted(places)
    listed = {line.split()[0] for line in printed[places[0] :].splitlines() if line.startswith("  ")}
    assert listed == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_gives_an_example_of_itself(verb, monkeypatch, capsys):
    printed = help_of(monkeypatch, capsys, verb, "--help")
    assert f"Example: kbit {verb}" in " ".join(printed.split())
