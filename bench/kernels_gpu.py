"""The CUDA kernels against the speed of memory, cuBLAS and bitsandbytes, in one run on one NVIDIA GPU.

    python bench/kernels_gpu.py                     (some five minutes on an H100)
    python bench/kernels_gpu.py --types int nf      (some data types alone; nothing is kept)

First the bandwidth of a copy. Then fake-quantize, quantize+pack and unpack+dequantize of 256 MB of bf16 weights in
blocks of 64, for every data type and k, as a fraction of it: bytes that must move over seconds. Then the GEMV of packed
weights at batch 1, 2 and 4 beside cuBLAS in bf16, as a fraction of its own bytes at the bandwidth of the copy and as a
speed-up; bitsandbytes' quantize and dequantize and its 4-bit GEMV where it is installed.
Every call reads memory that the L2 cache does not hold (other sets of weights in turn), in a CUDA graph; medians, and
the first kernel timed twice. Prints a table and the misses of the targets (exit code 1), writes
bench/results/<gpu>.json.
"""

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

import torch
from measure import RESULTS, machine, versions
from torch import Tensor

from kbit.kernels.cuda import fake_quantize as fake
from kbit.kernels.cuda import gemv, packed
from kbit.kernels.cuda.device import run
from kbit.kernels.cuda.tables import Tables, build_tables
from kbit.quant.codebooks import CODEBOOKS
from kbit.spec.members import DATA_TYPES
from kbit.spec.quant import QuantSpec

BLOCK_SIZE = 64
STREAM_SHAPE = (8192, 16384)
"""Of a weight that is streamed, 256 MB in bf16: five times the L2 cache of an H100."""
GEMV_SHAPES = ((4096, 11008), (11008, 4096), (4096, 4096))
COLD_BYTES = 256 << 20
"""Of the sets of weights that a GEMV goes through in turn."""
LAUNCHES, REPLAYS = 20, 15
CLOSED_FORMS = ("int", "float")
"""Data types of the stricter target at every k; the others have a lower one from 6 bits on."""
TARGETS = {"stream": 0.90, "stream, codebook, k >= 6": 0.80, "gemv, k >= 4": 0.80, "gemv, k = 3": 0.65}

Row = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--types", nargs="+", help="data types, all if absent")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("bench/kernels_gpu.py: torch finds no NVIDIA GPU here")
    device = torch.cuda.get_device_name(0)
    copy = copy_bandwidth()
    print(f"{device}: a copy moves {copy / 1e9:.0f} GB/s", flush=True)
    rows = [told(row) for row in [*time_streams(options.types, copy), *time_products(copy), *time_bitsandbytes(copy)]]
    misses = find_misses(rows)
    print("\n".join(f"missed: {miss}" for miss in misses) or "every target is met")
    if not options.types:
        result = {
            "command": "python bench/kernels_gpu.py", "device": device, "machine": machine(),
            "versions": versions("torch", "cuda-core", "nvidia-cuda-nvrtc", "bitsandbytes"),
            "copy_bytes_per_second": round(copy), "rows": rows, "misses": misses,
        }  # fmt: skip
        name = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if misses else 0)


def told(row: Row) -> Row:
    print("  ".join(f"{key}={value}" for key, value in row.items()), flush=True)
    return row


def seconds_of(calls: Sequence[Callable[[], object]]) -> float:
    """Of one call: the calls in turn, LAUNCHES of them in a CUDA graph, the median of its replays."""
    for call in calls:
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for index in range(LAUNCHES):
            calls[index % len(calls)]()
    times = []
    for _ in range(REPLAYS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1000 / LAUNCHES)
    return median(times)


def copy_bandwidth() -> float:
    """Bytes per second, read and written."""
    source = torch.randn(STREAM_SHAPE, device="cuda").bfloat16()
    target = torch.empty_like(source)
    return 2 * source.nbytes / seconds_of([lambda: target.copy_(source)])


