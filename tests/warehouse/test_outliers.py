"""The table outliers: Spearman's correlation against its definition by ranks, and what stands beside it."""

import polars as pl
import pytest

from kbit.spec.errors import UserError
from kbit.store.hidden_units import read_hidden_units, write_hidden_units
from kbit.warehouse.outliers import build_outliers, correlate

PLAN = pl.DataFrame(
    {
        "model": ["big", "big", "small"],
        "family": ["f"] * 3,
        "model_id": ["id-big", "id-big", "id-small"],
        "planned_parameters": [2000, 2000, 1000],
        "spec": ["none16", "int4-b64", "none16"],
    }
)


def row(model_id: str, block: int, std: list[float], magnitude: list[float], **changes: object) -> dict[str, object]:
    return {
        "model_id": model_id,
        "task": "text",
        "block": block,
        "linear": "mlp.up",
        "role": "ffn1",
        "feeders": ["attention_output", "ffn2"],
        "n_tokens": 77,
        "std": std,
        "magnitude": magnitude,
        **changes,
    }


def ranks(values: list[float]) -> list[float]:
    """Of equal values the mean of their ranks."""
    return [sum(other < value for other in values) + (values.count(value) + 1) / 2 for value in values]


def pearson(x: list[float], y: list[float]) -> float:
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    products = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return products / (sum((a - mean_x) ** 2 for a in x) * sum((b - mean_y) ** 2 for b in y)) ** 0.5


def test_it_is_the_correlation_of_ranks() -> None:
    std = [0.3, 0.1, 0.2, 0.2, 0.9, 0.5]
    magnitude = [3.0, 1.0, 50.0, 1.0, 4.0, 2.0]
    rho, p_value = correlate(std, magnitude)
    assert rho == pytest.approx(pearson(ranks(std), ranks(magnitude)), rel=1e-12)
    assert 0 < p_value < 1
    assert correlate(std, [10**value for value in std]) == pytest.approx((1.0, 0.0), abs=1e-12)


def test_units_that_are_all_alike_have_none() -> None:
    assert correlate([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == (None, None)
    assert correlate([1.0, 2.0, 3.0], [5.0, 5.0, 5.0]) == (None, None)


def test_the_table(tmp_path) -> None:
    falling = [1.0, 2.0, 3.0, 4.0]
    write_hidden_units([row("id-big", 1, falling, falling[::-1]), row("id-big", 0, falling, falling)], tmp_path / "b")
    write_hidden_units([row("id-small", 0, [1.0] * 4, falling, feeders=["embedding"], role="kvq")], tmp_path / "s")
    table = build_outliers(PLAN, [read_hidden_units(tmp_path / name) for name in "bs"])
    assert table.select("model", "parameters", "block", "feeder", "role", "n_units", "n_tokens").rows() == [
        ("small", 1000, 0, "embedding", "kvq", 4, 77),
        ("big", 2000, 0, "attention_output+ffn2", "ffn1", 4, 77),
        ("big", 2000, 1, "attention_output+ffn2", "ffn1", 4, 77),
    ]
    assert table["spearman"].to_list() == [None, pytest.approx(1.0), pytest.approx(-1.0)]


def test_a_file_that_cannot_be_read_is_named_with_its_remedy(tmp_path) -> None:
    path = tmp_path / "m.parquet"
    path.write_bytes(b"no Parquet")
    with pytest.raises(UserError, match=r"m\.parquet cannot be read .*: rm .*m\.parquet, and run the study again"):
        read_hidden_units(path)
    pl.DataFrame({"model_id": ["x"]}).write_parquet(path)
    with pytest.raises(UserError, match=r"is not of this release: rm .*m\.parquet"):
        read_hidden_units(path)
