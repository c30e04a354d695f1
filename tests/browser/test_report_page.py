"""The report as a reader meets it: opened from disk by a real browser."""

import csv
import io
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from page_actions import change, marks, twin_rows
from scipy.stats import pearsonr, spearmanr

from kbit.report.figures import FIGURES
from kbit.report.labels import COLUMN_LABELS
from kbit.report.render import render_report
from kbit.warehouse import read_table

FAMILIES = ("Ada", "Bel & Co")


@pytest.fixture(scope="module")
def points(synthetic):
    return read_table(synthetic.built_study()[0], "points")


def test_every_figure_is_drawn(open_report):
    opened = open_report()
    page = opened.page
    assert page.locator("figure").count() == len(FIGURES)
    for figure in FIGURES:
        panels = page.locator(f"#{figure.name} .panel").count()
        # Small multiples: a panel for every combination that the drawn rows have.
        rows = twin_rows(opened, figure.name)
        heads = [COLUMN_LABELS[column] for column in figure.panels]
        assert panels == len({tuple(row[head] for head in heads) for row in rows}) > 0, figure.name
        assert page.locator(f"#{figure.name} .chart svg").count() == panels
        assert page.locator(f"#{figure.name} .caption").text_content() != ""
        sizes = page.locator(f"#{figure.name} .chart svg").evaluate_all(
            "all => all.map(svg => svg.getBoundingClientRect().width)"
        )
        assert min(sizes) > 200
    assert page.title().startswith("A study of known structure")


def test_what_is_drawn_is_what_the_table_says(open_report, points):
    opened = open_report()
    final = points.filter(pl.col("model") != "ada-1-early")
    # At block 64, float, E by the appendix's rule: 4 widths and the control, for all 8 final models.
    expected = final.filter(
        (pl.col("data_type") == "none")
        | (
            (pl.col("data_type") == "float")
            & (pl.col("block_size") == "64")
            & ((pl.col("bits") != 4) | (pl.col("exponent_bits") == 2))
        )
    )
    rows = twin_rows(opened, "bits")
    assert len(rows) == expected.height == 8 * 5
    assert {(row["model"], row["quantization"]) for row in rows} == set(expected.select("model", "spec").iter_rows())
    assert marks(opened, "bits") == len(rows)
    by_key = {(row["model"], row["spec"]): row for row in expected.to_dicts()}
    for row in rows:
        truth = by_key[row["model"], row["quantization"]]
        assert row["total model bits"] == f"{truth['total_bits']:,}"
        # Tables show five significant digits.
        assert float(row["loss, nats per byte"]) == pytest.approx(truth["nats_per_byte"], rel=1e-4)


def test_switches_change_axes_and_verdict(open_report):
    opened = open_report()
    page = opened.page
    axis = page.locator("#bits .chart svg").first
    assert "log₂ total model bits" in axis.text_content()
    assert "loss, nats per byte" in axis.text_content()
    before = page.locator("#verdict [data-view]:visible p").first.text_content()
    change(opened, lambda: page.get_by_label("body", exact=True).check(force=True))
    change(opened, lambda: page.get_by_label("accuracy", exact=True).check(force=True))
    axis = page.locator("#bits .chart svg").first
    assert "log₂ body bits" in axis.text_content()
    assert "mean zero-shot accuracy" in axis.text_content()
    visible = page.locator("#verdict [data-view]:visible")
    assert visible.count() == 1
    assert visible.get_attribute("data-view") == "body_bits/accuracy"
    assert visible.locator("p").first.text_content() != before
    assert "accounting=body_bits" in page.url
    assert "metric=accuracy" in page.url


