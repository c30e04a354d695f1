"""How large the page of the paper's whole study is, and how fast it answers: 38,000 cells in a headless browser.

    python bench/report_page.py                    (some five minutes; needs playwright and Chromium)
    python bench/report_page.py --keep FOLDER      (the study's folder stays, and is used again)

Tables, fits and report of study_of_35000, rendered twice; then the page is opened from disk several times: seconds to
the first chart, to the last one, and from a choice of the reader to the redrawn chart in view, or the table of cells.
Writes bench/results/report_page.json.
"""

import argparse
import json
import shutil
import statistics
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

from invented_parts import write_study
from measure import machine, versions, write_result
from playwright.sync_api import Browser, Page, sync_playwright
from study_of_35000 import STUDY, run_verb, write_config

from kbit.plan.plan import plan_study
from kbit.store.paths import fits_path, report_path

TARGETS = {"megabytes": 3.0, "first_chart_seconds": 2.0, "choice_seconds": 0.3}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--js-flags=--expose-gc"]
# When the first chart stands in the page, in ms since the page was asked for.
WATCH = """new MutationObserver((_, observer) => {
  if (document.querySelector('.chart svg')) { window.firstChart = performance.now(); observer.disconnect(); }
}).observe(document, { childList: true, subtree: true });"""
# Milliseconds from a choice to the next frame after `within` has a new element of the kind `made`.
CHOOSE = """async ([control, value, within, made]) => {
  const [input, box] = [document.querySelector(control), document.querySelector(within)];
  input.scrollIntoView({ block: 'center', behavior: 'instant' });
  const old = new Set(box.querySelectorAll(made));
  const start = performance.now();
  if (value === null) input.click();
  else { input.value = value; input.dispatchEvent(new Event('change')); }
  const made_now = () => [...box.querySelectorAll(made)];
  const isNew = () => made_now().length && !made_now().some((node) => old.has(node));
  while (!isNew()) await new Promise((resolve) => setTimeout(resolve, 1));
  await new Promise(requestAnimationFrame);
  return performance.now() - start;
}"""
CHOICES = {
    "metric": ("input[name=metric][value=accuracy]", None, "#bits .panels", ".chart svg"),
    "bits": ("input[name=accounting][value=body_bits]", None, "#bits .panels", ".chart svg"),
    "task": ("#task", "hellaswag", "#bits .panels", ".chart svg"),
    "data type": ("#bits-data_type", "int", "#bits .panels", ".chart svg"),
    "block size": ("#bits-block_size", "256", "#bits .panels", ".chart svg"),
    "cells by data type": ("#cells-data_type", "int", "#cells .table", "tbody tr"),
    "cells sorted": ("#cells [data-key='sort value']", None, "#cells .table", "tbody tr"),
}
"""Choice -> control, value (None: a click), what is watched, and what is made anew in it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="folder for the study, used again where it exists")
    parser.add_argument("--runs", type=int, default=5, help="times the page is opened")
    options = parser.parse_args()
    with TemporaryDirectory() as scratch:
        folder = (options.keep or Path(scratch)).resolve()
        page, facts = build_page(folder)
        result = {**facts, **measure_page(page, options.runs)}
    result["targets"] = TARGETS
    print(json.dumps(result, indent=1))
    packages = versions("altair", "polars", "playwright")
    write_result("report_page", {"machine": machine(), "versions": packages, **result})


def build_page(folder: Path) -> tuple[Path, dict[str, object]]:
    """The page, and what making it took; the study is invented where it is not there yet."""
    if not (folder / STUDY).is_file():
        write_config(folder, items=4)
    with chdir(folder):
        plan = plan_study(STUDY)
        if not all(shard.part.is_file() for shard in plan.shards):
            write_study(plan)
        if not fits_path(plan.study.name).is_file():
            for verb in ("build-tables", "fit"):
                run_verb(verb)
        page = report_path(plan.study.name).resolve()
        shutil.rmtree(page.parent, ignore_errors=True)
        stages, contents = [], []
        for _ in range(2):
            stages.append(run_verb("report"))
            contents.append(page.read_bytes())
    if contents[0] != contents[1]:
        raise SystemExit(f"{page} differs when it is made again from the same tables")
    megabytes = round(len(contents[0]) / 1e6, 3)
    return page, {"cells": len(plan.cells), "megabytes": megabytes, "render": stages[-1], "same_bytes": True}


def measure_page(page: Path, runs: int) -> dict[str, object]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        raise SystemExit("no Chromium on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        opened = [open_page(browser, page) for _ in range(runs)]
        version = browser.version
        browser.close()
    middle = {key: round(statistics.median(one[key] for one in opened), 3) for key in opened[0] if key != "choices"}
    choices = {name: round(statistics.median(one["choices"][name] for one in opened), 3) for name in CHOICES}
    return {"runs": runs, "chromium": version, **middle, "choice_seconds": choices}


def open_page(browser: Browser, path: Path) -> dict[str, object]:
    """Seconds of one visit."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script(WATCH)
    page.goto(path.as_uri())
    settle(page)
    times = page.evaluate("[window.firstChart, performance.now(), performance.memory.usedJSHeapSize]")
    choices = {}
    for name, choice in CHOICES.items():
        choices[name] = page.evaluate(CHOOSE, list(choice)) / 1000
        settle(page)
    page.close()
    return {
        "first_chart_seconds": times[0] / 1000,
        "all_charts_seconds": times[1] / 1000,
        "heap_megabytes": times[2] / 1e6,
        "choices": choices,
    }


def settle(page: Page) -> None:
    page.wait_for_selector("html[data-state=ready]", timeout=300_000)


if __name__ == "__main__":
    main()