def list_types(chosen: Sequence[str] | None) -> Iterator[tuple[str, int, Tensor]]:
    """Data types with one codebook for a tensor, their widths, and the levels f32 [L]."""
    weight = torch.randn(256, 1024, device="cuda").bfloat16()
    for name, member in DATA_TYPES.items():
        if name == "none" or not member.built or (chosen and name not in chosen):
            continue
        for bits in member.bits:
            spec = default_spec(name, bits)
            codebook = CODEBOOKS[name](spec, weight).float()
            if codebook.dim() == 1:
                yield name, bits, codebook


def default_spec(name: str, bits: int) -> QuantSpec:
    """Of blocks of BLOCK_SIZE, or the only ones that the type has; of a float, two exponent bits where it has them."""
    member = DATA_TYPES[name]
    sizes = member.block_sizes
    exponent = {"exponent_bits": min(2, bits - 1)} if member.has_exponent_bits else {}
    if exponent and exponent["exponent_bits"] not in member.legal_exponents(bits):
        exponent = {"exponent_bits": member.legal_exponents(bits)[0]}
    return QuantSpec(data_type=name, bits=bits, block_size=sizes[0] if sizes else BLOCK_SIZE, **exponent)


def time_streams(chosen: Sequence[str] | None, copy: float) -> Iterator[Row]:
    weight = torch.randn(STREAM_SHAPE, device="cuda").bfloat16()
    n, scale_bytes = weight.numel(), 2 * weight.numel() // BLOCK_SIZE
    for name, bits, codebook in list_types(chosen):
        tables = build_tables(codebook, bits)
        words, absmax = packed.quantize_pack(weight, tables, BLOCK_SIZE, torch.bfloat16, run)
        output = torch.empty_like(weight)
        moved = {"fake_quantize": 4 * n, "quantize_pack": 2 * n + words.nbytes + scale_bytes}
        moved["unpack_dequantize"] = moved["quantize_pack"]
        calls: dict[str, Callable[[], object]] = {
            "fake_quantize": partial(fake.fake_quantize, weight, tables, BLOCK_SIZE, torch.bfloat16, run),
            "quantize_pack": partial(packed.quantize_pack, weight, tables, BLOCK_SIZE, torch.bfloat16, run),
            "unpack_dequantize": partial(
                packed.unpack_dequantize, words, tables, absmax, None, BLOCK_SIZE, output, run
            ),
        }
        for kernel, call in calls.items():
            yield stream_row(kernel, name, bits, seconds_of([call]), moved[kernel], copy)
            if (kernel, name, bits) == ("fake_quantize", "int", 4):  # the noise of all that follows
                yield stream_row(f"{kernel}, again", name, bits, seconds_of([call]), moved[kernel], copy)


def stream_row(kernel: str, name: str, bits: int, seconds: float, moved: int, copy: float) -> Row:
    fraction = moved / seconds / copy
    return {
        "kernel": kernel, "data_type": name, "bits": bits, "microseconds": round(seconds * 1e6, 1), "bytes": moved,
        "fraction_of_copy": round(fraction, 3),
    }  # fmt: skip


def time_products(copy: float) -> Iterator[Row]:
    for n_outputs, n_inputs in GEMV_SHAPES:
        n = n_outputs * n_inputs
        plain = [torch.randn(n_outputs, n_inputs, device="cuda").bfloat16() for _ in range(sets(2 * n))]
        for n_rows in (1, 2, 4):
            x = torch.randn(n_rows, n_inputs, device="cuda").bfloat16()
            cublas = seconds_of([partial(torch.mm, x, w.t()) for w in plain])
            common = {"n_outputs": n_outputs, "n_inputs": n_inputs, "batch": n_rows}
            yield {"kernel": "cublas", **common, "microseconds": round(cublas * 1e6, 2)}
            for bits in range(2, 9):
                yield product_row(x, n_outputs, bits, cublas, copy) | common


