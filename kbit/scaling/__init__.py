"""Scaling laws: curves, frontier, laws with intervals, and the verdict. Torch-free."""

from kbit.scaling.fit import fit_study
from kbit.scaling.verdict_table import verdict_table

__all__ = ["fit_study", "verdict_table"]
