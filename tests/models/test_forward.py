"""Rows that are tries read as their texts do, in every architecture."""

import copy

import pytest
import torch
from torch import Tensor

from kbit.models.architectures import ARCHITECTURES, find_architecture
from kbit.models.forward import last_hidden_states, trie_mask
from kbit.models.inputs import ModelInputs
from kbit.models.load import load_model

# A root that two branches share, one of which branches again; a text; the second row is padded by a token.
TOKENS = [[5, 6, 1, 2, 3, 4, 2, 9], [7, 8, 9, 1, 2, 3, 4, 0]]
POSITIONS = [[0, 1, 2, 3, 4, 3, 2, 3], [0, 1, 2, 3, 4, 5, 6, 0]]
ENDS = [[8, 8, 6, 5, 5, 6, 8, 8], [7, 7, 7, 7, 7, 7, 7, 8]]
TEXTS = {(0, 4): [5, 6, 1, 2, 3], (0, 5): [5, 6, 1, 4], (0, 7): [5, 6, 2, 9], (1, 6): [7, 8, 9, 1, 2, 3, 4]}
"""Last place of a text -> the text."""
TRIES = ModelInputs(torch.tensor(TOKENS), torch.tensor(POSITIONS), torch.tensor(ENDS))
TOLERANCES = {"float32": 1e-5, "bfloat16": 0.04, "float16": 0.005}
"""Of a state's norm. Sums of other lengths in another order: a few roundings of the dtype (2^-24, 2^-9, 2^-12 of a
value), which three layers of random weights carry on."""


def run(model, inputs: ModelInputs) -> Tensor:
    with torch.inference_mode():
        return last_hidden_states(find_architecture(model.config), model, inputs)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_branch_of_a_trie_is_read_as_its_text(tiny, architecture, dtype):
    model = load_model(tiny(architecture), dtype, "cpu")
    states = run(model, TRIES).float()
    assert torch.isfinite(states).all()
    for (row, place), text in TEXTS.items():
        alone = run(model, ModelInputs(torch.tensor([text])))[0, -1].float()
        assert (states[row, place] - alone).norm() <= TOLERANCES[dtype] * alone.norm()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_row_may_be_longer_than_the_model_reads(tiny, architecture):
    """What is limited is the position of a token in its text: GPT-2 and OPT have tables of 64 positions here."""
    model = load_model(tiny(architecture), "float32", "cpu")
    endings, context = 5, torch.arange(1, 41)
    endless = [torch.arange(i, i + 20) for i in range(endings)]
    tokens = torch.cat([context, *endless])[None]
    positions = torch.cat([torch.arange(40), *[torch.arange(40, 60)] * endings])[None]
    ends = torch.cat([torch.full((40,), 140), *[torch.full((20,), 60 + 20 * i) for i in range(endings)]])[None]
    states = run(model, ModelInputs(tokens, positions, ends))
    assert states.shape[1] == 140
    for i, ending in enumerate(endless):
        alone = run(model, ModelInputs(torch.cat([context, ending])[None]))[0, -1]
        assert (states[0, 59 + 20 * i] - alone).norm() <= TOLERANCES["float32"] * alone.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("row", [0, 1])
def test_the_mask_hides_all_but_a_tokens_own_path(row, dtype):
    mask = trie_mask(torch.tensor(ENDS), dtype)
    assert (mask.dtype, mask.shape) == (dtype, (2, 1, 8, 8))
    for token in range(8):
        for key in range(8):
            reads = key <= token < ENDS[row][key]
            assert mask[row, 0, token, key] == (0 if reads else float("-inf"))


def test_the_mask_of_one_long_row():
    """Distances of more than 2^11 tokens, where float16 counts in steps of 2."""
    mask = trie_mask(torch.tensor([[3001] + [2501] * 2500 + [3001] * 500]), torch.float16)[0, 0]
    causal = torch.ones(2500, 2500, dtype=torch.bool).tril()
    assert torch.equal(mask[1:2501, 1:2501] == 0, causal)
    assert torch.equal(mask[2501:, 2501:] == 0, causal[:500, :500])
    assert (mask[2501:, 1:2501] == float("-inf")).all()
    assert (mask[:, 0] == 0).all()


def test_plain_rows_need_no_mask_and_no_statement(tiny):
    """So that the fused attention of a GPU takes its causal path; and any architecture can be run."""
    model = load_model(tiny("llama"), "float32", "cpu")
    masks = []
    layer = model.model.layers[0].self_attn
    layer.register_forward_pre_hook(lambda _, __, given: masks.append(given["attention_mask"]), with_kwargs=True)
    run(model, ModelInputs(TRIES.tokens))
    run(model, TRIES)
    assert masks[0] is None
    assert masks[1].shape == (2, 1, 8, 8)


def test_bloom_is_left_as_it_was(tiny, monkeypatch):
    model = load_model(tiny("bloom"), "float32", "cpu")
    before = copy.copy(vars(model.base_model))
    run(model, TRIES)
    assert vars(model.base_model) == before
    # As when a GPU runs out of memory in the middle of a pass.
    monkeypatch.setattr(model.base_model.h[1], "forward", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(model, TRIES)
    assert vars(model.base_model) == before
