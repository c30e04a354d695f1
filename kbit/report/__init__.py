"""The report: one self-contained HTML page per study, drawn from its tables and fits. Torch-free, no network."""

from kbit.report.render import render_report

__all__ = ["render_report"]
