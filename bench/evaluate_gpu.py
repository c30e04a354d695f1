"""Speed of scoring on one GPU: real architectures, random weights; side by side with lm-eval's HFLM in one run.

    python bench/evaluate_gpu.py                             (some 10 minutes on an H100)
    python bench/evaluate_gpu.py --device cpu --sizes tiny   (tries the bench, some seconds)

Needs torch >= 2.11, numpy, transformers >= 5, pydantic and pyyaml; no hub. Where lm-eval can be imported its HFLM is
run, else the same algorithm written plainly (harness.py); `other_side` says which. Of every size and task format
(items.py): seconds per item, tokens per second, and utilisation. Targets on an H100: at 6.9 B, utilisation of 0.5 on
choice4 and last_word, and 3 times fewer seconds per item on choice4; exit code 1 if one is missed.

Utilisation is useful_flop (neox_on_device.py: block matrices per token, attention to what is not masked, head at scored
positions; padding counts nothing) per second, over the rate of the largest of some square 16-bit products measured in
the same run, the best of several (`matmul_tflops`). Batches are prepared once for a job and all its cells;
`prepare_seconds` has that apart. HFLM's share is the same with its own seconds.

On a GPU, writes bench/results/evaluate_gpu.json, of which `kbit plan` reads (kbit/plan/gpu_bench.py): `device`,
`matmul_tflops`, `nominal_tflops`, and `utilisation`, a list of {parameters, format, utilisation} at `token_budget`,
the one of --budgets that does best over all sizes and formats. On a CPU it writes only where --output says.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import harmonic_mean, median

NEEDED = "'torch>=2.11' numpy 'transformers>=5.0' pydantic pyyaml"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

try:
    import torch
    from harness import make_hflm, run_hflm, score_plainly
    from items import FORMATS, as_pairs, as_requests, make_items
    from measure import machine, versions, write_result
    from neox_on_device import CONTEXT_TOKENS, SHAPES, build_model, useful_flop

    from kbit.evaluation.scorer import batches_of, score
    from kbit.evaluation.tries import make_rows
    from kbit.evaluation.windows import cut_windows
    from kbit.models.resident import Resident
    from kbit.models.tokenizer import load_tokenizer
except ImportError as error:
    sys.exit(f"bench/evaluate_gpu.py: {error}; it needs: python -m pip install {NEEDED}")

ROOT = Path(__file__).resolve().parents[1]
TOKENIZER = {"name": "neox-32x2", "path": str(ROOT / "data/models/neox-32x2"), "hub_id": None, "revision": None}
NOMINAL_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0}
"""Dense 16-bit rate by the maker, of the SXM cards."""
MATMUL_SIZES = {"cuda": (4096, 8192, 16384), "cpu": (512,)}
HFLM_BATCH_SIZES = (8, 16, 32, 64, 128, 256)
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
TARGET_SIZE = "6.9b"
TARGET_UTILISATION = {"choice4": 0.5, "last_word": 0.5}
TARGET_RATIO = 3.0
"""Fewer seconds per item than HFLM on choice4."""
FIRST_ITEMS = 16
REPEATS = 3


def main() -> None:
    arguments = parse_arguments()
    device = torch.device(arguments.device)
    dtype = DTYPES[arguments.dtype]
    rate = matmul_rate(device, dtype)
    runs = [run for size in arguments.sizes for run in measure_size(size, device, dtype, rate, arguments)]
    result = summarize(runs, rate, device, arguments)
    write(result, arguments)
    print(table(runs))
    missed = misses(runs) if device.type == "cuda" else []
    sys.exit(f"missed: {', '.join(missed)}" if missed else 0)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=["1.4b", "6.9b"])
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--budgets", nargs="+", type=int, default=[8192, 16384, 32768], help="token budgets to try")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one timed pass, about")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16")
    parser.add_argument("--profile", action="store_true", help="print the kernels that choice4 spends its time in")
    parser.add_argument("--output", type=Path, help="JSON file, instead of the one in bench/results")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch finds no GPU here; --device cpu --sizes tiny tries the bench without one")
    return arguments


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of a large square product: the best of all sizes and repeats."""
    best = 0.0
    for size in MATMUL_SIZES[device.type]:
        left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        seconds = [timed(lambda left=left, right=right: left @ right, device, 10) for _ in range(5)]
        best = max(best, 2.0 * size**3 / min(seconds))
    return best


