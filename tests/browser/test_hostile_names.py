"""Names are text, whatever they hold."""

import polars as pl
import pytest

from kbit.report.render import TABLES, read_fits, render_report
from kbit.warehouse import read_table

NAMES = {
    "ada-2": "<script>document.title = 'taken'</script>",
    "ada-3": "quo\"te's & <b>amp;</b> `${1}` {{ 7 * 7 }} \\",
    "ada-4": "long-" * 60,
    "ada-5": "\u202eنموذج مقلوب\u202c",
    "bel-1": 'line\nbreak, "comma"',
}
FAMILY = "</script><img src=x onerror=\"document.title = 'taken'\"> & Co"


@pytest.fixture(scope="module")
def hostile(synthetic, tmp_path_factory):
    """The synthetic study with such names of models and of one family."""
    folder = tmp_path_factory.mktemp("hostile")
    tables, fits = synthetic.built_study()
    family = pl.col("family").replace("Bel & Co", FAMILY)
    for name in TABLES:
        renamed = read_table(tables, name).with_columns(family, pl.col("model").replace(NAMES))
        renamed.write_parquet(folder / f"{name}.parquet")
    read_fits(fits).with_columns(family).write_parquet(folder / "fits.parquet")
    output = folder / "reports" / "hostile" / "index.html"
    study = {**synthetic.PRESENTED, "title": "</title><script>document.title = 'taken'</script>"}
    render_report(study, folder, folder / "fits.parquet", output)
    return output


def test_names_are_shown_as_text(open_report, hostile):
    opened = open_report(of=hostile)
    page = opened.page
    assert page.title().startswith("</title><script>")
    assert page.locator("img").count() == 0
    rows = page.locator("#completeness tbody th").all_text_contents()
    assert set(NAMES.values()) <= set(rows)
    assert FAMILY in page.locator("#bits .panel h4").all_text_contents()
    page.locator("#cells-text").fill("quo")
    page.wait_for_function("document.querySelector('#cells tbody td')?.textContent.startsWith('quo')")
    page.locator("#cells tbody button").first.click()
    opened.settle()
    assert page.locator("#cell-title").text_content().startswith(NAMES["ada-3"])
    command = page.locator("#cells .detail pre").nth(1).text_content()
    assert "'quo\"te'\\''s & <b>amp;</b> `${1}` {{ 7 * 7 }} \\/none16/" in command
    assert "taken" not in page.title().split("<")[0]


def test_the_page_of_all_studies_shows_them_too(open_report, hostile):
    page = open_report(of=hostile.parents[1] / "index.html", settle=False).page
    assert page.locator("tbody a").text_content().startswith("</title><script>")
    assert page.title() == "Studies · kbit"
    page.locator("tbody a").click()
    page.wait_for_selector("html[data-state=ready]", timeout=60_000)


def test_long_names_do_not_widen_a_phone(open_report, hostile):
    page = open_report(of=hostile, viewport={"width": 360, "height": 800}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
