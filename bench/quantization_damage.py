"""What quantization costs the embedded NeoX family: loss increase on held-out text, in nats per token.

    python bench/quantization_damage.py        (about three minutes on one core)

Writes bench/results/quantization_damage.json and the table docs/embedded-models.md. Models are loaded, quantized
and restored as a study does; the text is the first 128 windows of 256 tokens of the corpus's test split.
"""

import json
from itertools import product
from pathlib import Path

import torch

from kbit.models.checkpoint import held_out_loss
from kbit.models.corpus import read_runs, tokenize_runs
from kbit.models.load import load_model
from kbit.models.quantized import quantized
from kbit.models.recipes import CONTEXT_TOKENS, RECIPES
from kbit.models.tokenizer import load_tokenizer
from kbit.spec.quant import QuantSpec

WINDOWS = 128
BITS = (8, 5, 4, 3)
DATA_TYPES = ("int", "float", "dynamic", "quantile")
BLOCK_SIZES = (64, 1024)
EXPONENT_BITS = {8: 4, 5: 3, 4: 2, 3: 2}
"""ceil(k / 2), the paper's appendix C.4."""
NEARLY_FREE = 0.002
SIZES = [name for name, recipe in RECIPES.items() if recipe.architecture == "neox"]
MODELS = Path("data/models")
RESULTS = Path("bench/results/quantization_damage.json")
TABLE = Path("docs/embedded-models.md")


def main() -> None:
    torch.set_num_threads(1)
    rows = [row for name in SIZES for row in measure(name)]
    RESULTS.write_text(json.dumps({"windows": WINDOWS, "context": CONTEXT_TOKENS, "rows": rows}, indent=1) + "\n")
    TABLE.write_text(document(rows))
    print(TABLE.read_text())


def measure(name: str) -> list[dict[str, object]]:
    """The control and every spec of one model: loss and its increase, nats per token."""
    locator = {"name": name, "path": str(MODELS / name), "hub_id": None, "revision": None}
    model, tokenizer = load_model(locator, "float32", "cpu"), load_tokenizer(locator)
    text = torch.from_numpy(tokenize_runs(tokenizer, read_runs("test")))[: WINDOWS * CONTEXT_TOKENS + 1]
    control = held_out_loss(model, text)
    rows = [{"model": name, "spec": "none16", "bits": 16, "loss": control, "increase": 0.0}]
    for bits, data_type, block_size in product(BITS, DATA_TYPES, BLOCK_SIZES):
        exponent_bits = EXPONENT_BITS[bits] if data_type == "float" else None
        spec = QuantSpec(data_type=data_type, bits=bits, exponent_bits=exponent_bits, block_size=block_size)
        with quantized(model, spec):
            loss = held_out_loss(model, text)
        rows.append({"model": name, "spec": spec.slug, "bits": bits, "loss": loss, "increase": loss - control})
    return rows


def document(rows: list[dict[str, object]]) -> str:
    """docs/embedded-models.md: one table per block size, sizes down, specs across."""
    increase = {(row["model"], row["spec"]): row["increase"] for row in rows}
    loss = {row["model"]: row["loss"] for row in rows if row["spec"] == "none16"}
    lines = [
        "# The embedded models",
        "",
        "GPT-NeoX models of five sizes, and GPT-2, OPT and BLOOM models of three, trained on 10 million tokens of",
        "public-domain text; `data/models/<name>/README.md` is the card of each. Below is what quantizing the NeoX",
        "family costs: the increase of the loss, in nats per token, on",
        f"{WINDOWS * CONTEXT_TOKENS:,} tokens of held-out text (the test split). float has ceil(k/2) exponent bits.",
        "Written by `python bench/quantization_damage.py`.",
        "",
        eight_bit_sentence(rows),
    ]
    for block_size in BLOCK_SIZES:
        heads = [f"{data_type} {bits}" for bits, data_type in product(BITS, DATA_TYPES)]
        lines += ["", f"## Block size {block_size}", "", f"| model | 16-bit loss | {' | '.join(heads)} |"]
        lines.append("|---" * (len(heads) + 2) + "|")
        for name in SIZES:
            values = [
                f"{increase[name, slug]:+.4f}"
                for slug in (slug_of(bits, data_type, block_size) for bits, data_type in product(BITS, DATA_TYPES))
            ]
            lines.append(f"| {name} | {loss[name]:.4f} | {' | '.join(values)} |")
    return "\n".join(lines) + "\n"


def eight_bit_sentence(rows: list[dict[str, object]]) -> str:
    """Which 8-bit specs are not nearly free, named one by one."""
    eight = [row for row in rows if row["bits"] == 8]
    costly = [f"{row['spec']} on {row['model']}" for row in eight if row["increase"] > NEARLY_FREE]
    listed = f"; these cost more: {', '.join(costly)}" if costly else ""
    return (
        f"Of {len(eight)} measurements at 8 bits, {len(eight) - len(costly)} cost at most {NEARLY_FREE} nats{listed}."
    )


def slug_of(bits: int, data_type: str, block_size: int) -> str:
    exponent_bits = EXPONENT_BITS[bits] if data_type == "float" else None
    return QuantSpec(data_type=data_type, bits=bits, exponent_bits=exponent_bits, block_size=block_size).slug


if __name__ == "__main__":
    main()
