"""The errors that docs/methods.md states are those that the quantizer makes."""

import json
from pathlib import Path

import pytest
import torch

from kbit.quant import quantize_weight
from kbit.spec.methods import all_specs
from kbit.spec.methods_document import MEASURED

MEASUREMENTS = json.loads((Path(__file__).parents[2] / MEASURED).read_text())
KNOWN = {"int4-b64": 0.01158, "nf4-b64": 0.0085, "float4e2-b64": 0.01118, "dynamic4-b64": 0.01944, "nvfp4-b16": 0.0090}
"""Of N(0, 1), from other samples and, but for nvfp4, another implementation."""


@pytest.mark.parametrize("slug", KNOWN)
def test_error_on_normal_weights_is_the_stated_one(slug: str) -> None:
    about = MEASUREMENTS["about"]
    shape = about["normal_rows"], about["normal_samples"] // about["normal_rows"]
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(about["normal_seed"]))
    spec = next(spec for spec in all_specs() if spec.slug == slug)
    error = (weight - quantize_weight(weight, spec, "w")).double().square().mean().item()
    stated = MEASUREMENTS["specs"][slug]["mse_normal"]
    # Another processor may draw normal numbers that differ in the last bit.
    assert error == pytest.approx(stated, rel=1e-3)
    # Errors of two samples differ by half a per cent or less, and the known values have two to four digits.
    assert stated == pytest.approx(KNOWN[slug], rel=0.01)
