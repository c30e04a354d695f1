"""What bench/evaluate_gpu.py measured: the utilisation of a GPU while our scorer runs real architectures.

The plan reads these keys of bench/results/evaluate_gpu.json and no others:
`device` (the GPU's name), `matmul_tflops` (its measured rate of a large 16-bit product, TFLOP/s), optionally
`nominal_tflops` (its dense 16-bit rate by its maker; 989 if absent), and `utilisation`: a list of
`{parameters, format, utilisation}`, one for each model size and task format, a share of `matmul_tflops`.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import harmonic_mean

from kbit.spec.errors import UserError

BENCH = Path("bench/results/evaluate_gpu.json")
H100_TFLOPS = 989.0


@dataclass(frozen=True, slots=True)
class Utilisation:
    """Of models of one size, over all task formats."""

    parameters: int
    utilisation: float
    """Share of the measured matmul rate."""


@dataclass(frozen=True, slots=True)
class GpuBench:
    """One run of the bench."""

    path: Path
    device: str
    matmul_tflops: float
    nominal_tflops: float
    sizes: tuple[Utilisation, ...]

    def nearest(self, parameters: int) -> Utilisation:
        return min(self.sizes, key=lambda size: abs(math.log(size.parameters / parameters)))


def read_gpu_bench(root: Path) -> GpuBench | None:
    """The bench's figures in a checkout; None where it has not been run. UserError if they are not what it writes."""
    path = root / BENCH
    try:
        content = json.loads(path.read_bytes())
        by_size: dict[int, list[float]] = {}
        for row in content["utilisation"]:
            by_size.setdefault(int(row["parameters"]), []).append(float(row["utilisation"]))
        # Formats share the time, not the work: half the speed costs more than double the speed gains.
        sizes = tuple(Utilisation(parameters, harmonic_mean(values)) for parameters, values in sorted(by_size.items()))
        nominal = float(content.get("nominal_tflops", H100_TFLOPS))
        return GpuBench(BENCH, content["device"], float(content["matmul_tflops"]), nominal, sizes) if sizes else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} cannot be read ({error!r}): run bench/evaluate_gpu.py again, or remove it") from None
