"""How a run that failed, and a verb that a rule calls, say what is wrong."""

import sys

import pytest

from kbit.cli import main
from kbit.cli.run import executes_jobs, explain_failure


def test_a_log_that_is_no_text_hides_no_mistake(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    logs = tmp_path / "results" / "logs"
    logs.mkdir(parents=True)
    (logs / "a.log").write_bytes(b"half a char\xc3\nkbit: no file a\n")
    assert explain_failure(1, 0.0, logs / "none.log") == 2
    assert capsys.readouterr().err == "kbit: no file a\n"


@pytest.mark.parametrize(
    ("arguments", "executes"),
    [
        ("", True),
        ("--until tables --retries 0", True),
        ("-n --until tables", False),
        ("--filegraph", False),
        ("-D", False),
        ("--list-rules", False),
        ("--report x.zip", False),
        ("--report=x.html", False),
        ("--report x.zip --report-after-run", True),
    ],
)
def test_what_executes_nothing_neither_waits_for_a_head_nor_hides_what_snakemake_says(arguments, executes):
    assert executes_jobs(arguments.split()) is executes


@pytest.mark.parametrize("content", [None, "{"])
def test_requests_specs_that_cannot_be_read_are_one_line(content, tmp_path, monkeypatch, capsys):
    spec = tmp_path / "task.0123456789ab.json"
    if content is not None:
        spec.write_text(content)
    monkeypatch.setattr(sys, "argv", ["kbit", "build-requests", str(spec)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"kbit: {spec} cannot be read: ")
    assert said.endswith("; plan the study again\n")
    assert said.count("\n") == 1