def test_families_and_series_can_be_hidden(open_report):
    opened = open_report()
    page = opened.page
    everything = marks(opened, "bits")
    change(opened, lambda: page.get_by_role("checkbox", name="Bel & Co").uncheck())
    assert page.locator("#bits .panel h4").all_text_contents() == ["Ada"]
    only_ada = marks(opened, "bits")
    assert 0 < only_ada < everything
    button = page.locator("#bits .legend button", has_text="3-bit")
    change(opened, button.click)
    button = page.locator("#bits .legend button", has_text="3-bit")
    assert button.get_attribute("aria-pressed") == "false"
    assert marks(opened, "bits") == only_ada - 5
    assert {row["bits k"] for row in twin_rows(opened, "bits")} == {"4", "5", "8", "16"}
    change(opened, lambda: page.get_by_role("checkbox", name="Ada").uncheck())
    assert page.locator("#bits .empty").is_visible()  # nothing left: the figure says so


def test_filters_change_a_chart(open_report):
    opened = open_report()
    page = opened.page
    change(opened, lambda: page.locator("#bits-data_type").select_option("int"))
    specs = {row["quantization"] for row in twin_rows(opened, "bits")}
    assert specs == {"none16", "int3-b64", "int4-b64", "int5-b64", "int8-b64"}
    assert page.locator("#bits-exponent_rule").count() == 1
    change(opened, lambda: page.locator("#data-types-show").select_option("value"))
    assert "loss, nats per byte" in page.locator("#data-types .chart svg").first.text_content()
    change(opened, lambda: page.locator("#fits-fit").select_option("power_law"))
    assert "fit: power_law" in page.locator("#fits caption").text_content()


def test_hash_restores_the_view(open_report):
    first = open_report()
    change(first, lambda: first.page.get_by_label("body", exact=True).check(force=True))
    change(first, lambda: first.page.get_by_role("checkbox", name="Bel & Co").uncheck())
    change(first, lambda: first.page.locator("#block-sizes-bits").select_option("3"))
    change(first, first.page.locator("#block-sizes .legend button").first.click)
    fragment = "#" + first.page.url.partition("#")[2]
    second = open_report(fragment)
    for figure in FIGURES:
        assert twin_rows(second, figure.name) == twin_rows(first, figure.name)
    assert second.page.get_by_label("body", exact=True).is_checked()
    assert not second.page.get_by_role("checkbox", name="Bel & Co").is_checked()
    assert second.page.locator("#block-sizes-bits").input_value() == "3"
    # Going back to the defaults empties the hash.
    change(second, lambda: second.page.evaluate("location.hash = ''"))
    second.page.wait_for_function("document.querySelector('input[value=total_bits]').checked")


def test_unknown_hash_falls_back(open_report):
    opened = open_report("#accounting=nonsense&bits.data_type=nf9&metric=&fits.fit=none&bits.hide=99")
    assert marks(opened, "bits") == 40
    assert opened.page.locator("#verdict [data-view]:visible").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colour_schemes(open_report, scheme):
    """Text and marks of the charts follow the scheme without being drawn again."""
    opened = open_report(color_scheme=scheme)
    page = opened.page

    def lightness(selector: str, property_name: str) -> float:
        colour = page.locator(selector).first.evaluate(f"node => getComputedStyle(node).{property_name}")
        return float(np.mean([int(part) for part in re.findall(r"\d+", colour)[:3]]))

    paper, title = lightness("body", "backgroundColor"), lightness("#bits .chart .role-axis-title text", "fill")
    assert (paper < 60 and title > 180) if scheme == "dark" else (paper > 240 and title < 60)
    fills = page.locator("#bits .chart .mark-symbol path").evaluate_all(
        "all => all.map(path => getComputedStyle(path).fill)"
    )
    assert len(set(fills)) == 5  # a colour for every k drawn
    other = "light" if scheme == "dark" else "dark"
    page.locator("#theme").select_option(other)
    assert (lightness("body", "backgroundColor") < 60) == (other == "dark")


