"""The report inside another page, whose address it does not own."""

import base64
from dataclasses import replace


def test_a_choice_is_made_and_taken_back_in_a_page_inside_another(open_report, report, tmp_path):
    """As the HTML form of Snakemake's report holds it: a frame whose address is the whole page."""
    outer = open_report()
    content = base64.b64encode(report.read_bytes()).decode()
    (tmp_path / "outer.html").write_text(f'<iframe src="data:text/html;charset=utf8;base64,{content}"></iframe>')
    outer.page.goto((tmp_path / "outer.html").as_uri())
    inner = replace(outer, page=outer.page.locator("iframe").element_handle().content_frame())
    inner.settle()
    choice = inner.page.locator("#bits-data_type")
    default = choice.input_value()
    choice.select_option("int")
    inner.settle()
    assert inner.page.url.endswith("#bits.data_type=int")
    choice.select_option(default)
    inner.settle()
    assert "#" not in inner.page.url
