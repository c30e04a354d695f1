"""CPU time of evaluating a study, ours against lm-eval's own, side by side in one run.

    python bench/evaluate_vs_lm_eval.py                  (some 40 minutes)
    python bench/evaluate_vs_lm_eval.py --cli-calls 3    (fewer calls of lm-eval, the others by their mean)

(a) A whole study: 20 specs x the tasks of config/tiny.yaml with their limits, one `lm_eval` call per spec against plan,
requests and one shard of ours, every process counted with its children (whole_study.py). Targets: 15 times less on
the 32-wide NeoX (`ratio_small=`), 5 times on the 160-wide (`ratio_large=`), and the same metrics.
(b) Scoring alone, on token ids (scoring_alone.py), against HFLM at its best batch size, with or without its logits
cache, whichever is quicker. Targets on the 32-wide NeoX: 3 times less on 4-choice items (`ratio_choice=`), 1.5 times on
last words (`ratio_last_word=`). On the 160-wide the blocks' matrices are most of the work, so that no scorer that runs
every token through every block does much better than the ratio of the sides' operations: the target is 0.9 of it.

--profile adds where our own CPU time goes. Writes bench/results/evaluate_vs_lm_eval.json; exit code 1 if a target is
missed.
"""

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from harness import make_hflm, run_hflm
from items import as_pairs
from measure import machine, versions, write_result
from profile_shard import profile_scoring, profile_shard
from scoring_alone import BATCH_SIZES, TARGETS, compare_scoring, quickest
from whole_study import ROOT, Race, run_race

from kbit.evaluation.requests import read_requests
from kbit.models.load import load_model
from kbit.models.tokenizer import load_tokenizer

MODELS = {"small": "neox-32x2", "large": "neox-160x4"}
STUDY_TARGETS = {"small": 15.0, "large": 5.0}
SHARE_OF_OPERATIONS = 0.9
"""Of the ratio of operations, for scoring alone with the large model."""
ITEMS = {"small": 4, "large": 1}
"""Of --items: the small model would be done before its time could be told."""
TOKEN_BUDGET = 2048
"""Of config/tiny.yaml."""


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    result: dict[str, object] = {
        "machine": machine(),
        "versions": versions("kbit", "torch", "transformers", "lm-eval", "datasets", "numpy"),
        "targets": {"study": STUDY_TARGETS, "scoring": TARGETS},
        "models": MODELS,
    }
    if "scoring" in arguments.only:
        result["scoring"] = {
            size: compare_scoring(folder(name), arguments.items, arguments.repeats) for size, name in MODELS.items()
        }
    if "study" in arguments.only:
        result["study"] = {size: race(name, arguments) for size, name in MODELS.items()}
    if arguments.profile:
        result["profile"] = {size: profile_scoring(folder(name), TOKEN_BUDGET) for size, name in MODELS.items()}
    path = write_result("evaluate_vs_lm_eval", result)
    print(json.dumps(result, indent=1))
    print(f"written: {path.relative_to(ROOT)}")
    lines, missed = verdict(result)
    print("\n".join(lines))
    sys.exit(f"missed: {', '.join(missed)}" if missed else 0)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cli-calls", type=int, default=20, help="lm_eval calls to make per model; the rest by mean")
    parser.add_argument(
        "--repeats", type=int, default=5, help="of both sides of (b), and of our side of (a) if calls allow"
    )
    parser.add_argument("--items", type=int, default=100, help="4-choice items of (b) for the large model")
    parser.add_argument("--only", nargs="+", choices=("study", "scoring"), default=("study", "scoring"))
    parser.add_argument("--profile", action="store_true", help="also say where our CPU time goes")
    return parser.parse_args()


def folder(name: str) -> Path:
    return ROOT / "data" / "models" / name


def race(name: str, arguments: argparse.Namespace) -> dict[str, object]:
    with TemporaryDirectory(prefix="kbit-bench-") as scratch:
        found = run_race(Path(scratch), f"tiny-{name}", arguments.cli_calls, best_for_study, arguments.repeats)
        if arguments.profile:
            found["profile"] = profile_shard(Path(scratch))
        return found


def best_for_study(race: Race) -> int:
    """HFLM's best batch size for all the study's items but whole pages, which it scores one at a time in any case."""
    source = folder(race.model.removeprefix("tiny-"))
    locator = {"name": source.name, "path": str(source), "hub_id": None, "revision": None}
    files = [read_requests(race.folder / path) for path in race.paths("results/requests/*.parquet")]
    items = [list(zip(file.contexts, file.continuations, strict=True)) for file in files if not file.is_rolling]
    pairs = as_pairs(items)
    harness = make_hflm(load_model(locator, "float32", "cpu"), load_tokenizer(locator), logits_cache=True)
    return quickest(BATCH_SIZES, lambda size: run_hflm(harness, pairs, size))


def verdict(result: dict) -> tuple[list[str], list[str]]:
    """The ratios, one a line, and the names of the targets that were missed."""
    lines, missed = [], []
    for size, formats in result.get("scoring", {}).items():
        for name, found in formats.items():
            # Against the quicker of HFLM's two ways.
            ratio, bound = min(found["ratio"].values()), found["operations_ratio"]
            target = TARGETS[name] if size == "small" else round(SHARE_OF_OPERATIONS * bound, 2)
            lines.append(
                f"ratio_{name}={ratio} ({MODELS[size]}, target {target}; the operations' is {bound}; "
                f"{found['ratio_with_preparation']} with batches prepared anew)"
            )
            missed += [lines[-1]] if ratio < target else []
            missed += [] if found["agrees"] else [f"{name} on {MODELS[size]}: scores differ"]
    for size, found in result.get("study", {}).items():
        lines.append(
            f"ratio_{size}={found['ratio']} ({MODELS[size]}, target {STUDY_TARGETS[size]}; "
            f"{found['lm_eval_calls_measured']} of {found['specs']} lm_eval calls measured; "
            f"{found['ratio_requests_apart']} with a process for each requests file, "
            f"{found['ratio_shard_alone']} the shard alone)"
        )
        missed += [f"ratio_{size}={found['ratio']}"] if found["ratio"] < STUDY_TARGETS[size] else []
        missed += [f"metrics differ: {line}" for line in found["wrong"]]
    return lines, missed


if __name__ == "__main__":
    main()
