"""The job of `kbit measure-outliers`: one model, one text, one file."""

from pathlib import Path

import torch

from kbit.evaluation.bench import read_locator
from kbit.evaluation.devices import choose_device, device_name
from kbit.evaluation.hidden_units import HiddenUnits, observe_hidden_units
from kbit.evaluation.requests import read_requests
from kbit.models.open_engine import open_engine
from kbit.spec.notes import note
from kbit.store.atomic import read_planned
from kbit.store.hidden_units import write_hidden_units
from kbit.store.paths import requests_path


def measure_outliers(
    planned: Path,
    output: Path,
    threads: int,
    device: str,
    trust_remote_code: bool,
    device_memory_gb: float | None,
    gpus: int,
) -> None:
    """planned: what the plan wrote of it (`kbit.plan.outliers`). gpus: it stops if it sees fewer; 0: what there is.

    UserError as `kbit run-shard` raises it of a model, a task or a device.
    """
    job = read_planned(planned)
    torch.set_num_threads(threads)
    chosen = choose_device(device, gpus)
    requests = read_requests(requests_path(job["task"], job["requests"]))
    engine = open_engine(read_locator(job["model"]), job["dtype"], str(chosen), trust_remote_code, device_memory_gb)
    note(f"device {device}: {device_name(chosen)}, dtype {job['dtype']}, placement {engine.placement}")
    units = observe_hidden_units(engine, requests, job["token_budget"])
    write_hidden_units([row_of(layer, job) for layer in units], output)


def row_of(units: HiddenUnits, job: dict) -> dict[str, object]:
    return {
        "model_id": job["model_id"],
        "task": job["task"],
        "block": units.block,
        "linear": units.linear,
        "role": units.role,
        "feeders": list(units.feeders),
        "n_tokens": units.n_tokens,
        "std": units.std.tolist(),
        "magnitude": units.magnitude.tolist(),
    }
