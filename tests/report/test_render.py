"""The page as a file."""

import base64
import gzip
import json
import re

import polars as pl
import pytest

from kbit.report.completeness import completeness, problem_cells, totals
from kbit.report.provenance import run_facts, task_facts
from kbit.report.render import render_report
from kbit.spec.errors import UserError

STUDY = {"name": "synthetic", "title": "Known <structure> & more", "plan": "0123456789ab", "item_limit": None}


@pytest.fixture(scope="module")
def page(study_files, tmp_path_factory):
    output = tmp_path_factory.mktemp("reports") / "deep" / "index.html"
    render_report(STUDY, *study_files, output)
    return output


def test_same_tables_same_bytes(page, study_files, tmp_path):
    output = tmp_path / "deep" / "index.html"
    render_report(STUDY, *study_files, output)
    assert output.read_bytes() == page.read_bytes()
    render_report(STUDY, *study_files, output)
    assert output.read_bytes() == page.read_bytes()


def test_page_is_small_and_stands_alone(page):
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_size < 4_000_000
    own = re.sub(r"<script>const n=.*?</script>", "", text, flags=re.DOTALL)  # the Vega bundle, inert strings included
    assert len(own) < len(text) / 2
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", own)
    for namespace in ("http://www.w3.org/2000/svg", "https://vega.github.io/schema"):  # names, never fetched
        own = own.replace(namespace, "")
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|https?://", own)
    assert "default-src 'none'" in own


def test_text_of_users_is_escaped(page):
    text = page.read_text(encoding="utf-8")
    assert "Known &lt;structure&gt; &amp; more" in text
    assert "&lt;failed&gt; &amp; told so" in text
    assert "Bel &amp; Co" in text
    assert "<failed>" not in text


def test_payload_holds_every_point(page, frames):
    text = re.search(r'id="payload">([^<]*)<', page.read_text(encoding="utf-8")).group(1)
    payload = json.loads(gzip.decompress(base64.b64decode(text)))
    assert payload["tables"]["points"]["n"] == frames["points"].height
    assert payload["tables"]["points"]["columns"]["total_bits"] == frames["points"]["total_bits"].to_list()


def test_completeness_counts_every_cell(frames):
    counted = totals(completeness(frames["models"]))
    assert counted["planned"] == frames["cells"].height
    assert counted["unscored"] == 2
    assert counted["collapsed"] == 1
    assert counted["done"] == counted["planned"] - 2


def test_problem_cells_are_listed_worst_first(frames):
    problems = problem_cells(frames["cells"])
    assert problems["count"] == 3
    assert [cell["status"] for cell in problems["cells"]] == ["failed", "crashed", "collapsed"]
    assert problems["cells"][0]["error"] == "<failed> & told so"


def test_provenance_reads_the_rows(frames):
    facts = dict(run_facts(frames["cells"]))
    assert facts["Commit"] == ["0123abcd"]
    assert facts["Quantization members, versions"] == [
        "16-bit v1",
        "dynamic v1",
        "float v1",
        "int v1",
        "none v1",
        "quantile v1",
        "rtn v1",
    ]
    assert facts["Cells started"] == ["2026-01-02T03:04:05Z"]
    # Of a CPU, and in tables of a release that had no such column, there is nothing to say.
    on_cpu = frames["cells"].with_columns(pl.lit(None, pl.String).alias("driver_version")).drop("cuda_version")
    assert facts.keys() - dict(run_facts(on_cpu)).keys() == {"NVIDIA driver", "CUDA"}


def test_study_tells_about_itself(page):
    text = page.read_text(encoding="utf-8")
    assert re.search(r"<dt>Plan</dt><dd>0123456789ab</dd>", text)
    assert re.search(r"<dt>Items of a task at most</dt><dd>all</dd>", text)


def test_proxies_are_named_as_proxies(frames, page):
    tasks = task_facts(frames["cells"])
    assert [(task["task"], task["is_proxy"]) for task in tasks] == [
        ("ho_order", True),
        ("ho_pair", True),
        ("ho_pages", True),
    ]
    assert "<strong>proxies</strong>" in page.read_text(encoding="utf-8")
    hub = frames["cells"].with_columns(pl.col("task").str.replace("ho_", ""))
    assert not any(task["is_proxy"] for task in task_facts(hub))


def test_missing_inputs_are_named(study_files, tmp_path):
    tables, fits = study_files
    with pytest.raises(UserError, match=r"fits\.parquet.*kbit fit"):
        render_report(STUDY, tables, tmp_path / "fits.parquet", tmp_path / "index.html")
    with pytest.raises(UserError, match=r"cells\.parquet"):
        render_report(STUDY, tmp_path, fits, tmp_path / "index.html")
    pl.DataFrame({"fit": ["x"]}).write_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(UserError, match=r"foreign\.parquet.*columns"):
        render_report(STUDY, tables, tmp_path / "foreign.parquet", tmp_path / "index.html")
    assert not (tmp_path / "index.html").exists()
