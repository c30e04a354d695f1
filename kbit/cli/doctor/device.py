"""What torch would compute on here. On a cluster's login node, jobs find other machines."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from kbit.upkeep.finding import Finding


def check(_named: Sequence[Path]) -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library of it
        yield Finding("problem", f"torch cannot be imported: {error}", "make the environment anew")
        return
    cpu = f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} CPU cores"
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            memory = properties.total_memory / 1e9
            yield Finding("ok", f"torch {torch.__version__}: GPU {index}, {properties.name}, {memory:.0f} GB; {cpu}")
    elif shutil.which("nvidia-smi"):
        yield Finding(
            "note",
            f"torch {torch.__version__} finds no GPU, though nvidia-smi is here; {cpu}",
            "if this machine is to score on its GPU: a build of torch with CUDA (README), and a driver that fits it",
        )
    else:
        yield Finding("ok", f"torch {torch.__version__}: no GPU on this machine; {cpu}")