def timed(run: Callable[[], object], device: torch.device, times: int = 1) -> float:
    """Seconds of one of `times` runs, by the clock, the device's queue empty before and after."""
    synchronize(device)
    began = time.perf_counter()
    for _ in range(times):
        run()
    synchronize(device)
    return (time.perf_counter() - began) / times


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def measure_size(
    size: str, device: torch.device, dtype: torch.dtype, rate: float, arguments: argparse.Namespace
) -> list[dict[str, object]]:
    """Every format on one model, both sides."""
    model = build_model(size, dtype, device)
    runs = [measure_format(size, model, name, rate, arguments) for name in arguments.formats]
    if arguments.profile:
        print_kernels(size, model, arguments)
    return runs


def measure_format(
    size: str, model: torch.nn.Module, name: str, rate: float, arguments: argparse.Namespace
) -> dict[str, object]:
    """One format: ours at every budget, the other side at its best batch size, in turns."""
    engine = Resident(model)
    count = items_for(engine, name, SHAPES[size].vocabulary, arguments)
    items = make_items(name, count, SHAPES[size].vocabulary)
    requests, pairs = as_requests(items, name == "pages"), as_pairs(items)
    other = other_side(model)
    batch_size = best_batch_size(other, pairs, model.device)
    ours: dict[int, list[float]] = {budget: [] for budget in arguments.budgets}
    theirs = []
    for _ in range(REPEATS):
        for budget, seconds in ours.items():
            seconds.append(timed(lambda budget=budget: score(engine, requests, budget), model.device))
        theirs.append(timed(lambda: other(pairs, batch_size), model.device))
    rows = make_rows(requests, cut_windows(requests, CONTEXT_TOKENS), max(ours), engine.shares_prefixes)
    flop, tokens = useful_flop(size, rows), sum(len(row) for row in rows)
    return {
        "size": size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "format": name,
        "items": count,
        "tokens_per_item": tokens / count,
        "flop_per_item": flop / count,
        "budgets": {budget: speed(median(seconds), count, tokens, flop, rate) for budget, seconds in ours.items()},
        "prepare_seconds": prepare_seconds(engine, items, name, max(ours)),
        "other_side": other.__name__,
        "other_side_batch_size": batch_size,
        "other": speed(median(theirs), count, sum(len(pair[1]) + len(pair[2]) - 1 for pair in pairs), flop, rate),
        "seconds": {"ours": ours, "other": theirs},
    }


def speed(seconds: float, items: int, tokens: int, flop: float, rate: float) -> dict[str, float]:
    return {
        "seconds_per_item": seconds / items,
        "tokens_per_second": tokens / seconds,
        "utilisation": flop / seconds / rate,
    }


def items_for(engine: Resident, name: str, vocabulary: int, arguments: argparse.Namespace) -> int:
    """Items that take about --seconds: from a few, doubled until the time is worth measuring. Warms up as well."""
    count = FIRST_ITEMS
    while True:
        requests = as_requests(make_items(name, count, vocabulary), name == "pages")
        score(engine, requests, arguments.budgets[0])
        seconds = timed(lambda requests=requests: score(engine, requests, arguments.budgets[0]), engine.device)
        if seconds >= arguments.seconds / 4:
            return max(FIRST_ITEMS, round(count * arguments.seconds / seconds))
        count *= 4


def prepare_seconds(engine: Resident, items: list, name: str, budget: int) -> float:
    requests = as_requests(items, name == "pages")
    return timed(lambda: batches_of(engine, requests, budget), engine.device)


def other_side(model: torch.nn.Module) -> Callable[[list, int], list]:
    """lm-eval's HFLM on the model, or what it does, written plainly; the function's name says which."""

    def plain_harness(pairs: list, batch_size: int) -> list:
        return score_plainly(model, pairs, batch_size, CONTEXT_TOKENS)

    try:
        # Any tokenizer: HFLM wants one, and gets token ids.
        harness = make_hflm(model, load_tokenizer(TOKENIZER), logits_cache=False)
    except ModuleNotFoundError:
        return plain_harness

    def lm_eval_hflm(pairs: list, batch_size: int) -> list:
        return run_hflm(harness, pairs, batch_size)

    return lm_eval_hflm


