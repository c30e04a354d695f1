"""The page of all studies."""

import json

from kbit.report.index_page import SUMMARY, summarize, write_index
from kbit.report.render import render_report

STUDY = {"name": "synthetic", "title": "Known <structure>"}


def test_a_report_is_listed_with_date_verdict_and_completeness(study_files, frames, tmp_path):
    render_report(STUDY, *study_files, tmp_path / "synthetic" / "index.html")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert '<a href="synthetic/index.html">Known &lt;structure&gt;</a>' in page
    assert "<td>2026-01-02</td>" in page
    assert "Ada: 4 bits" in page
    planned = frames["cells"].height
    assert f"{planned - 2:,} of {planned:,}" in page


def test_studies_stand_newest_first_and_vanish_with_their_report(frames, fits, tmp_path):
    summary = summarize(STUDY, frames, fits, "2026-01-02T03:04:05Z")
    for name, date in (("old", "2025-05-05"), ("new", "2026-07-07"), ("gone", "2026-08-08")):
        (tmp_path / name).mkdir()
        if name != "gone":
            (tmp_path / name / "index.html").write_text("a page")
        write_index(tmp_path, name, {**summary, "title": name.upper(), "date": date})
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.index("NEW") < page.index("OLD")
    assert "GONE" not in page


def test_a_summary_that_cannot_be_read_is_left_out(frames, fits, tmp_path):
    for name, content in (("torn", '{"name": "to'), ("other", json.dumps({"name": "other"}))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text("a page")
        (tmp_path / name / SUMMARY).write_text(content)
    write_index(tmp_path, "mine", summarize(STUDY, frames, fits, ""))
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "torn" not in page
    assert "other" not in page