def product_row(x: Tensor, n_outputs: int, bits: int, cublas: float, copy: float) -> Row:
    """Our GEMV at k bits, int, blocks of 64 with bf16 scales."""
    n_inputs = x.shape[1]
    tables = build_tables(torch.linspace(-1, 1, 2**bits - 1), bits)
    tables = Tables(tables.words.cuda(), tables.bits, tables.use_cells)
    made = [
        packed.quantize_pack(
            torch.randn(n_outputs, n_inputs, device="cuda").bfloat16(), tables, BLOCK_SIZE, torch.bfloat16, run
        )
        for _ in range(sets(n_outputs * n_inputs * bits // 8))
    ]
    seconds = seconds_of(
        [
            lambda words=words, absmax=absmax: gemv.multiply(x, words, tables, absmax, None, BLOCK_SIZE, n_outputs, run)
            for words, absmax in made
        ]
    )
    moved = made[0][0].nbytes + made[0][1].nbytes + 2 * x.shape[0] * (n_inputs + n_outputs)
    return {
        "kernel": "gemv", "bits": bits, "microseconds": round(seconds * 1e6, 2), "bytes": moved,
        "fraction_of_roof": round(moved / copy / seconds, 3), "speedup_over_cublas": round(cublas / seconds, 2),
    }  # fmt: skip


def sets(n_bytes: int) -> int:
    """How many sets of so many bytes the caches cannot hold; at most one for each launch."""
    return min(max(math.ceil(COLD_BYTES / n_bytes), 2), LAUNCHES)


def time_bitsandbytes(copy: float) -> Iterator[Row]:
    """Quantize and dequantize as the fake-quantize row has them, and the 4-bit GEMV; nothing if it is not installed."""
    try:
        from bitsandbytes import functional
    except ImportError as error:
        print(f"bitsandbytes is left out: {error}")
        return
    weight = torch.randn(STREAM_SHAPE, device="cuda").bfloat16()

    def there_and_back() -> None:
        functional.dequantize_blockwise(*functional.quantize_blockwise(weight, blocksize=BLOCK_SIZE))

    yield stream_row(
        "bitsandbytes there and back", "dynamic", 8, plain_seconds([there_and_back]), 4 * weight.numel(), copy
    )
    for n_outputs, n_inputs in GEMV_SHAPES:
        x = torch.randn(1, n_inputs, device="cuda").bfloat16()
        made = [
            functional.quantize_4bit(torch.randn(n_outputs, n_inputs, device="cuda").bfloat16(), blocksize=BLOCK_SIZE)
            for _ in range(sets(n_outputs * n_inputs // 2))
        ]
        calls = [partial(functional.gemv_4bit, x, q.t(), state=state) for q, state in made]
        yield {
            "kernel": "bitsandbytes gemv_4bit", "n_outputs": n_outputs, "n_inputs": n_inputs, "batch": 1, "bits": 4,
            "microseconds": round(plain_seconds(calls) * 1e6, 2),
        }  # fmt: skip


def plain_seconds(calls: Sequence[Callable[[], object]]) -> float:
    """In a graph where the library lets itself be captured, else one after the other."""
    try:
        return seconds_of(calls)
    except RuntimeError:
        torch.cuda.synchronize()
    times = []
    for _ in range(REPLAYS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for index in range(LAUNCHES):
            calls[index % len(calls)]()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1000 / LAUNCHES)
    return median(times)


def find_misses(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Which rows fall short of which target, in words."""
    misses = []
    for row in rows:
        if row["kernel"] in ("fake_quantize", "quantize_pack", "unpack_dequantize"):
            is_lower = row["bits"] >= 6 and row["data_type"] not in CLOSED_FORMS
            target = TARGETS["stream, codebook, k >= 6" if is_lower else "stream"]
            if row["fraction_of_copy"] < target:
                what = f"{row['kernel']} {row['data_type']}{row['bits']}"
                misses.append(f"{what}: {row['fraction_of_copy']} of a copy's bandwidth, target {target}")
        if row["kernel"] == "gemv" and row["batch"] == 1 and row["bits"] >= 3 and row["n_outputs"] != row["n_inputs"]:
            target = TARGETS["gemv, k >= 4" if row["bits"] >= 4 else "gemv, k = 3"]
            if row["fraction_of_roof"] < target:
                what = f"gemv {row['n_outputs']} x {row['n_inputs']}, {row['bits']} bits"
                misses.append(f"{what}: {row['fraction_of_roof']} of its roof, target {target}")
    return misses


if __name__ == "__main__":
    main()
