"""The shipped models are what their cards and docs/embedded-models.md say."""

import json
import re
from pathlib import Path

import pytest
import torch

from kbit.models.checkpoint import held_out_loss
from kbit.models.corpus import read_runs, tokenize_runs
from kbit.models.load import load_model
from kbit.models.quantized import quantized
from kbit.models.recipes import RECIPES
from kbit.models.tokenizer import load_tokenizer
from kbit.spec.quant import QuantSpec

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "data/models"
NAMES = [
    *RECIPES,
    *(f"{name}-{at // 1_000_000}m" for name, recipe in RECIPES.items() for at in recipe.snapshot_tokens),
]
DAMAGE = json.loads((ROOT / "bench/results/quantization_damage.json").read_text())
NEOX = [name for name, recipe in RECIPES.items() if recipe.architecture == "neox"]
INCREASE = {(row["model"], row["spec"]): row["increase"] for row in DAMAGE["rows"]}


def locator(name):
    return {"name": name, "path": str(SHIPPED / name), "hub_id": None, "revision": None}


def card_value(name, label):
    card = (SHIPPED / name / "README.md").read_text()
    return float(re.search(rf"\| {label} \| ([\d.,]+)", card).group(1).replace(",", ""))


def test_every_recipe_and_snapshot_is_shipped():
    assert {folder.name for folder in SHIPPED.iterdir() if folder.is_dir()} == set(NAMES)
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20e6


@pytest.mark.parametrize("name", RECIPES)
def test_all_sizes_have_seen_the_same_tokens(name):
    assert card_value(name, "tokens seen") == 10_000_384


@pytest.mark.parametrize("architecture", ["neox", "gpt2", "opt", "bloom"])
def test_held_out_loss_falls_with_every_size(architecture):
    losses = [
        card_value(name, "loss on the valid split")
        for name, recipe in RECIPES.items()
        if recipe.architecture == architecture
    ]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("name", ["neox-64x2", "gpt2-64x2", "opt-64x2", "bloom-64x2", "neox-32x2-1m"])
def test_the_loss_on_the_card_is_that_of_the_shipped_weights(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    model, tokenizer = load_model(locator(name), "float32", "cpu"), load_tokenizer(locator(name))
    valid = torch.from_numpy(tokenize_runs(tokenizer, read_runs("valid")))
    # The card was written by another version of BLAS or another thread count at most: fp32 sums differ by less.
    assert held_out_loss(model, valid) == pytest.approx(card_value(name, "loss on the valid split"), abs=2e-4)


@pytest.mark.parametrize("name", NEOX)
def test_three_bits_cost_more_than_noise_and_more_in_large_blocks(name):
    assert INCREASE[name, "int3-b64"] >= 0.02
    assert INCREASE[name, "int3-b1024"] > INCREASE[name, "int3-b64"]
    assert abs(INCREASE[name, "int8-b64"]) <= 0.002


@pytest.mark.parametrize("spec", ["int3-b64", "quantile4-b1024"])
def test_the_committed_table_can_be_measured_again(spec, monkeypatch):
    monkeypatch.chdir(ROOT)
    model, tokenizer = load_model(locator("neox-32x2"), "float32", "cpu"), load_tokenizer(locator("neox-32x2"))
    text = torch.from_numpy(tokenize_runs(tokenizer, read_runs("test")))
    text = text[: DAMAGE["windows"] * DAMAGE["context"] + 1]
    data_type, bits, block_size = re.fullmatch(r"([a-z]+)(\d)-b(\d+)", spec).groups()
    control = held_out_loss(model, text)
    with quantized(model, QuantSpec(data_type=data_type, bits=int(bits), block_size=int(block_size))):
        increase = held_out_loss(model, text) - control
    assert increase == pytest.approx(INCREASE["neox-32x2", spec], abs=2e-4)
