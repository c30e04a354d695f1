"""Which device a job scores on. Imports torch when asked, and nothing else: a wrong answer should come at once."""

import os
from typing import TYPE_CHECKING

from kbit.evaluation.gpus import check_visible
from kbit.spec.errors import UserError, choice_error

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")


def choose_device(name: str, gpus: int = 0) -> "torch.device":
    """cpu or cuda; auto takes cuda where there is one. UserError for cuda without a GPU, or with fewer than `gpus`."""
    if name not in DEVICES:
        raise choice_error("device", name, DEVICES, "--device")
    import torch

    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
        raise UserError(
            f"device cuda: torch finds no GPU on this node; CUDA_VISIBLE_DEVICES is {visible} "
            "(--device auto falls back to cpu)"
        )
    if name != "cpu":
        check_visible(gpus, torch.cuda.device_count())
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def finish_work(n_gpus: int) -> None:
    """Wait until the first GPUs have done what they were told: their time is measured, their errors raised, here."""
    import torch

    for index in range(n_gpus):
        torch.cuda.synchronize(index)


def device_name(device: "torch.device") -> str:
    """cpu, or the GPU's name."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
