"""The counts of the data sheet are those of transformers' own classes, built on the meta device.

published_shapes.csv holds what the models' config.json files on the hub say: layers, width, heads, rows of the
embedding (padded, where the publisher padded it). What else shapes a family's parameters stands in the functions below.
"""

import csv
import re
from pathlib import Path

import pytest
from transformers import BloomConfig, GPT2Config, GPTNeoXConfig, OPTConfig

from kbit.models.configs import model_config
from kbit.models.counts import count_parameters
from kbit.models.recipes import RECIPES
from kbit.spec.models import ModelsFile
from kbit.spec.section import load_section

HERE = Path(__file__).parent
SHEET = HERE.parents[1] / "config" / "models.yaml"
with (HERE / "published_shapes.csv").open(encoding="utf-8", newline="") as stream:
    SHAPES = {row["name"]: row for row in csv.DictReader(stream)}
ENTRIES = load_section(ModelsFile, SHEET).models
HUB_MODELS = {entry.name: entry for entry in ENTRIES if entry.hub_id}
EMBEDDED_MODELS = {Path(entry.path).name: entry for entry in ENTRIES if entry.path}
EMBEDDED_VOCABULARY = 1024


def opt_config(name, layers, width, heads, vocabulary):
    # OPT-350M alone projects a narrower embedding to its width and has no last layer norm.
    is_350m = name == "opt-350m"
    return OPTConfig(
        num_hidden_layers=layers,
        hidden_size=width,
        ffn_dim=4 * width,
        num_attention_heads=heads,
        vocab_size=vocabulary,
        max_position_embeddings=2048,
        word_embed_proj_dim=512 if is_350m else width,
        do_layer_norm_before=not is_350m,
    )


def neox_config(_name, layers, width, heads, vocabulary):
    return GPTNeoXConfig(
        num_hidden_layers=layers,
        hidden_size=width,
        intermediate_size=4 * width,
        num_attention_heads=heads,
        vocab_size=vocabulary,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
    )


def gpt2_config(_name, layers, width, heads, vocabulary):
    return GPT2Config(n_layer=layers, n_embd=width, n_head=heads, n_positions=1024, vocab_size=vocabulary)


def bloom_config(_name, layers, width, heads, vocabulary):
    return BloomConfig(n_layer=layers, hidden_size=width, n_head=heads, vocab_size=vocabulary)


CONFIGS = {
    "OPT": opt_config,
    "Pythia": neox_config,
    "GPT-2": gpt2_config,
    "BLOOM": bloom_config,
    "BLOOMZ": bloom_config,
}


def test_every_hub_model_has_its_shape():
    assert set(HUB_MODELS) == set(SHAPES)
    assert {entry.family for entry in HUB_MODELS.values()} == set(CONFIGS)


@pytest.mark.parametrize("name", HUB_MODELS)
def test_counts_of_the_data_sheet(name):
    entry, shape = HUB_MODELS[name], SHAPES[name]
    numbers = (int(shape[key]) for key in ("layers", "hidden_size", "heads", "vocab_size"))
    counts = count_parameters(CONFIGS[entry.family](name, *numbers))
    assert (entry.parameters, entry.quantized_parameters) == (counts.parameters, counts.quantized_parameters)


@pytest.mark.parametrize("name", HUB_MODELS)
def test_quantized_weights_are_twelve_width_squared_a_layer(name):
    """Attention 4 d^2 and a feed-forward layer of 8 d^2: true of every family of the paper."""
    shape = SHAPES[name]
    assert HUB_MODELS[name].quantized_parameters == 12 * int(shape["layers"]) * int(shape["hidden_size"]) ** 2


def test_every_recipe_is_in_the_data_sheet():
    snapshots = {f"{name}-{tokens // 10**6}m" for name, recipe in RECIPES.items() for tokens in recipe.snapshot_tokens}
    assert set(EMBEDDED_MODELS) == set(RECIPES) | snapshots


@pytest.mark.parametrize("folder", EMBEDDED_MODELS)
def test_counts_of_the_embedded_models(folder):
    entry, recipe = EMBEDDED_MODELS[folder], RECIPES[re.sub(r"-\dm$", "", folder)]
    counts = count_parameters(model_config(recipe, EMBEDDED_VOCABULARY, 0))
    assert (entry.parameters, entry.quantized_parameters) == (counts.parameters, counts.quantized_parameters)
