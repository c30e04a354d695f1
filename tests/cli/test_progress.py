"""Progress of a run: what is counted, and what never ends the run that is counted."""

from pathlib import Path

from kbit.cli.progress import Progress
from kbit.plan import missing
from kbit.plan.plan import plan_study
from kbit.store.paths import journal_folder


def test_a_journal_that_cannot_be_read_now_costs_a_line_and_not_the_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(missing, "_scans", {})  # paths are relative: another test's would be taken for this one's
    plan = plan_study(Path(__file__).parents[2] / "config/tiny.yaml")
    with Progress(plan) as progress:
        journal = journal_folder(plan.shards[0].model.slug) / "a.jsonl"
        journal.mkdir(parents=True)
        progress.show()
        assert capsys.readouterr().out == ""
        journal.rmdir()
        progress.show()
        assert capsys.readouterr().out == f"0/{len(plan.cells):,} cells\n"
