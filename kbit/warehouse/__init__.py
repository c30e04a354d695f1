"""The tables of a study: one file per table, built in the order listed in `build.TABLES`. Torch-free."""

from kbit.warehouse.build import build_tables, read_table
from kbit.warehouse.samples import Samples, locate_cells, read_samples, samples

__all__ = ["Samples", "build_tables", "locate_cells", "read_samples", "read_table", "samples"]
