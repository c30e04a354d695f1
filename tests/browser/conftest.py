"""A headless Chromium that is offline by its flags, and the report of the synthetic study."""

import runpy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
LOCAL = ("file:", "data:", "blob:", "about:")
DRAWN = "html[data-state=ready]"
# The first drawing takes two seconds on an idle core; a busy machine gets thirty times that.
PATIENCE_MS = 60_000


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    reports = Path(__file__).parents[1] / "report" / "conftest.py"
    return runpy.run_path(str(reports))["load_synthetic_study"]()


@pytest.fixture(scope="session")
def report(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from kbit.report.render import render_report

    output = tmp_path_factory.mktemp("reports") / "synthetic" / "index.html"
    render_report(synthetic.PRESENTED, *synthetic.built_study(), output)
    return output


@pytest.fixture(scope="session")
def browser(require: Callable[[str], str]) -> Iterator[object]:
    program = require("browser")
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@dataclass
class Opened:
    """A page with everything that went wrong in it."""

    page: object
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def settle(self) -> None:
        """Wait until every figure is drawn after a change."""
        self.page.wait_for_selector(DRAWN, timeout=PATIENCE_MS)


@pytest.fixture
def open_report(browser: object, report: Path) -> Iterator[Callable[..., Opened]]:
    """`open_report(fragment="", of=report, settle=True, **options of the page)`.

    A page that has an error or leaves its file fails the test.
    """
    contexts, opened = [], []

    def open_page(fragment: str = "", of: Path = report, settle: bool = True, **options: object) -> Opened:
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))
        result = Opened(contexts[-1].new_page())
        opened.append(result)
        result.page.on("console", lambda message: result.problems.append(f"console {message.type}: {message.text}"))
        result.page.on("pageerror", lambda error: result.problems.append(f"page error: {error}"))
        result.page.on("request", lambda request: result.requests.append(request.url))
        result.page.goto(of.as_uri() + fragment)
        if settle:
            result.settle()
        return result

    yield open_page
    for context in contexts:
        context.close()
    for result in opened:
        assert result.problems == []
        assert [url for url in result.requests if not url.startswith(LOCAL)] == []
