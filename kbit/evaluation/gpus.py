"""The GPUs a job sees, against those it was planned with: never fewer, and never more in use.

A place where a scheduler hands GPUs out tells each job which are its own by CUDA_VISIBLE_DEVICES. Imports no torch.
"""

import os
from itertools import takewhile

from kbit.spec.errors import UserError

VARIABLE = "CUDA_VISIBLE_DEVICES"


def check_listed(planned: int) -> None:
    """UserError if CUDA_VISIBLE_DEVICES lists fewer GPUs than planned; 0 planned: whatever there is."""
    listed = listed_gpus()
    if listed is not None:
        check_visible(planned, len(listed))


def check_visible(planned: int, visible: int) -> None:
    """UserError if fewer GPUs are visible than planned."""
    if visible < planned:
        job = f" in Slurm job {os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else ""
        raise UserError(
            f"{planned} GPU{'s' * (planned > 1)} planned, {visible} visible{job}: {VARIABLE} is "
            f"{os.environ.get(VARIABLE, 'not set')}; the job stops before anything is read (see that nothing in the "
            "profile takes GPUs away, such as set-resources, or lower max_gpus in its hardware.yaml)"
        )


def planned_alone(planned: int) -> dict[str, str]:
    """Environment in which no GPU is visible but the first `planned` of those that are; 0: all stay visible."""
    if not planned:
        return {}
    listed = listed_gpus()
    mine = listed[:planned] if listed is not None else map(str, range(planned))
    return {VARIABLE: ",".join(mine)}


def listed_gpus() -> list[str] | None:
    """What CUDA_VISIBLE_DEVICES lists, as CUDA reads it: up to the first entry that names no GPU. None if not set.

    Slurm sets NoDevFiles for a job without GPUs.
    """
    if VARIABLE not in os.environ:
        return None
    return list(takewhile(names_gpu, os.environ[VARIABLE].split(",")))


def names_gpu(entry: str) -> bool:
    """An index, or the UUID of a GPU or of a part of one."""
    return entry.strip().isdecimal() or entry.strip().startswith(("GPU-", "MIG-"))
