"""The report read in other ways: its tables, by keyboard, on a phone, on paper, one task at a time, its residuals."""

import re

import polars as pl
import pytest
from page_actions import change, marks, twin_rows

from kbit.report.figures import FIGURES
from kbit.warehouse import read_table


def test_tables_and_lists_are_there(open_report):
    opened = open_report()
    page = opened.page
    assert page.locator("#completeness table").first.locator("tbody tr").count() == 9
    assert (
        page.locator("#problems table").first.locator("tr", has_text="collapsed").filter(has_text="ada-1").count() == 1
    )
    assert page.locator("#provenance .tag").count() == 3
    assert page.locator("#fits tbody tr").count() > 20
    for figure in FIGURES:
        assert len(twin_rows(opened, figure.name)) > 0


def test_keyboard_and_names(open_report):
    """Everything that can be used has a name and is reached by the Tab key; a choice keeps the focus."""
    opened = open_report()
    page = opened.page
    usable = page.locator("select, input, button, summary")
    named = "all => all.map(node => (node.labels?.length || node.textContent.trim() || node.ariaLabel) ? 1 : 0)"
    assert set(usable.evaluate_all(named)) == {1}
    labels = page.locator(".chart").evaluate_all("all => all.map(chart => chart.getAttribute('aria-label'))")
    assert None not in labels
    assert len(set(labels)) == len(labels)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#bits-data_type").focus()
    change(opened, lambda: page.locator("#bits-data_type").select_option("int"))
    assert page.evaluate("document.activeElement.id") == "bits-data_type"
    page.locator("#bits .legend button").nth(1).focus()
    change(opened, lambda: page.keyboard.press("Enter"))
    assert page.evaluate("document.activeElement.dataset.value") == "4"
    assert page.locator("#bits .legend button").nth(1).get_attribute("aria-pressed") == "false"


def test_narrow_screen_does_not_scroll_sideways(open_report):
    page = open_report(viewport={"width": 360, "height": 800}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    widths = page.locator(".chart svg").evaluate_all("all => all.map(svg => svg.getBoundingClientRect().width)")
    assert max(widths) <= 360


def test_print_hides_controls_and_is_light(open_report):
    page = open_report(color_scheme="dark").page
    page.emulate_media(media="print")
    assert not page.locator("#bar").is_visible()
    assert not page.locator("#bits .controls").is_visible()
    assert page.locator("#bits .chart svg").first.is_visible()
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert min(int(part) for part in re.findall(r"\d+", background)[:3]) > 240


def test_one_task_instead_of_the_mean(open_report, synthetic):
    """Charts, axes and captions are of the chosen task; verdicts say that they are not."""
    cells = read_table(synthetic.built_study()[0], "cells")
    opened = open_report()
    page = opened.page
    assert page.locator("#task option").all_text_contents() == ["mean of all", "order", "pair"]
    change(opened, lambda: page.locator("#task").select_option("ho_pair"))
    assert page.get_by_label("accuracy", exact=True).is_checked()  # a task has one metric
    assert "accuracy on pair" in page.locator("#bits .chart svg").first.text_content()
    assert page.locator("#of-means").is_visible()
    truth = {
        (cell["model"], cell["spec"]): cell["metrics"][0]["value"]
        for cell in cells.filter((pl.col("task") == "ho_pair") & (pl.col("status") == "ok")).to_dicts()
    }
    rows = twin_rows(opened, "bits")
    assert len(rows) > 30
    for row in rows:
        assert float(row["accuracy on pair"]) == pytest.approx(truth[row["model"], row["quantization"]], rel=1e-4)
    again = open_report("#" + page.url.partition("#")[2])
    assert twin_rows(again, "bits") == rows
    change(opened, lambda: page.get_by_label("loss", exact=True).check(force=True))
    assert page.locator("#task").input_value() == "ho_pair"
    assert "loss, nats per byte" in page.locator("#bits .chart svg").first.text_content()  # its own tasks, all of them
    assert not page.locator("#of-means").is_visible()


def test_intervals_are_drawn_where_the_metric_is_shown(open_report):
    opened = open_report("#metric=accuracy&exponent-bits.show=value")
    bars = "#{} .chart .mark-rule.role-mark line"
    assert opened.page.locator(bars.format("bits")).count() == marks(opened, "bits") > 0
    assert opened.page.locator(bars.format("exponent-bits")).count() == marks(opened, "exponent-bits") > 0
    assert opened.page.locator(bars.format("block-sizes")).count() == 0


def test_residuals_follow_the_choices_of_the_power_laws(open_report):
    opened = open_report()
    page = opened.page
    specs = {row["quantization"] for row in twin_rows(opened, "residuals")}
    assert page.locator("#residuals select").count() == 0
    change(opened, lambda: page.locator("#power-law-data_type").select_option("int"))
    after = {row["quantization"] for row in twin_rows(opened, "residuals")}
    assert after == {row["quantization"] for row in twin_rows(opened, "power-law")} != specs
    rows = twin_rows(opened, "residuals")
    for row in rows:
        fitted, loss = float(row["power law, total model bits"]), float(row["loss, nats per byte"])
        # Both columns show five significant digits: 0.005 % of a loss each.
        shown = float(row["above it, % (total)"].replace("−", "-"))
        assert shown == pytest.approx(100 * (loss / fitted - 1), abs=0.02)


def test_print_is_a_document_of_every_figure(open_report):
    page = open_report().page
    content = page.pdf(format="A4")
    assert content.startswith(b"%PDF")
    assert 5 <= content.count(b"/Type /Page\n") <= 40
