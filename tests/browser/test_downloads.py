"""A figure as a file of its own."""

import struct
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"


def fetch(opened, figure: str, kind: str):
    with opened.page.expect_download() as download:
        opened.page.locator(f"#{figure} .download[data-format={kind}]").click()
    assert download.value.suggested_filename == f"synthetic-{figure}.{kind}"
    return download.value.path().read_bytes()


def test_svg_stands_alone_with_title_legend_and_all_points(open_report):
    opened = open_report("#bits.hide=3", color_scheme="dark")
    content = fetch(opened, "bits", "svg").decode()
    assert "var(" not in content
    assert "light-dark(" not in content
    root = ElementTree.fromstring(content)
    texts = [node.text for node in root.iter(f"{SVG}text")]
    assert texts[0] == "Which precision is best for a given number of bits"
    assert {"4-bit", "16-bit", "Ada", "Bel & Co"} <= set(texts)
    assert "3-bit" not in texts  # hidden in the page
    drawn = opened.page.locator("#bits .chart .mark-symbol path").count()
    symbols = [group for group in root.iter(f"{SVG}g") if "mark-symbol" in group.get("class", "")]
    assert sum(len(group.findall(f"{SVG}path")) for group in symbols) == drawn > 0
    assert "#ffffff" in content  # a white page, also from a dark one


def test_png_has_twice_the_size_of_the_figure(open_report):
    opened = open_report()
    content = fetch(opened, "shares", "png")
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    box = opened.page.locator("#shares .panels").bounding_box()
    assert width == 2 * (int(-(-box["width"] // 1)) + 32)
    assert height > 2 * box["height"]
    assert len(set(content)) > 100  # not a plain surface
