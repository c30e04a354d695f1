"""The CPU bench: both sides score the same, and a target that is missed is said."""

from pathlib import Path

import scoring_alone
from evaluate_vs_lm_eval import verdict
from whole_study import disagreements, spread

MODEL = Path(__file__).parents[2] / "data/models/neox-32x2"


def test_both_sides_give_the_same_scores_and_are_timed_as_often(monkeypatch):
    monkeypatch.setattr(scoring_alone, "BATCH_SIZES", (4, 8))
    monkeypatch.setattr(scoring_alone, "TOKEN_BUDGETS", (1024,))
    found = scoring_alone.compare_scoring(MODEL, items=3, repeats=2)
    assert found.keys() == scoring_alone.TARGETS.keys()
    for format_ in found.values():
        assert format_["agrees"]
        assert {len(seconds) for seconds in format_["cpu_seconds"].values()} == {2}
    # 3 items of 4 endings under one context against 12 last words, nothing of which is shared.
    assert found["choice"]["tokens_processed"] < found["choice"]["tokens_of_requests"] / 2
    assert found["last_word"]["tokens_processed"] == found["last_word"]["tokens_of_requests"]
    # The head is the larger half of the 32-wide model: 32 x 1024 weights against 2 x 12 x 32 x 32.
    tokens = found["last_word"]["tokens_of_requests"]
    scored = found["last_word"]["operations_ratio"] ** -1 * tokens * (24_576 + 32_768) - tokens * 24_576
    assert 12 <= round(scored / 32_768) <= 36


def scoring(ratio: float, agrees: bool = True, size: str = "small") -> dict:
    found = {"ratio": {"a": ratio, "b": ratio + 1}, "operations_ratio": 2.5, "ratio_with_preparation": 1.0}
    return {size: {"choice": found | {"agrees": agrees}}}


def study(ratio: float, wrong: list[str]) -> dict:
    counts = {"lm_eval_calls_measured": 2, "specs": 20, "ratio_requests_apart": 1.0, "ratio_shard_alone": 1.0}
    return {"small": {"ratio": ratio, "wrong": wrong, **counts}}


def test_a_ratio_below_its_target_and_scores_that_differ_are_missed():
    assert verdict({"scoring": scoring(3.0), "study": study(15.0, [])})[1] == []
    lines, missed = verdict({"scoring": scoring(2.9), "study": study(14.9, [])})
    assert lines[0].startswith("ratio_choice=2.9 ")
    assert lines[1].startswith("ratio_small=14.9 ")
    assert len(missed) == 2
    assert verdict({"scoring": scoring(3.1, agrees=False)})[1] == ["choice on neox-32x2: scores differ"]
    assert verdict({"study": study(16.0, ["int3 ho_piqa acc: 0.5 against 0.6"])})[1] == [
        "metrics differ: int3 ho_piqa acc: 0.5 against 0.6"
    ]


def test_a_large_model_is_held_to_its_operations():
    assert verdict({"scoring": scoring(2.25, size="large")})[1] == []
    assert len(verdict({"scoring": scoring(2.24, size="large")})[1]) == 1


def test_accuracies_must_be_equal_and_perplexities_nearly():
    ours = {("s", "t", "acc"): 0.5, ("s", "t", "perplexity"): 100.005}
    assert disagreements(ours, {("s", "t", "acc"): 0.5, ("s", "t", "perplexity"): 100.0}) == []
    assert len(disagreements(ours, {("s", "t", "acc"): 0.51, ("s", "t", "perplexity"): 100.1})) == 2


def test_fewer_calls_are_spread_over_all_specs():
    specs = [f"s{number}" for number in range(20)]
    assert spread(specs, 20) == specs
    assert spread(specs, 4) == ["s0", "s5", "s10", "s15"]
