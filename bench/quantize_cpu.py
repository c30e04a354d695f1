"""Fake quantization on a CPU beside bitsandbytes' quantize and dequantize, both of 50 million weights in blocks of 64.

    python bench/quantize_cpu.py                       (some ten minutes on two cores)
    python bench/quantize_cpu.py --weights 2000000     (tries the bench)

fp32 and bf16, every data type at 3 to 8 bits, 1 and 2 threads. Each round takes both sides once, new memory for every
result; there are rounds until the three best seconds of either side agree, and a ratio is that of the best. What
disturbs a call only adds to its seconds: a hypervisor that takes freed memory back and gives it out again, which makes
the first touch of 200 MB six times as long, and other processes. The ratio of the wall is held to the targets, as they
are for cores that do nothing else; that of the CPU is beside it. Levels and scales are given to both sides; what
finding them takes is in `whole`, CPU-seconds of the whole call as a study makes it, at 4 bits and one thread. Prints
the ratios and exits with 1 if one misses its target. Writes bench/results/quantize_cpu.json.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from statistics import median

import bitsandbytes.functional as bnb
import torch
from measure import RESULTS, machine, versions
from torch import Tensor

from kbit.kernels import backends, blockwise, ops
from kbit.quant import quantize_weight
from kbit.quant.codebooks import CODEBOOKS
from kbit.quant.quantize import largest_level
from kbit.quant.scales import Scales
from kbit.spec.members import DATA_TYPES
from kbit.spec.quant import QuantSpec

WEIGHTS = 50_000_000
ROW = 4096
BLOCK_SIZE = 64
BITS = range(3, 9)
THREADS = (1, 2)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
CLOSED = ("int", "float")
CLOSED_TARGET = 5.0
TARGETS = {"fp32": 2.0, "bf16": 1.3}
MOST_ROUNDS = 12
ALIKE = 3
AGREE = 1.1
"""The third best seconds (ALIKE) of a side over the best ones, at most, for the rounds to end. Two slow calls agreed
by chance once in 350 measurements."""
WHOLE_BITS = 4
LEARNED_ROWS = 256
"""Rows that levels are learned from; by row, they are repeated for the others."""
PAPER_EXPONENT_BITS = {3: 2, 4: 2, 5: 3, 6: 3, 7: 4, 8: 4}
"""ceil(k / 2), the rule of the paper's appendix, for the minifloats; others take the first that is legal."""


