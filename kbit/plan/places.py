"""Where a model's weights will lie in a place, and what its jobs are told of it: device, GPUs, threads.

A function of the model's size, the dtype and the place, so that head and job come to the same. Imports little: every
job on a cluster imports it twice.
"""

from dataclasses import dataclass

from kbit.spec.hardware import Hardware
from kbit.spec.placement import BATCH_BYTES, CPU, Placement, choose_placement, solving_bytes, width_bound

CPU_PARAMETERS = 20_000_000
"""Below, a GPU would wait for its kernels to be launched."""
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
GPU_JOB_THREADS = 4
"""Reading weights and preparing batches beside a GPU."""
CPU_JOB_THREADS = 1


@dataclass(frozen=True, slots=True)
class Resources:
    """What one job asks for, by the names that Snakemake and its Slurm executor give it.

    Places (partition, account) stand in the profile.
    """

    mem_mb: int
    runtime: int
    """Minutes."""
    gpu: int
    """GPUs; 0 also where they are asked for by `gres`."""
    gpu_model: str
    """Empty: any."""
    gres: str
    """Empty: not asked for in this way."""


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What `kbit run-shard` is told."""

    threads: int
    device: str
    """cuda where the scheduler chose the GPU: such a job never computes on a CPU instead."""
    planned_gpus: int
    """It stops if it sees fewer, and uses no more; 0 where no scheduler hands GPUs out: it takes what it finds."""


def job_options(parameters: int, linears: int, dtype: str, hardware: Hardware, calibrates: bool = False) -> JobOptions:
    """The options of every job of a model, whether or not it has cells to evaluate.

    calibrates: whether a spec of the job's cells is calibrated.
    """
    gpus = place_model(parameters, linears, dtype, hardware, calibrates).gpus
    threads = job_threads(gpus)
    if hardware.gpu_request == "none" and hardware.max_gpus:
        return JobOptions(threads, "auto", 0)
    return JobOptions(threads, "cuda" if gpus else "cpu", gpus)


def place_model(parameters: int, linears: int, dtype: str, hardware: Hardware, calibrates: bool = False) -> Placement:
    """Where the weights will lie, and on how many GPUs; small models are scored on the CPU."""
    if parameters < CPU_PARAMETERS:
        return CPU
    return choose_placement(
        BYTES[dtype] * parameters,
        BYTES[dtype] * linears,
        hardware.gpu_memory_bytes,
        hardware.max_gpus,
        hardware.host_memory_bytes,
        BATCH_BYTES + (solving_bytes(width_bound(linears)) if calibrates else 0),
    )


def job_threads(gpus: int) -> int:
    return GPU_JOB_THREADS if gpus else CPU_JOB_THREADS
