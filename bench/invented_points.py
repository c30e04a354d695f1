"""Points of invented studies whose law is known: what benches and tests of the fits have in place of a table."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kbit.scaling.evidence import Evidence
from kbit.spec.footprint import bits_per_param
from kbit.spec.quant import CONTROL, QuantSpec

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """One model of an invented family."""

    family: str
    weights: int
    """Quantized weights; a tenth as many more stay in 16 bits."""
    tokens: int | None = None

    @property
    def name(self) -> str:
        return f"{self.family} {self.weights} {self.tokens}"

    @property
    def parameters(self) -> int:
        return self.weights + self.weights // 10


def specs(ks: Sequence[int], block_sizes: Sequence[int] = (64,), data_type: str = "int") -> list[QuantSpec]:
    """The control, if 16 is among the ks, and every k with every block size."""
    return [
        CONTROL if k == 16 else QuantSpec(data_type=data_type, bits=k, block_size=block_size)
        for k in ks
        for block_size in (block_sizes if k < 16 else block_sizes[:1])
    ]


def list_points(models: Sequence[Model], chosen: Sequence[QuantSpec]) -> pl.DataFrame:
    """The columns of the table points, without scores: every model with every spec."""
    return pl.DataFrame(
        [describe(model, spec) for model in models for spec in chosen],
        schema_overrides={"tokens_seen": pl.Int64, "exponent_bits": pl.Int32, "bits": pl.Int32},
        infer_schema_length=None,
    )


def describe(model: Model, spec: QuantSpec) -> dict[str, object]:
    per_param = float(bits_per_param(spec))
    body = model.weights * per_param
    return {
        "model": model.name,
        "family": model.family,
        "parameters": model.parameters,
        "tokens_seen": model.tokens,
        "spec": spec.slug,
        "data_type": spec.data_type,
        "bits": spec.bits,
        "exponent_bits": spec.exponent_bits,
        "block_size": None if spec == CONTROL else str(spec.block_size),
        "options": "",
        "body_bits": body,
        "total_bits": body + 16 * (model.parameters - model.weights),
        "quantized_parameters": model.weights,
        "status": "ok",
        "mean_chance": 0.5,
    }


def with_scores(points: pl.DataFrame, **scores: Array) -> pl.DataFrame:
    """Points with nats_per_byte, mean_zero_shot_accuracy or both; the other is null."""
    empty = pl.lit(None, dtype=pl.Float64)
    columns = [
        pl.Series(name, scores[name]) if name in scores else empty.alias(name)
        for name in ("nats_per_byte", "mean_zero_shot_accuracy")
    ]
    return points.with_columns(*columns)


def make_evidence(points: pl.DataFrame) -> Evidence:
    """What the laws read, of points alone: no cells, no samples. Every model counts as a final checkpoint."""
    ordered = points.sort("family", "parameters", "model", "bits", "spec")
    return Evidence(ordered, ordered, pl.DataFrame(), None, lambda _: None)


def shared_noise(points: pl.DataFrame, effect: float, noise: float, random: np.random.Generator) -> Array:
    """f64 [points]: log factors, one of each model (its training run), which its points share, and one of each."""
    runs = points.select(pl.struct("family", "parameters").rank("dense")).to_series().to_numpy() - 1
    of_runs = random.normal(0, effect, int(runs.max()) + 1)
    return of_runs[runs] + random.normal(0, noise, len(runs))


def repeat_families(models: Sequence[Model], n: int) -> list[Model]:
    """Every model in n families of its own: n simulated studies that a law takes at once."""
    return [replace(model, family=f"{model.family} {number:03}") for number in range(n) for model in models]
