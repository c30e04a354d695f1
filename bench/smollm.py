"""What quantizing SmolLM2-135M further costs: the cells of config/smollm.yaml, each paired with the unquantized one.

    make smollm && python bench/smollm.py        (some seconds, of which the study takes none: it is only read)

Writes bench/results/smollm.json and the table in docs/smollm.md.
"""

import json
import re
from pathlib import Path

import polars as pl

from kbit.plan.plan import Plan, plan_study
from kbit.scaling.compare import Difference
from kbit.scaling.compare_cells import Comparison, compare_cells, read_scored_cell
from kbit.store.parts import read_part
from kbit.store.paths import requests_path

STUDY = Path("config/smollm.yaml")
TEXT, LAST_WORD = "ho_perplexity", "ho_lambada"
CONTROL = "none16"
RESULTS = Path("bench/results/smollm.json")
DOCUMENT = Path("docs/smollm.md")
MARKS = ("<!-- measured -->", "<!-- end of measured -->")


def main() -> None:
    plan = plan_study(STUDY)
    rows = [measure(plan, spec) for spec in dict.fromkeys(cell.spec.slug for cell in plan.cells)]
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    text = DOCUMENT.read_text()
    start, end = MARKS
    DOCUMENT.write_text(re.sub(f"{start}.*{end}", f"{start}\n{table(rows)}\n{end}", text, flags=re.DOTALL))
    print(table(rows))


def measure(plan: Plan, spec: str) -> dict[str, object]:
    """Both tasks of one spec."""
    text, last_word = (row_of(plan, spec, task) for task in (TEXT, LAST_WORD))
    metrics = {metric["name"]: metric["value"] for metric in [*text["metrics"], *last_word["metrics"]]}
    found = {
        "spec": spec,
        "body_bits_per_weight": text["bits_per_param"],
        "total_megabytes": text["total_bits"] / 8e6,
        "nats_per_token": metrics["nats_per_token"],
        "kl_divergence": metrics.get("kl_divergence"),
        "top1_agreement": metrics.get("top1_agreement"),
        "acc": metrics["acc"],
        "seconds": text["seconds"] + last_word["seconds"],
        "threads": text["threads"],
    }
    if spec != CONTROL:
        loss, words = (pair(plan, spec, task) for task in (TEXT, LAST_WORD))
        found["loss_increase"] = reverse(loss.likelihood.per_token)
        found["loss_p_value"] = loss.likelihood.p_value
        found["acc_difference"] = interval(words.accuracies["acc"].difference)
        found["acc_p_value"] = words.accuracies["acc"].p_value
        found["only_control_right"] = words.accuracies["acc"].only_first
        found["only_this_right"] = words.accuracies["acc"].only_second
    return found


def row_of(plan: Plan, spec: str, task: str) -> dict[str, object]:
    cell = next(cell for cell in plan.cells if (cell.spec.slug, cell.task.name) == (spec, task))
    columns = ("cell_id", "metrics", "bits_per_param", "total_bits", "seconds", "threads")
    return read_part(plan.shards[0].part, columns).row(by_predicate=pl.col("cell_id") == cell.cell_id, named=True)


def pair(plan: Plan, spec: str, task: str) -> Comparison:
    ids = [row_of(plan, slug, task)["cell_id"] for slug in (CONTROL, spec)]
    first, second = (read_scored_cell(spec, cell_id, plan.shards[0].part) for cell_id in ids)
    return compare_cells(first, second, requests_path(task, first.requests))


def interval(difference: Difference) -> list[float]:
    return [difference.value, difference.low, difference.high]


def reverse(difference: Difference) -> list[float]:
    """Of losses, where the difference is one of log-likelihoods."""
    return [-difference.value, -difference.high, -difference.low]


def table(rows: list[dict[str, object]]) -> str:
    heads = (
        "spec", "bits per weight", "MB in all", "nats per token", "increase (95 %)", "KL", "same top token",
        "last word", "difference (95 %)", "right in one only", "McNemar p",
    )  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return "\n".join(lines + [f"| {' | '.join(cells(row))} |" for row in rows])


def cells(row: dict[str, object]) -> list[str]:
    spec, bits, size = row["spec"], f"{row['body_bits_per_weight']:.2f}", f"{row['total_megabytes']:.0f}"
    if spec == CONTROL:
        return [spec, bits, size, f"{row['nats_per_token']:.4f}", "", "", "", f"{row['acc']:.2f}", "", "", ""]
    loss, low, high = row["loss_increase"]
    gain, worst, best = row["acc_difference"]
    return [
        spec, bits, size, f"{row['nats_per_token']:.4f}", f"{loss:+.4f} ({low:+.4f} to {high:+.4f})",
        f"{row['kl_divergence']:.4f}", f"{row['top1_agreement']:.1%}", f"{row['acc']:.2f}",
        f"{gain:+.2f} ({worst:+.2f} to {best:+.2f})", f"{row['only_control_right']} : {row['only_this_right']}",
        f"{row['acc_p_value']:.3g}",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
