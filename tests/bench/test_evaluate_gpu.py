"""The GPU bench, tried on a CPU: what it counts, what it compares, what the plan reads of it."""

import json
import sys

import evaluate_gpu
import numpy as np
import pytest
import torch
from harness import score_plainly
from items import FORMATS, as_pairs, as_requests, make_items
from neox_on_device import CONTEXT_TOKENS, SHAPES, build_model, useful_flop
from torch.utils.flop_counter import FlopCounterMode

from kbit.evaluation.scorer import score
from kbit.evaluation.tries import make_rows
from kbit.evaluation.windows import cut_windows
from kbit.models.resident import Resident
from kbit.plan.gpu_bench import read_gpu_bench


@pytest.fixture(scope="module")
def tiny():
    return build_model("tiny", torch.float32, torch.device("cpu"))


def rows_of(requests):
    return make_rows(requests, cut_windows(requests, CONTEXT_TOKENS), 4096, True)


def test_the_other_side_written_plainly_gives_our_scores(tiny):
    for name in ("choice4", "last_word"):
        items = make_items(name, 3, SHAPES["tiny"].vocabulary)
        ours = score(Resident(tiny), as_requests(items), 1024)
        plain = score_plainly(tiny, as_pairs(items), 5, CONTEXT_TOKENS)
        # Float32 sums over batches of another shape, as in the parity tests.
        np.testing.assert_allclose(ours.loglikelihoods, [value for value, _ in plain], rtol=0, atol=1e-3)
        assert ours.greedy.tolist() == [greedy for _, greedy in plain]


def test_useful_operations_are_those_torch_counts_for_the_matrices_and_half_of_plain_attention():
    model = build_model("tiny", torch.float32, torch.device("cpu"))
    model.set_attn_implementation("eager")  # of the fused attention on a CPU torch counts nothing
    requests = as_requests(make_items("pages", 1, SHAPES["tiny"].vocabulary), rolling=True)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.from_numpy(rows_of(requests)[0].tokens)[None])
    counted = {str(operation): flop for operation, flop in counter.get_flop_counts()["Global"].items()}
    attention = sum(flop for operation, flop in counted.items() if "bmm" in operation)
    assert attention > 0
    # Torch counts every pair of tokens; half of them, and the diagonal, are what a causal model looks at.
    n = CONTEXT_TOKENS
    expected = sum(counted.values()) - attention + attention * (n + 1) / (2 * n)
    assert useful_flop("tiny", rows_of(requests)) == pytest.approx(expected, rel=1e-12)


def test_a_context_and_what_several_endings_are_scored_at_count_once():
    # 3 shared tokens and 2 endings of 2: 3 + 1 + 1 tokens are read, their last ones only predicted; the token that
    # stands before both endings is scored twice and goes through the head once.
    item = [(np.array([1, 2, 3]), np.array([4, 5])), (np.array([1, 2, 3]), np.array([6, 7]))]
    shape = SHAPES["tiny"]
    linear = 2 * 12 * shape.width**2 * shape.layers * 5
    attention = 4 * shape.width * shape.layers * (1 + 2 + 3 + 4 + 4)
    assert useful_flop("tiny", rows_of(as_requests([item]))) == linear + attention + 2 * shape.width * 512 * 3


def test_the_bench_runs_every_format_and_the_plan_reads_its_utilisation(tmp_path, monkeypatch, capsys):
    output = tmp_path / "bench" / "results" / "evaluate_gpu.json"
    output.parent.mkdir(parents=True)
    options = "--device cpu --sizes tiny --dtype float32 --seconds 0.02 --budgets 1024 2048 --output"
    monkeypatch.setattr(sys, "argv", ["evaluate_gpu.py", *options.split(), str(output)])
    for name, value in {"HFLM_BATCH_SIZES": (4,), "FIRST_ITEMS": 2, "REPEATS": 1}.items():
        monkeypatch.setattr(evaluate_gpu, name, value)  # the figures are of no interest here
    with pytest.raises(SystemExit) as ended:
        evaluate_gpu.main()
    assert ended.value.code == 0
    found = json.loads(output.read_text())
    assert [run["format"] for run in found["runs"]] == list(FORMATS) == [row["format"] for row in found["utilisation"]]
    assert found["token_budget"] in (1024, 2048)
    for run in found["runs"]:
        assert run["other_side"] == "lm_eval_hflm"
        for side in (*run["budgets"].values(), run["other"]):
            # A share of a matmul's rate; no bound of 1: a product of 512 x 512 is timed beside other work.
            assert side["utilisation"] == pytest.approx(
                run["flop_per_item"] / side["seconds_per_item"] / found["matmul_tflops"] / 1e12
            )
    read = read_gpu_bench(tmp_path)
    assert (read.device, read.nominal_tflops) == ("cpu", 989.0)
    assert [size.parameters for size in read.sizes] == [found["runs"][0]["parameters"]]
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(FORMATS)


def test_a_machine_without_a_gpu_is_told_how_to_try_the_bench(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["evaluate_gpu.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="--device cpu --sizes tiny"):
        evaluate_gpu.main()
