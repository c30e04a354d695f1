"""The table of all cells, and one of them with its provenance and recipe."""

import csv
import io

import pytest
import yaml

from kbit.spec.study import StudyConfig
from kbit.warehouse import read_table


@pytest.fixture(scope="module")
def cells(synthetic):
    return read_table(synthetic.built_study()[0], "cells")


def count(opened) -> str:
    return opened.page.locator("#cells .count").text_content()


def column(opened, name: str) -> list[str]:
    heads = [head.strip(" ▲▼") for head in opened.page.locator("#cells thead th").all_text_contents()]
    index = heads.index(name) + 1
    return opened.page.locator(f"#cells tbody td:nth-child({index})").all_text_contents()


def test_filters_sorting_and_pages(open_report, cells):
    opened = open_report()
    page = opened.page
    assert count(opened).startswith(f"{cells.height} of {cells.height} cells")
    page.locator("#cells-data_type").select_option("int")
    opened.settle()
    page.locator("#cells-bits").select_option("4")
    opened.settle()
    page.locator("#cells-task").select_option("ho_pair")
    opened.settle()
    chosen = cells.filter((cells["data_type"] == "int") & (cells["bits"] == 4) & (cells["task"] == "ho_pair"))
    assert count(opened).startswith(f"{chosen.height} of ")
    assert set(column(opened, "quantization")) == {"int4-b64", "int4-b1024", "int4-b64-centered_block"}
    page.get_by_role("button", name="score", exact=True).click()
    opened.settle()
    scores = list(map(float, column(opened, "score")))
    assert scores == sorted(scores)
    assert page.locator("#cells th[aria-sort=ascending]").count() == 1
    page.get_by_role("button", name="score", exact=False).first.click()
    opened.settle()
    assert list(map(float, column(opened, "score"))) == sorted(scores, reverse=True)
    fragment = "#" + page.url.partition("#")[2]
    again = open_report(fragment)
    assert column(again, "score") == column(opened, "score")
    again.page.locator("#cells-data_type").select_option("")
    again.settle()
    again.page.locator("#cells-bits").select_option("")
    again.settle()
    first = column(again, "score")
    again.page.locator("#cells-next").click()
    again.settle()
    assert again.page.evaluate("document.activeElement.id") == "cells-next"
    assert column(again, "score") != first
    assert "cells.page=2" in again.page.url


def test_search_finds_names_and_ids(open_report, cells):
    opened = open_report()
    cell = cells.filter((cells["model"] == "bel-2") & (cells["spec"] == "int8-b64") & (cells["task"] == "ho_pages"))
    opened.page.locator("#cells-text").fill("bel-2 int8 pages")
    opened.page.wait_for_function("document.querySelectorAll('#cells tbody tr').length === 1")
    assert column(opened, "quantization") == ["int8-b64"]
    assert opened.page.evaluate("document.activeElement.id") == "cells-text"
    opened.page.locator("#cells-text").fill(cell["cell_id"][0][:10])
    opened.page.wait_for_function("document.querySelector('#cells tbody td').textContent === 'bel-2'")
    opened.page.locator("#cells-text").fill("no such thing")
    opened.page.wait_for_function("document.querySelectorAll('#cells tbody tr').length === 0")
    assert count(opened) == "No cell fits these filters."


def test_a_cell_tells_all_that_is_known_of_it(open_report, cells):
    cell = cells.filter(
        (cells["model"] == "ada-3") & (cells["spec"] == "float4e2-b64") & (cells["task"] == "ho_order")
    ).to_dicts()[0]
    opened = open_report(f"#cells.id={cell['cell_id'][:12]}")
    detail = opened.page.locator("#cells .detail")
    names = detail.locator("dt").all_text_contents()
    facts = dict(zip(names, detail.locator("dd").all_text_contents(), strict=True))
    assert float(facts["score"]) == pytest.approx(cell["metrics"][0]["value"], rel=1e-4)
    assert facts["started"] == "2026-01-02T03:04:05Z"
    assert facts["total model bits"] == f"{cell['total_bits']:,}"
    assert (facts["commit"], facts["host"], facts["torch"]) == ("0123abcd", "node-1", "2.13.0")
    query, compare, recipe, run = detail.locator("pre").all_text_contents()
    sql = f"select * from cells where cell_id like '{cell['cell_id'][:12]}%'"
    assert query == f'kbit query --json --study config/synthetic.yaml "{sql}"'
    assert compare == "kbit compare config/synthetic.yaml ada-3/none16/ho_order ada-3/float4e2-b64/ho_order"
    assert run == "kbit run config/one-cell.yaml"
    study = StudyConfig.model_validate(yaml.safe_load(recipe))
    assert (study.models, [task.name for task in study.tasks]) == (("ada-3",), ["ho_order"])
    assert (study.dtype, study.item_limit, study.baseline) == ("float32", 300, False)
    assert [spec.slug for grid in study.grids for spec in grid.specs()] == ["float4e2-b64"]
    opened.page.get_by_role("button", name="Close").click()
    opened.settle()
    assert not detail.is_visible()
    assert "#" not in opened.page.url


def test_a_failed_cell_shows_its_error_as_text(open_report):
    opened = open_report("#cells.status=failed")
    assert count(opened).startswith("1 of ")
    opened.page.locator("#cells tbody button").click()
    opened.settle()
    assert "<failed> & told so" in opened.page.locator("#cells .detail").text_content()


def test_the_csv_has_what_the_filters_leave(open_report, cells):
    opened = open_report("#cells.model=ada-2&cells.sort=-value")
    with opened.page.expect_download() as download:
        opened.page.locator("#cells .download", has_text="CSV").click()
    assert download.value.suggested_filename == "synthetic-cells.csv"
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8"))))
    assert len(rows) == cells.filter(cells["model"] == "ada-2").height
    values = [float(row["value"]) for row in rows]
    assert values == sorted(values, reverse=True)
