"""`kbit doctor`: a list of small checks, each of one thing, in a file of its own.

A check takes the studies that were named and yields findings; it may read what it must, and waits for nobody. To
add one: a file with a `check` function, and its entry in CHECKS.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kbit.cli.doctor import cuda_kernels, device, head, hub, journals, kernels, results_folder, slurm, software, studies
from kbit.cli.findings import print_findings
from kbit.upkeep.finding import Finding

CHECKS: tuple[Callable[[Sequence[Path]], Iterator[Finding]], ...] = (
    software.check,
    device.check,
    kernels.check,
    cuda_kernels.check,
    results_folder.check,
    head.check,
    slurm.check,
    journals.check,
    studies.check,
    hub.check,
)
"""In the order in which they are told."""


def examine(named: Sequence[Path], as_json: bool) -> int:
    """Run every check and print what it finds; returns 1 if one found a problem, else 0."""
    return print_findings((finding for check in CHECKS for finding in check(named)), as_json)
