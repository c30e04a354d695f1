"""The tables of a study: one file per table, built in the order listed in `build.TABLES`. Torch-free."""

from kbit.warehouse.build import build_tables, read_table
from kbit.warehouse.samples import SampleReader, Samples, samples

__all__ = ["SampleReader", "Samples", "build_tables", "read_table", "samples"]