def best_batch_size(other: Callable[[list, int], list], pairs: list, device: torch.device) -> int:
    """The quickest that fits the memory, on a part of the items, after a run that warms up."""
    seconds = {}
    for size in HFLM_BATCH_SIZES:
        part = pairs[: max(2 * size, len(pairs) // 4)]
        if seconds and size > len(part):
            break
        try:
            other(part[:size], size)
            seconds[size] = timed(lambda part=part, size=size: other(part, size), device) / len(part)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
    return min(seconds, key=seconds.get)


def print_kernels(size: str, model: torch.nn.Module, arguments: argparse.Namespace) -> None:
    """What the device spends its time on while it scores choice4, by torch's profiler."""
    engine = Resident(model)
    requests = as_requests(make_items("choice4", 8 * FIRST_ITEMS, SHAPES[size].vocabulary))
    score(engine, requests, arguments.budgets[0])
    with torch.profiler.profile() as profile:
        score(engine, requests, arguments.budgets[0])
    key = f"self_{'device' if arguments.device == 'cuda' else 'cpu'}_time_total"
    print(profile.key_averages().table(sort_by=key, row_limit=20, max_name_column_width=60))


def summarize(runs: list[dict], rate: float, device: torch.device, arguments: argparse.Namespace) -> dict[str, object]:
    """All figures; what `kbit plan` reads stands on top."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    budget = best_budget(runs, arguments.budgets)
    nominal = next((tflops for card, tflops in NOMINAL_TFLOPS.items() if card in name), None)
    return {
        "device": name,
        "dtype": arguments.dtype,
        "matmul_tflops": rate / 1e12,
        **({"nominal_tflops": nominal} if nominal else {}),
        "token_budget": budget,
        "utilisation": [
            {key: run[key] for key in ("parameters", "format")} | {"utilisation": run["budgets"][budget]["utilisation"]}
            for run in runs
        ],
        "targets": {"size": TARGET_SIZE, "utilisation": TARGET_UTILISATION, "ratio_choice4": TARGET_RATIO},
        "machine": machine(),
        "versions": versions("kbit", "torch", "transformers", "lm-eval", "numpy"),
        "runs": runs,
    }


def best_budget(runs: list[dict], budgets: list[int]) -> int:
    """A study has one token budget: the one under which all formats of all sizes together take the least time."""
    return max(budgets, key=lambda budget: harmonic_mean(run["budgets"][budget]["utilisation"] for run in runs))


def ratio(run: dict) -> float:
    """The other side's seconds per item over ours at our best budget, as its batch size is its best."""
    return run["other"]["seconds_per_item"] / min(speed["seconds_per_item"] for speed in run["budgets"].values())


def misses(runs: list[dict]) -> list[str]:
    """Targets that were not reached, among those that were measured."""
    missed = []
    for run in runs:
        if run["size"] != TARGET_SIZE:
            continue
        utilisation = max(speed["utilisation"] for speed in run["budgets"].values())
        if utilisation < TARGET_UTILISATION.get(run["format"], 0.0):
            missed.append(f"utilisation {utilisation:.1%} on {run['format']}")
        if run["format"] == "choice4" and ratio(run) < TARGET_RATIO:
            missed.append(f"{ratio(run):.2f} times fewer seconds per item on choice4")
    return missed


def table(runs: list[dict]) -> str:
    lines = ["size   format     budget   items/s  tokens/s  utilisation | other: items/s  utilisation  ratio"]
    for run in runs:
        budget, ours = max(run["budgets"].items(), key=lambda entry: entry[1]["utilisation"])
        other = run["other"]
        lines.append(
            f"{run['size']:6} {run['format']:10} {budget:6} {1 / ours['seconds_per_item']:9.1f} "
            f"{ours['tokens_per_second']:9.0f} {ours['utilisation']:12.1%} | "
            f"{1 / other['seconds_per_item']:14.1f} {other['utilisation']:12.1%} {ratio(run):6.2f} "
            f"({run['other_side']}, batch {run['other_side_batch_size']})"
        )
    return "\n".join(lines)


def write(result: dict[str, object], arguments: argparse.Namespace) -> None:
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    elif arguments.device == "cuda":
        print(f"written: {write_result('evaluate_gpu', result)}")


if __name__ == "__main__":
    main()
