"""`kbit export`: a model with packed weights, in a folder that `kbit.models.packed.load_packed` reads."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from kbit.models.architectures import linears
from kbit.models.load import load_config, load_model
from kbit.models.packed import SIXTEEN_BIT, load_packed, pack_model, save_packed
from kbit.models.quantized import distinct_weights, measure
from kbit.models.tokenizer import load_tokenizer
from kbit.spec.errors import UserError
from kbit.spec.footprint import Footprint
from kbit.spec.quant import QuantSpec


def export_model(
    locator: Mapping[str, object], spec: QuantSpec, folder: Path, dtype: str | None, trust_remote_code: bool = False
) -> tuple[Footprint, int]:
    """Write the packed model; what was counted, and the bytes of the file of weights.

    dtype: of what is not quantized, float16 or bfloat16; by default the checkpoint's own, float16 for one of 32 bits.
    UserError: the folder holds something already, or whatever loading and packing refuse.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"folder {folder} is not empty: name one that is new")
    dtype = dtype or own_dtype(locator, trust_remote_code)
    if dtype not in SIXTEEN_BIT:
        raise UserError(f"dtype {dtype!r} is not one of {', '.join(SIXTEEN_BIT)} (--dtype)")
    tokenizer = load_tokenizer(locator, trust_remote_code)
    model = load_model(locator, dtype, "cpu", trust_remote_code)
    counted = measure(model, spec, distinct_weights(model, linears(model)))
    pack_model(model, spec)
    try:
        n_bytes = save_packed(model, spec, folder)
        tokenizer.save_pretrained(folder)
        load_packed(folder)  # what was written can be read
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return counted, n_bytes


def own_dtype(locator: Mapping[str, object], trust_remote_code: bool) -> str:
    stored = str(load_config(locator, trust_remote_code).dtype).removeprefix("torch.")
    return stored if stored in SIXTEEN_BIT else "float16"
