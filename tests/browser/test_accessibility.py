"""What axe-core finds, and what the keyboard reaches."""

import pytest


def violations(opened) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    found = axe.Axe().run(opened.page).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:160]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_report, scheme):
    opened = open_report("#cells.status=failed", color_scheme=scheme)
    opened.page.locator("#cells tbody button").click()
    opened.settle()
    opened.page.evaluate("for (const twin of document.querySelectorAll('details')) twin.open = true")
    assert violations(opened) == []


def test_the_page_of_all_studies_is_as_accessible(open_report, report):
    assert violations(open_report(of=report.parents[1] / "index.html", settle=False)) == []


def test_tab_reaches_every_control(open_report):
    """Each in turn, in the order of the page; of radio buttons the chosen one, from where arrows lead on."""
    page = open_report().page
    wanted = page.evaluate(
        """() => [...document.querySelectorAll('a[href], button, select, input, summary, [tabindex="0"]')]
            .filter((node) => node.checkVisibility() && !node.disabled)
            .filter((node) => node.type !== 'radio' || node.checked).length"""
    )
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.keyboard.press("Tab")  # the skip link, which has no box until it is focused
    reached = set()
    for _ in range(wanted + 30):
        reached.add(page.evaluate("document.activeElement.dataset.seen ??= String(Math.random())"))
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
    assert len(reached) >= wanted