def main() -> int:
    arguments = read_arguments()
    torch.manual_seed(0)
    weight = (torch.randn(max(arguments.weights // ROW, 1), ROW) * 0.02).float()
    backends.prepare(backends.WORTH_BUILDING)
    if backends.KERNELS.library is None:
        sys.exit(f"no compiled kernels: {backends.KERNELS.why_not}")
    rows = [
        row
        for dtype in DTYPES
        for threads in THREADS
        for row in measure(weight.to(DTYPES[dtype]), dtype, threads, arguments.rounds)
    ]
    result = {
        "machine": machine(),
        "versions": versions("torch", "bitsandbytes", "numpy"),
        "weights": weight.numel(),
        "block_size": BLOCK_SIZE,
        "most_rounds": arguments.rounds,
        "rows": rows,
    }
    if arguments.weights == WEIGHTS:
        (RESULTS / "quantize_cpu.json").write_text(json.dumps(result, indent=1) + "\n")
    lines, misses = verdict(rows)
    print("\n".join([*lines, *misses]))
    return 1 if misses else 0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", type=int, default=WEIGHTS, help="how many (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=MOST_ROUNDS, help="of both sides, at most (default: %(default)s)")
    return parser.parse_args()


def cases() -> list[QuantSpec]:
    """Every data type at every width of 3 to 8 that it has."""
    return [
        QuantSpec(
            data_type=name,
            bits=bits,
            exponent_bits=exponent_bits(name, bits),
            block_size=member.block_sizes[0] if member.block_sizes else BLOCK_SIZE,
        )
        for name, member in DATA_TYPES.items()
        if name != "none"
        for bits in member.bits
        if bits in BITS
    ]


def exponent_bits(data_type: str, bits: int) -> int | None:
    legal = DATA_TYPES[data_type].legal_exponents(bits)
    wanted = PAPER_EXPONENT_BITS[bits]
    return None if not legal else wanted if wanted in legal else legal[0]


def measure(weight: Tensor, dtype: str, threads: int, rounds: int) -> list[dict[str, object]]:
    """Best seconds of all sides: bitsandbytes in every case anew, in turns with ours."""
    torch.set_num_threads(threads)
    code = bnb.create_dynamic_map()  # one tensor, reused: its CPU tables are looked up by address
    rows = []
    for spec in cases():
        ours = kernel_call(weight, spec)
        sides = {"ours": ours, "bitsandbytes": lambda: bitsandbytes_call(weight, code)}
        check(weight, spec)
        taken = rounds_of(sides, rounds)
        wall, cpu = ({name: min(times[name][clock] for times in taken) for name in sides} for clock in (0, 1))
        row = {"dtype": dtype, "threads": threads, "spec": spec.slug, "data_type": spec.data_type, "bits": spec.bits}
        row |= {"rounds": len(taken), "wall": wall, "cpu": cpu, "ratio": ratio(wall), "cpu_ratio": ratio(cpu)}
        if threads == 1 and spec.bits == WHOLE_BITS:
            row["whole"] = timed(lambda spec=spec: quantize_weight(weight, spec, "weight"))[1]
        rows.append(row)
        print(f"{dtype} {threads} {spec.slug}: {row['ratio']:.2f} {row['cpu_ratio']:.2f}", file=sys.stderr, flush=True)
    return rows


def rounds_of(sides: dict[str, Callable[[], Tensor]], most: int) -> list[dict[str, tuple[float, float]]]:
    """Seconds of every side in each round, until the best of the wall agree for every side."""
    taken: list[dict[str, tuple[float, float]]] = []
    while len(taken) < most and not all(settled([times[name][0] for times in taken]) for name in sides):
        taken.append({name: timed(call) for name, call in sides.items()})
    return taken


def settled(seconds: list[float]) -> bool:
    best = sorted(seconds)[:ALIKE]
    return len(best) == ALIKE and best[-1] <= AGREE * best[0]


def kernel_call(weight: Tensor, spec: QuantSpec) -> Callable[[], Tensor]:
    """Fake quantization of a weight whose levels, and scales that are more than an absmax, are known."""
    codebook = CODEBOOKS[spec.data_type](spec, weight[:LEARNED_ROWS])
    if codebook.dim() == 2:
        codebook = codebook.repeat(-(-len(weight) // len(codebook)), 1)[: len(weight)]
    scales = Scales(weight, spec, "weight", largest_level(spec, codebook))
    if scales.absmax_dtype is not None and codebook.dim() == 1:
        return lambda: ops.fake_quantize(weight, codebook, scales.block_size, scales.absmax_dtype)
    scale, offset = scales.scale, scales.offset
    return lambda: ops.fake_quantize_scaled(weight, codebook, scale, offset, scales.block_size)


def bitsandbytes_call(weight: Tensor, code: Tensor) -> Tensor:
    codes, state = bnb.quantize_blockwise(weight, code=code, blocksize=BLOCK_SIZE)
    return bnb.dequantize_blockwise(codes, state)


def check(weight: Tensor, spec: QuantSpec) -> None:
    """Ends the bench unless both backends make the same bits, of a million weights."""
    part = weight[: max(1_000_000 // ROW, 1)]
    compiled = quantize_weight(part, spec, "weight")
    kernels, backends.KERNELS = backends.KERNELS, backends.CompiledKernels()
    backends.KERNELS._looked = True  # noqa: SLF001 - a job that has none
    eager = quantize_weight(part, spec, "weight")
    backends.KERNELS = kernels
    if not torch.equal(compiled.view(torch.uint8), eager.view(torch.uint8)):
        sys.exit(f"{spec.slug}: {blockwise.__name__} has other results than the compiled kernels")


def timed(call: Callable[[], Tensor]) -> tuple[float, float]:
    """Seconds of the wall, and of the CPU, in all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def ratio(seconds: dict[str, float]) -> float:
    return seconds["bitsandbytes"] / seconds["ours"]


def target(row: dict) -> float:
    return CLOSED_TARGET if row["data_type"] in CLOSED else TARGETS[row["dtype"]]


def verdict(rows: list[dict]) -> tuple[list[str], list[str]]:
    """A line for each dtype and number of threads: the least ratios of every kind; and the targets that are missed."""
    lines = []
    for dtype in DTYPES:
        for threads in THREADS:
            chosen = [row for row in rows if (row["dtype"], row["threads"]) == (dtype, threads)]
            closed = [row for row in chosen if row["data_type"] in CLOSED]
            others = [row for row in chosen if row["data_type"] not in CLOSED]
            lines.append(
                f"{dtype}, {threads} thread{'s' * (threads > 1)}: int and float {least(closed)}, "
                f"target {CLOSED_TARGET}; others {least(others)}, target {TARGETS[dtype]}"
            )
    misses = [
        f"missed: {row['dtype']}, {row['threads']} threads, {row['spec']}: {row['ratio']:.2f} < {target(row)}"
        for row in rows
        if row["ratio"] < target(row)
    ]
    return lines, misses


def least(rows: list[dict]) -> str:
    """The least and the middle ratio of the wall; those of the CPU."""
    walls, cpus = sorted(row["ratio"] for row in rows), sorted(row["cpu_ratio"] for row in rows)
    return f"{walls[0]:.1f} to {median(walls):.1f} (CPU time {cpus[0]:.1f} to {median(cpus):.1f})"


if __name__ == "__main__":
    sys.exit(main())