def test_diverged_points_do_not_flatten_a_chart(browser, synthetic, tmp_path):
    """Two losses of 40 nats per byte are left outside the axis, and counted; without them nothing is left out."""
    tables, fits = synthetic.built_study()
    for name in ("cells", "scores", "models"):
        read_table(tables, name).write_parquet(tmp_path / f"{name}.parquet")
    far = (pl.col("spec") == "float3e2-b64") & pl.col("model").is_in(["ada-4", "ada-5"])
    loss = pl.when(far).then(40.0).otherwise(pl.col("nats_per_byte")).alias("nats_per_byte")
    read_table(tables, "points").with_columns(loss).write_parquet(tmp_path / "points.parquet")
    render_report({"name": "far", "title": "Far"}, tmp_path, fits, tmp_path / "far" / "index.html")
    page = browser.new_page()
    page.goto((tmp_path / "far" / "index.html").as_uri())
    page.wait_for_selector("html[data-state=ready]", timeout=60_000)
    assert "2 of 40 points lie outside the vertical axis" in page.locator("#bits .note").text_content()
    assert "40" not in page.locator("#bits .chart .role-axis").nth(1).text_content()
    page.close()


def test_nothing_is_left_outside_an_axis_without_need(open_report):
    opened = open_report()
    assert "outside" not in "".join(opened.page.locator("figure .note").all_text_contents())


def test_a_crowded_chart_draws_some_of_its_points_and_says_so(browser, synthetic, tmp_path, monkeypatch):
    crowded = [replace(figure, most_marks=20 if figure.most_marks else None) for figure in FIGURES]
    monkeypatch.setattr("kbit.report.render.FIGURES", crowded)
    render_report({"name": "crowd", "title": "Crowd"}, *synthetic.built_study(), tmp_path / "crowd" / "index.html")
    page = browser.new_page()
    page.goto((tmp_path / "crowd" / "index.html").as_uri())
    page.wait_for_selector("html[data-state=ready]", timeout=60_000)
    figure = page.locator("#perplexity-accuracy")
    assert figure.locator(".chart .mark-symbol path").count() == 20
    total = re.search(r"Of these (\d+) points", figure.locator(".note").text_content())[1]
    assert f"The chart shows 20 of the {total}, evenly spread" in figure.locator(".note").text_content()
    figure.locator("details.twin").evaluate("twin => { twin.open = true; }")
    figure.locator(".twin table").wait_for()
    assert figure.locator(".twin tbody tr").count() == int(total) > 100
    # Drawn from one end of the study to the other: points of both families.
    fills = figure.locator(".chart .mark-symbol path").evaluate_all(
        "marks => marks.map(mark => mark.getAttribute('fill'))"
    )
    assert len(set(fills)) == 2
    page.close()


def test_correlation_is_that_of_all_points(open_report, points):
    opened = open_report()
    both = points.filter(pl.col("nats_per_byte").is_not_null() & pl.col("mean_zero_shot_accuracy").is_not_null())
    text = opened.page.locator("#perplexity-accuracy .note").text_content().replace("−", "-")
    r, rho = (float(value) for value in re.findall(r"= (-?[\d.]+\d)", text))
    assert f"Of these {both.height} points" in text
    # The page rounds to three decimals.
    loss, accuracy = both["nats_per_byte"].to_numpy(), both["mean_zero_shot_accuracy"].to_numpy()
    assert r == pytest.approx(pearsonr(loss, accuracy).statistic, abs=6e-4)
    assert rho == pytest.approx(spearmanr(loss, accuracy).statistic, abs=6e-4)
    assert "3 more have no such value" in text  # the collapsed, the failed and the crashed cell's points


def test_csv_is_what_is_drawn(open_report):
    opened = open_report("#metric=accuracy")
    with opened.page.expect_download() as download:
        opened.page.locator("#bits .download[data-format=csv]").click()
    assert download.value.suggested_filename == "synthetic-bits.csv"
    text = download.value.path().read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    twin = twin_rows(opened, "bits")
    assert [(row["model"], row["spec"]) for row in rows] == [(row["model"], row["quantization"]) for row in twin]
    assert {row["family"] for row in rows} == set(FAMILIES)
    assert all(float(row["accuracy"]) > 0 for row in rows)
