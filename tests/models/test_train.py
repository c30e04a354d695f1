"""Training: reproducible, on the committed corpus, and it learns."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from kbit.models import checkpoint, train
from kbit.models.corpus import read_runs, tokenize_runs, train_tokenizer
from kbit.models.recipes import RECIPES
from kbit.models.tokenizer import load_tokenizer
from kbit.spec.errors import UserError

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "data/models"


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer({"name": "neox-32x2", "path": str(SHIPPED / "neox-32x2"), "hub_id": None, "revision": None})


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def _a_few_runs(monkeypatch):
    """The first 60 runs of a split: tokenizing all of it would take most of the test."""
    for module in (train, checkpoint):
        monkeypatch.setattr(module, "read_runs", lambda split: read_runs(split)[:60])


@pytest.mark.usefixtures("_a_few_runs")
@pytest.mark.parametrize("name", ["neox-32x2", "gpt2-32x2", "opt-32x2", "bloom-32x2"])
def test_training_learns_and_is_reproducible(name, tokenizer, tmp_path):
    reports = []
    for attempt in ("first", "second"):
        # 40 steps: a model that learns nothing stays at ln 1024 = 6.93 nats per token.
        train.train_model(name, tokenizer, tmp_path / attempt, tokens=40 * 1024, report=reports.append)
    first, second = (AutoModelForCausalLM.from_pretrained(tmp_path / attempt / name) for attempt in ("first", "second"))
    assert all(torch.equal(mine, other) for mine, other in zip(first.parameters(), second.parameters(), strict=True))
    assert first.dtype == torch.float16
    card = (tmp_path / "first" / name / "README.md").read_text()
    loss = float(card.split("loss on the valid split | ")[1].split()[0])
    assert loss < 6.5
    assert f"`kbit train {name} --tokens 40960 --seed 0`" in card


def test_snapshots_are_kept_with_their_tokens():
    recipe = RECIPES["neox-32x2"]
    early = type(recipe)(recipe.architecture, recipe.width, recipe.layers, (1_000_000,))
    assert train.snapshot_names("neox-32x2", early, 3_000_000) == {977: "neox-32x2-1m"}
    assert train.snapshot_names("neox-32x2", early, 1_000_000) == {}


def test_the_order_of_the_data_is_that_of_the_seed():
    text = torch.arange(10_000)
    first, again, other = (torch.cat(list(train.training_batches(text, 12, seed))) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_epoch_shows_every_window_once():
    text = torch.arange(256 * 9)
    windows = torch.cat(list(train.training_batches(text, 2, 0)))
    assert len(set(windows[:, 0].tolist())) == 8
    assert (windows.diff(dim=1) == 1).all()


def test_an_unknown_recipe_is_named(tokenizer, tmp_path):
    with pytest.raises(UserError, match="'neox-1x1' is not one of neox-32x2"):
        train.train_model("neox-1x1", tokenizer, tmp_path)


def test_the_shipped_tokenizer_is_the_one_trained_on_the_train_split(tmp_path):
    train_tokenizer().save_pretrained(tmp_path)
    shipped = json.loads((SHIPPED / "neox-160x4/tokenizer.json").read_text())
    assert json.loads((tmp_path / "tokenizer.json").read_text()) == shipped


def test_runs_are_joined_by_end_of_text(tokenizer):
    runs = read_runs("test")[:2]
    ids = tokenize_runs(tokenizer, runs)
    assert (ids == tokenizer.eos_token_id).sum() == 2
    assert ids[0] == tokenizer.eos_token_id
