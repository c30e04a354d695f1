"""`kbit export`: a packed model in a folder, and how its bytes compare with the bits that are counted."""

from pathlib import Path

from kbit.evaluation.imports import import_quickly
from kbit.evaluation.offline import stay_offline
from kbit.spec.errors import choice_error
from kbit.spec.models import ModelsFile, resolve_model
from kbit.spec.section import load_section
from kbit.spec.slug import parse_slug


def export(model: str, spec: str, folder: Path, data_sheet: Path, dtype: str | None, trust_remote_code: bool) -> None:
    """Write it and print its size. UserError: no such model or spec, a spec that cannot be packed, a full folder."""
    quantization = parse_slug(spec)
    locator = find_model(model, data_sheet)
    stay_offline()
    import_quickly()
    from kbit.evaluation.export import export_model

    counted, n_bytes = export_model(locator, quantization, folder, dtype, trust_remote_code)
    print(
        f"{folder}: {model} as {quantization.slug}, {n_bytes:,} bytes; "
        f"{counted.total_bits / 8:,.0f} bytes are counted ({counted.bits_per_param:.4g} bits per quantized weight)"
    )


def find_model(name: str, data_sheet: Path) -> dict[str, object]:
    """Its locator, of an entry of the data sheet or of a folder."""
    if (Path(name) / "config.json").is_file():
        return {"name": name, "hub_id": None, "revision": None, "path": name}
    entries = {entry.name: entry for entry in load_section(ModelsFile, data_sheet).models}
    if name not in entries:
        raise choice_error("model", name, entries, f"{data_sheet}; or name a folder with config.json")
    return resolve_model(entries[name], data_sheet).locator()
