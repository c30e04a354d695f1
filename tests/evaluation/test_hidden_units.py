"""What is seen of hidden units: the inputs of every linear, over the tokens that a task scores, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kbit.evaluation.hidden_units import observe_hidden_units
from kbit.evaluation.requests import Requests
from kbit.models.load import load_model
from kbit.models.resident import Resident
from kbit.models.stored_weights import open_stored_weights
from kbit.models.streamed import Streamed

MODELS = Path(__file__).parents[2] / "data" / "models"


def locator(name: str) -> dict:
    return {"name": name, "model_id": "x", "hub_id": None, "revision": None, "path": str(MODELS / name)}


def texts() -> Requests:
    """Three, of different lengths, the longest of which is read in two windows, so that rows are padded."""
    generator = np.random.default_rng(0)
    tokens = [generator.integers(5, 200, length) for length in (9, 300, 31)]
    return Requests(
        header={"task": "made_up", "output_type": "loglikelihood_rolling", "tokenizer_max_length": None},
        docs=[{} for _ in tokens],
        doc=np.arange(len(tokens), dtype=np.int32),
        contexts=[text[:1] for text in tokens],
        continuations=[text[1:] for text in tokens],
    )


def test_magnitudes_are_means_over_the_scored_tokens():
    """Of the second linear of the first block, whose inputs are the outputs of attention, and of one after it."""
    model = load_model(locator("gpt2-32x2"), "float32", "cpu")
    observed = observe_hidden_units(Resident(model), texts(), 512)
    assert [(units.block, units.linear) for units in observed] == [
        (block, linear) for block in range(2) for linear in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    ]
    assert [units.role for units in observed[:4]] == ["kvq", "attention_output", "ffn1", "ffn2"]
    assert [units.feeders for units in observed[:5]] == [
        *[("embedding",), ("kvq",), ("attention_output",), ("ffn1",), ("ffn2",)]
    ]
    seen = {1: [], 3: []}
    for index, layer in ((1, model.transformer.h[0].attn.c_proj), (3, model.transformer.h[0].mlp.c_proj)):
        layer.register_forward_pre_hook(lambda _, args, at=index: seen[at].append(args[0][0]))
    requests, n_tokens = texts(), 0
    with torch.no_grad():
        for context, continuation in zip(requests.contexts, requests.continuations, strict=True):
            text = np.concatenate([context, continuation])
            if len(text) <= 257:
                model(torch.tensor(text[None, :-1]))
                n_tokens += len(text) - 1
                continue
            model(torch.tensor(text[None, :256]))  # the last window reaches back to be full: its last 43 are scored
            model(torch.tensor(text[None, -257:-1]))
            for states in seen.values():
                states[-1] = states[-1][-43:]
            n_tokens += 299
    for index, states in seen.items():
        assert observed[index].n_tokens == n_tokens == sum(map(len, states))
        expected = torch.cat(states).abs().double().mean(dim=0)
        # Other batches add up in another order, in fp32.
        assert torch.allclose(observed[index].magnitude, expected, rtol=1e-4, atol=1e-7)
    expected = model.transformer.h[0].mlp.c_fc.weight.double().std(dim=0, correction=0)
    assert torch.allclose(observed[3].std.double(), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["neox-32x2", "opt-32x2"])
def test_a_streamed_model_shows_the_same(name):
    resident = Resident(load_model(locator(name), "float32", "cpu"))
    stored = open_stored_weights(locator(name))
    streamed = Streamed(stored, torch.float32, torch.device("cpu"), "model 'x'")
    for ours, theirs in zip(
        *(observe_hidden_units(engine, texts(), 512) for engine in (streamed, resident)), strict=True
    ):
        assert (ours.block, ours.linear, ours.feeders, ours.n_tokens) == (
            *(theirs.block, theirs.linear, theirs.feeders, theirs.n_tokens),
        )
        assert torch.equal(ours.std, theirs.std)
        assert torch.equal(ours.magnitude, theirs.magnitude)


def test_hooks_are_gone_afterwards():
    model = load_model(locator("bloom-32x2"), "float32", "cpu")
    before = sum(len(module._forward_pre_hooks) for module in model.modules())
    observe_hidden_units(Resident(model), texts(), 512)
    assert sum(len(module._forward_pre_hooks) for module in model.modules()) == before
