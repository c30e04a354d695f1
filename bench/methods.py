"""What every quantization method does to normal weights, to those of an embedded model, and to that model's loss.

    make study STUDY=methods && python bench/methods.py        (some minutes on two cores, then two)

Reads the cells of config/methods.yaml, writes bench/results/methods.json and docs/methods.md. A method that needs more
than weights, or that the study has not, stays empty in the columns that would take it.
"""

import json
import math
from pathlib import Path

import polars as pl
import torch
from torch import Tensor
from transformers import PreTrainedModel

from kbit.models.architectures import linears
from kbit.models.load import load_model
from kbit.models.quantized import quantized
from kbit.plan.plan import plan_study
from kbit.quant import quantize_weight
from kbit.scaling.curves import Array
from kbit.scaling.evidence import read_evidence
from kbit.scaling.metrics import LOSS
from kbit.spec.methods import all_specs
from kbit.spec.methods_document import MEASURED, methods_document
from kbit.spec.quant import CONTROL, QuantSpec
from kbit.store.paths import tables_folder

COMMAND = "make study STUDY=methods && python bench/methods.py"
STUDY = Path("config/methods.yaml")
MODEL, CHECKPOINT = "tiny-neox-64x2", Path("data/models/neox-64x2")
NORMAL_SHAPE, NORMAL_SEED = (1024, 1024), 0
DOCUMENT = Path("docs/methods.md")


def main() -> None:
    torch.set_num_threads(1)
    model = load_model({"name": MODEL, "path": str(CHECKPOINT), "hub_id": None, "revision": None}, "float32", "cpu")
    errors = {spec.slug: measure_errors(spec, model) for spec in all_specs()}
    about, losses = read_losses()
    specs = {slug: {**error, **losses.get(slug, {})} for slug, error in errors.items()}
    measured = {"about": about, "specs": {slug: found for slug, found in specs.items() if found}}
    MEASURED.write_text(json.dumps(measured, indent=1) + "\n")
    DOCUMENT.write_text(methods_document(measured))
    print(DOCUMENT.read_text())


def measure_errors(spec: QuantSpec, model: PreTrainedModel) -> dict[str, float]:
    """Mean squared errors, without those that more than weights would be needed for."""
    errors = {}
    if not spec.needed_statistics:
        errors["mse_normal"] = normal_error(spec)
    if "second_moments" not in spec.needed_statistics:
        errors["mse_weights"] = weights_error(spec, model)
    return errors


def normal_error(spec: QuantSpec) -> float:
    """On the samples of N(0, 1) that the document names."""
    weight = torch.randn(NORMAL_SHAPE, generator=torch.Generator().manual_seed(NORMAL_SEED))
    return squared_sum(weight - quantize_weight(weight, spec, "N(0, 1)")) / weight.numel()


def weights_error(spec: QuantSpec, model: PreTrainedModel) -> float:
    """On the weights of all quantized linears together, over their mean square."""
    pristine = [layer.weight.data for layer in linears(model).values()]
    with quantized(model, spec):
        changed = [layer.weight.data for layer in linears(model).values()]
    errors = sum(squared_sum(before - after) for before, after in zip(pristine, changed, strict=True))
    return errors / sum(map(squared_sum, pristine))


def squared_sum(values: Tensor) -> float:
    return float(values.double().square().sum())


def read_losses() -> tuple[dict[str, object], dict[str, dict[str, float]]]:
    """What the document says of the text, and how much each spec of the study raises the loss of the model."""
    plan = plan_study(STUDY)
    evidence = read_evidence(tables_folder(plan.study.name), [shard.part for shard in plan.shards], print)
    family = next(family for family in evidence.families(LOSS) if MODEL in family.points["model"])
    losses = family.resampled.values[(family.points["model"] == MODEL).to_numpy()]
    specs = family.points.filter(pl.col("model") == MODEL)["spec"].to_list()
    control = losses[specs.index(CONTROL.slug)]
    about = {
        "command": COMMAND,
        "model": MODEL,
        "task": plan.study.tasks[0].name,
        "n_items": family.resampled.n_items,
        "control": float(control[0]),
        "normal_samples": math.prod(NORMAL_SHAPE),
        "normal_rows": NORMAL_SHAPE[0],
        "normal_seed": NORMAL_SEED,
    }
    return about, {spec: describe_increase(loss - control) for spec, loss in zip(specs, losses, strict=True)}


def describe_increase(increase: Array) -> dict[str, float]:
    """Of f64 [1 + resamples]: the value on all items, and its standard error over resamples of the same items."""
    return {"loss_increase": float(increase[0]), "loss_increase_stderr": float(increase[1:].std())}


if __name__ == "__main__":
    main()
