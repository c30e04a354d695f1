"""What solvers cost the embedded NeoX family at 3-bit int, block 64: loss increase on held-out text, nats per token.

    python bench/solvers.py        (some minutes on one core)

Writes bench/results/solvers.json. `gptq` is calibrated on 128 sequences of 256 tokens of the corpus's training part,
scored are the first 128 windows of 256 tokens of its test part. The last variant takes the scale of a block from its
weights as the errors before it have moved them, as GPTQ's code does unless `static_groups` is asked for; it has the
same blocks as the others only where 64 divides a row.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from kbit.evaluation.calibration import calibration_batches
from kbit.evaluation.requests import make_requests
from kbit.models.checkpoint import held_out_loss
from kbit.models.corpus import read_runs, tokenize_runs
from kbit.models.inputs import ModelInputs
from kbit.models.load import load_model
from kbit.models.quantized import quantized
from kbit.models.recipes import CONTEXT_TOKENS, RECIPES
from kbit.models.tokenizer import load_tokenizer
from kbit.quant.scales import Scales
from kbit.quant.solvers import SOLVERS
from kbit.quant.solvers.gptq import Rounding, error_ratios, input_order, round_batch
from kbit.quant.statistics import Statistics
from kbit.spec.calibration import CalibrationConfig, resolve_calibration
from kbit.spec.quant import QuantSpec
from kbit.spec.requests import REQUESTS_VERSION
from kbit.spec.section import load_section
from kbit.spec.tasks import TasksFile

WINDOWS = 128
SEQUENCES = 128
RTN = QuantSpec(data_type="int", bits=3, block_size=64)
GPTQ = RTN.model_copy(update={"solver": "gptq"})
UPDATED = "gptq, scales of updated weights"
VARIANTS = {
    "rtn": RTN,
    "hqq": RTN.model_copy(update={"solver": "hqq"}),
    "gptq": GPTQ,
    "gptq, act order": GPTQ.model_copy(update={"act_order": True}),
    "gptq, damping 0.1": GPTQ.model_copy(update={"damping": 0.1}),
    UPDATED: GPTQ,
}
SIZES = [name for name, recipe in RECIPES.items() if recipe.architecture == "neox" and name.count("-") == 1]
MODELS = Path("data/models")
TASKS = Path("config/tasks.yaml")
RESULTS = Path("bench/results/solvers.json")


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for name in SIZES:
        rows.append(measure(name))
        print(rows[-1], flush=True)
    head = {"spec": RTN.slug, "windows": WINDOWS, "context": CONTEXT_TOKENS, "sequences": SEQUENCES}
    RESULTS.write_text(json.dumps({**head, "rows": rows}, indent=1) + "\n")
    print(table(rows))


def measure(name: str) -> dict[str, object]:
    """16-bit loss of one model and its increase by each variant, nats per token."""
    locator = {"name": name, "model_id": name, "path": str(MODELS / name), "hub_id": None, "revision": None}
    model, tokenizer = load_model(locator, "float32", "cpu"), load_tokenizer(locator)
    text = torch.from_numpy(tokenize_runs(tokenizer, read_runs("test")))[: WINDOWS * CONTEXT_TOKENS + 1]
    control, shown = held_out_loss(model, text), calibration_text(locator, tokenizer)
    row: dict[str, object] = {"model": name, "loss": control}
    for variant, spec in VARIANTS.items():
        if variant == UPDATED and model.config.hidden_size % RTN.block_size:
            continue
        solver = updated_scales if variant == UPDATED else SOLVERS[spec.solver]
        with mock.patch.dict(SOLVERS, {spec.solver: solver}), quantized(model, spec, shown=shown):
            row[variant] = held_out_loss(model, text) - control
    return row


def calibration_text(locator: dict, tokenizer: object) -> list[ModelInputs]:
    """What a study's job would show the model."""
    entries = {entry.name: (entry, TASKS) for entry in load_section(TasksFile, TASKS).tasks}
    config = CalibrationConfig(text="corpus_train", sequences=SEQUENCES, length=CONTEXT_TOKENS)
    task = resolve_calibration(config, entries, TASKS)
    identity = {"task_identity": task.items_identity, "tokenizer_id": locator["name"], "model": locator}
    spec = {"requests_version": REQUESTS_VERSION, "task": task.locator(), **identity}
    return calibration_batches(make_requests(spec, tokenizer), CONTEXT_TOKENS, torch.device("cpu"))


def updated_scales(weight: Tensor, codebook: Tensor, scales: Scales, statistics: Statistics) -> Tensor:
    """`kbit.quant.solvers.gptq.solve` in batches of a block each, for blocks that divide the rows."""
    moments, size = statistics.second_moments, scales.block_size
    order = input_order(moments, act_order=False)
    ratios = error_ratios(moments, order, scales.spec.damping, scales.name)
    pristine = weight.t().float()
    errors, blocks = torch.empty_like(pristine), []
    for first in range(0, len(order), size):
        batch = slice(first, first + size)
        targets = torch.addmm(pristine[batch], ratios[:first, batch].t(), errors[:first])
        spec = scales.spec.model_copy(update={"block_size": "row"})
        moved = replace(scales, weight=targets.t().contiguous(), spec=spec)
        rounding = Rounding(codebook, moved, torch.arange(len(targets)))
        blocks.append(round_batch(targets, pristine[batch], ratios[batch, batch], rounding, errors[batch]))
    return torch.cat(blocks).t().contiguous()


def table(rows: Sequence[dict[str, object]]) -> str:
    """The README's: sizes down, variants across."""
    lines = [f"| model | 16-bit loss | {' | '.join(VARIANTS)} |", "|---" * (len(VARIANTS) + 2) + "|"]
    for row in rows:
        values = " | ".join(f"{row[variant]:.3f}" if variant in row else "–" for variant in VARIANTS)
        lines.append(f"| {row['model']} | {row['loss']:.3f} | {values} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
