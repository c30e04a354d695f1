"""`--report` on a finished study: Snakemake's own report, with our page and tables in it, made without a network."""

import base64
import sys
import zipfile

import pytest

pytestmark = pytest.mark.usefixtures("offline")

TABLES = {"cells.parquet", "scores.parquet", "points.parquet", "models.parquet", "fits.parquet"}


@pytest.fixture
def offline(monkeypatch):
    """Whoever asks for anything on the network is refused at once."""
    for scheme in ("http", "https", "all"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")


@pytest.fixture
def page(finished) -> bytes:
    return (finished.root / "reports/small/index.html").read_bytes()


def test_an_archive_holds_the_page_the_tables_and_what_ran(finished, page, tmp_path):
    before = sorted((finished.root / "results").rglob("*"))
    said = finished.run("small", "--report", str(tmp_path / "audit.zip"))
    assert "Report created." in said.stdout + said.stderr
    with zipfile.ZipFile(tmp_path / "audit.zip") as archive:
        files = {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist()}
    assert files["index.html"] == page
    assert files.keys() == {"report.html", "index.html"} | TABLES
    for name in TABLES - {"fits.parquet"}:
        assert files[name] == (finished.root / "results/studies/small/tables" / name).read_bytes()
    report = files["report.html"].decode()
    assert "How many bits should a weight have?" in report
    assert "config/small.yaml" in report
    assert "needs no server and no network" in report
    for rule in ("build_requests", "evaluate", "tables", "fit", "report"):
        assert f'"rule": "{rule}", "runtime"' in report
    # It looks, and leaves nothing behind.
    assert sorted((finished.root / "results").rglob("*")) == before


def test_plain_snakemake_makes_one_file_with_the_page_inside(finished, page, tmp_path):
    output = tmp_path / "audit.html"
    finished.call(sys.executable, "-m", "snakemake", "--config", "study=config/small.yaml", "--report", str(output))
    assert base64.b64encode(page).decode() in output.read_text()
