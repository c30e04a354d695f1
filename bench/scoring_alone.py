"""Scoring alone: lm-eval's HFLM against our scorer on the same token ids, float32, one thread, in one process.

Two formats, cut from the held-out text of the corpus. choice: 4 endings of 16 to 32 tokens (24 on average, as in
HellaSwag) under one context of 100 tokens, the true ending and three from elsewhere. last_word: 1 to 3 tokens after a
context of 60 to 110. Each side has the batch size, or token budget, that is quickest for it. HFLM sorts and pads in
every call; our batches are prepared once for all cells of a job, and `ratio_with_preparation` has them prepared anew.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from harness import Pair, make_hflm, run_hflm
from items import Item, as_pairs, as_requests
from transformers import PreTrainedModel

from kbit.evaluation.scorer import score
from kbit.models.architectures import linears
from kbit.models.corpus import read_runs, tokenize_runs
from kbit.models.load import load_model
from kbit.models.resident import Resident
from kbit.models.tokenizer import load_tokenizer

CONTEXT_TOKENS = 100
ENDINGS = 4
TARGETS = {"choice": 3.0, "last_word": 1.5}
"""CPU-seconds of HFLM's best over ours, at least."""
BATCH_SIZES = (4, 8, 16, 32, 64)
TOKEN_BUDGETS = (1024, 2048, 4096, 8192)
LOGITS_CACHE = {"logits_cache=False": False, "default": True}
TOLERANCE = 1e-3
"""Nats per request: float32 sums over batches of another shape (tests/evaluation/test_parity.py)."""


def compare_scoring(model_folder: Path, items: int, repeats: int) -> dict[str, dict]:
    """For each format: CPU-seconds of every repeat, sides alternating, and ratios of their medians."""
    locator = {"name": model_folder.name, "path": str(model_folder), "hub_id": None, "revision": None}
    model, tokenizer = load_model(locator, "float32", "cpu"), load_tokenizer(locator)
    stream = tokenize_runs(tokenizer, read_runs("test"))
    return {
        name: compare_format(model, tokenizer, make(stream, items), repeats)
        for name, make in (("choice", choice_requests), ("last_word", last_word_requests))
    }


def compare_format(model: PreTrainedModel, tokenizer: object, items: list[Item], repeats: int) -> dict:
    pairs, requests, engine = as_pairs(items), as_requests(items), Resident(model)
    harnesses = {name: make_hflm(model, tokenizer, cache) for name, cache in LOGITS_CACHE.items()}
    best = {
        name: quickest(BATCH_SIZES, lambda size, lm=lm: run_hflm(lm, pairs, size)) for name, lm in harnesses.items()
    }
    budget = quickest(TOKEN_BUDGETS, lambda budget: score(engine, requests, budget))
    runs = {name: lambda lm=lm, size=best[name]: run_hflm(lm, pairs, size) for name, lm in harnesses.items()}
    runs["kbit"] = lambda: score(engine, requests, budget)
    # Batches are kept by the identity of their requests: new ones are prepared anew.
    runs["kbit, with preparation"] = lambda: score(engine, as_requests(items), budget)
    seconds, results = alternate(runs, repeats)
    ours, theirs = results["kbit"], results["logits_cache=False"]
    difference = float(np.abs(ours.loglikelihoods - [value for value, _ in theirs]).max())
    return {
        "items": len(items),
        "tokens_of_requests": sum(len(context) + len(ending) - 1 for _, context, ending in pairs),
        "tokens_processed": ours.n_tokens,
        "batch_size": best,
        "token_budget": budget,
        "cpu_seconds": seconds,
        "ratio": {name: round(median(seconds[name]) / median(seconds["kbit"]), 2) for name in LOGITS_CACHE},
        "ratio_with_preparation": round(
            min(median(seconds[name]) for name in LOGITS_CACHE) / median(seconds["kbit, with preparation"]), 2
        ),
        "operations_ratio": round(operations_ratio(model, pairs, ours.n_tokens), 2),
        "largest_difference_nats": difference,
        "agrees": difference <= TOLERANCE and ours.greedy.tolist() == [greedy for _, greedy in theirs],
    }


def operations_ratio(model: PreTrainedModel, pairs: Sequence[Pair], tokens_processed: int) -> float:
    """Products of weights that HFLM takes over those that we take: what the ratio of times comes to where they are all
    the time there is. HFLM runs every token of every request through blocks and head.
    """
    body = sum(layer.weight.numel() for layer in linears(model).values())
    head = model.get_output_embeddings().weight.numel()
    theirs = sum(len(context) + len(ending) - 1 for _, context, ending in pairs) * (body + head)
    return theirs / (tokens_processed * body + sum(len(ending) for _, _, ending in pairs) * head)


def quickest(settings: tuple[int, ...], run: Callable[[int], object]) -> int:
    """The setting that takes the least CPU time, of two runs each, in turns, after one that warms up."""
    run(settings[0])
    taken = [(cpu_seconds(lambda setting=setting: run(setting))[0], setting) for setting in 2 * settings]
    return min(taken)[1]


def alternate(runs: dict[str, Callable[[], object]], repeats: int) -> tuple[dict[str, list[float]], dict[str, object]]:
    """CPU-seconds of each side, in turns, and what each gave last. A first round is not counted."""
    results = {name: run() for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            taken, results[name] = cpu_seconds(run)
            seconds[name].append(round(taken, 4))
    return seconds, results


def cpu_seconds(run: Callable[[], object]) -> tuple[float, object]:
    began = time.process_time()
    result = run()
    return time.process_time() - began, result


def choice_requests(stream: np.ndarray, items: int) -> list[Item]:
    random = np.random.default_rng(0)
    pairs = []
    for start in random.integers(0, len(stream) - 200, size=items):
        context = stream[start : start + CONTEXT_TOKENS]
        starts = [start + CONTEXT_TOKENS, *random.integers(0, len(stream) - 200, size=ENDINGS - 1)]
        pairs.append([(context, stream[place : place + random.integers(16, 33)]) for place in starts])
    return pairs


def last_word_requests(stream: np.ndarray, items: int) -> list[Item]:
    random = np.random.default_rng(0)
    pairs = []
    for start in random.integers(0, len(stream) - 200, size=items * ENDINGS):
        middle = start + random.integers(60, 111)
        pairs.append([(stream[start:middle], stream[middle : middle + random.integers(1, 4)])])
    return pairs
