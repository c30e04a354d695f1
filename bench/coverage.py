"""How often the 95 % intervals of the laws hold the truth: simulated studies with planted parameters.

    python bench/coverage.py                    (under two minutes on one core)
    python bench/coverage.py --simulations 60   (what the tests run)

Every law of coverage_cases is fitted to 400 studies of it, whose models share an effect of 2 %. The share of intervals
that hold the planted value must lie within 0.92 and 0.99, for every parameter that the law reports. Prints a line per
parameter, exits with 1 if one lies outside, and writes results/coverage.json and the lines into README.md.
"""

import argparse
import math
import re
import sys
from pathlib import Path

from coverage_cases import CASES, MODEL_EFFECT, POINT_NOISE, WEIGHTS, cover
from measure import machine, versions, write_result

SIMULATIONS = 400
SEED = 20260101
LEAST, MOST = 0.92, 0.99
README = Path(__file__).with_name("README.md")
MARKS = ("<!-- coverage -->", "<!-- end of coverage -->")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--simulations", type=int, default=SIMULATIONS, help="studies of a law (default: %(default)s)")
    n = parser.parse_args().simulations
    rows = measure(n)
    lines, is_good = verdict(rows)
    print("\n".join(lines))
    if n == SIMULATIONS:
        about = {"machine": machine(), "versions": versions("numpy", "scipy"), "simulations": n, "seed": SEED}
        about |= {"models": len(WEIGHTS), "model_effect": MODEL_EFFECT, "point_noise": POINT_NOISE}
        print(write_result("coverage", about | {"rows": rows}))
        write_readme(lines)
    return 0 if is_good else 1


def measure(simulations: int) -> list[dict]:
    """A row for every reported parameter: the share of intervals that hold the planted value, and of how many."""
    rows = []
    for case in CASES:
        for quantity, (share, intervals) in cover(case, simulations, SEED).items():
            row = {"law": case.law, "quantity": quantity, "truth": case.truth[quantity]}
            rows.append(row | {"simulations": simulations, "intervals": intervals, "share": share})
            print(f"{case.law} {quantity}: {share:.3f}", file=sys.stderr, flush=True)
    return rows


def verdict(rows: list[dict]) -> tuple[list[str], bool]:
    """A line for every parameter, and whether all lie within the bounds and no study went without its interval."""
    are_good = [is_good(row) for row in rows]
    lines = [
        f"{row['law']} {row['quantity']}={row['truth']:g}: {row['share']:.3f} of {row['intervals']} intervals "
        f"({'ok' if good else f'not within {LEAST} and {MOST}, or intervals are missing'})"
        for row, good in zip(rows, are_good, strict=True)
    ]
    return lines, all(are_good)


def is_good(row: dict) -> bool:
    # Some laws are fitted to several selections of a study's points: more intervals than studies.
    return row["intervals"] >= row["simulations"] and not math.isnan(row["share"]) and LEAST <= row["share"] <= MOST


def write_readme(lines: list[str]) -> None:
    start, end = MARKS
    quoted = "\n".join([start, "```", *lines, "```", end])
    text = README.read_text(encoding="utf-8")
    README.write_text(re.sub(f"{start}.*{end}", lambda _: quoted, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
