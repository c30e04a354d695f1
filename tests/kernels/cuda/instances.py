"""Every program that the kernels are compiled to: files under their macros."""

from collections.abc import Iterator

from kbit.kernels.cuda.launch import Program
from kbit.kernels.cuda.tables import SMALLEST_CELL_BITS

ARCHITECTURES = ("sm_80", "sm_90", "sm_100", "sm_120")
WIDTHS = range(2, 9)
DTYPES = range(3)
ROWS = range(1, 5)


def program(file: str, **macros: int) -> Program:
    return Program(file, tuple(sorted(macros.items())))


def codebook_programs() -> Iterator[Program]:
    """Those that search a codebook: by halving for every width, by cells from 6 bits on."""
    for file in ("fake_quantize.cu", "packed.cu"):
        for bits in WIDTHS:
            for use_cells in range(2 if bits >= SMALLEST_CELL_BITS else 1):
                for dtype in DTYPES:
                    yield program(file, KBIT_BITS=bits, KBIT_USE_CELLS=use_cells, KBIT_DTYPE=dtype)


def gemv_programs() -> Iterator[Program]:
    for bits in WIDTHS:
        for dtype in DTYPES:
            for has_offset in range(2):
                for rows in ROWS:
                    yield program(
                        "gemv.cu", KBIT_BITS=bits, KBIT_DTYPE=dtype, KBIT_HAS_OFFSET=has_offset, KBIT_ROWS=rows
                    )


def every_instance() -> list[tuple[Program, str]]:
    """All programs for all architectures: some ten minutes of compiling."""
    programs = [*codebook_programs(), *gemv_programs()]
    return [(program, arch) for arch in ARCHITECTURES for program in programs]


def sample_instances() -> list[tuple[Program, str]]:
    """A dozenth of them: every width for every architecture, searches, dtypes and rows in turn."""
    codebooks: dict[tuple[str, int], list[Program]] = {}
    for one in codebook_programs():
        codebooks.setdefault((one.file, dict(one.macros)["KBIT_BITS"]), []).append(one)
    products: dict[int, list[Program]] = {}
    for one in gemv_programs():
        products.setdefault(dict(one.macros)["KBIT_BITS"], []).append(one)
    chosen = []
    for turn, arch in enumerate(ARCHITECTURES):
        # Three of each width, six where cells are used too; all six come up among the architectures.
        chosen += [(alike[(turn + place) % len(alike)], arch) for place, alike in enumerate(codebooks.values())]
        # 24 of each width; 7 of them apart, so that dtype, offset and rows all change.
        chosen += [(alike[7 * (turn + 4 * place) % 24], arch) for place, alike in enumerate(products.values())]
    return chosen
