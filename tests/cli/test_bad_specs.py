"""Whatever is wrong with a quantization spec, `kbit plan` ends in one line: the value, what is accepted, the place."""

import sys
from pathlib import Path

import pytest
import yaml

from kbit.cli.app import main

CONFIG = Path(__file__).parents[2] / "config"
GRID = {"data_types": ["int"], "bits": [4], "block_sizes": [64]}
STUDY = {
    "name": "bad",
    "title": "A study with one bad spec",
    "models_files": [str(CONFIG / "models.yaml")],
    "tasks_files": [str(CONFIG / "tasks.yaml")],
    "models": ["tiny-neox-64x2"],
    "tasks": ["ho_piqa"],
    "dtype": "float32",
}


def float_of(data_type: str, bits: int, exponent_bits: int | None) -> dict:
    return {"data_types": [data_type], "bits": [bits], "exponent_bits": {bits: [exponent_bits]}}


MISTAKES = {
    # Widths that a data type does not have.
    "one bit": ({"bits": [1]}, "bits 1 is not legal for data_type 'int': accepted is 2 to 8"),
    "nine bits": ({"data_types": ["nf"], "bits": [9]}, "bits 9 is not legal for data_type 'nf': accepted is 2 to 8"),
    "mxfp4 of 3 bits": (
        {"data_types": ["mxfp4"], "bits": [3], "block_sizes": [32]},
        "bits 3 is not legal for data_type 'mxfp4': accepted is 4",
    ),
    "nvfp4 of 8 bits": (
        {"data_types": ["nvfp4"], "bits": [8], "block_sizes": [16]},
        "bits 8 is not legal for data_type 'nvfp4': accepted is 4",
    ),
    "the control at 4 bits": (
        {"data_types": ["none"]},
        "bits 4 is not legal for data_type 'none': accepted is 16",
    ),
    # E and M that do not add up to k - 1.
    "no room for a sign": (float_of("float", 4, 4), "exponent_bits 4 does not fit 4 bits: accepted is 1 to 3"),
    "no exponent": (float_of("fp4-bnb", 4, 0), "exponent_bits 0 does not fit 4 bits: accepted is 1 to 3"),
    "seven exponent bits": (float_of("float", 8, 7), "exponent_bits 7 does not fit 8 bits: accepted is 1 to 6"),
    "two bits": (float_of("float-bnb039", 2, 2), "exponent_bits 2 does not fit 2 bits: accepted is 1"),
    "E3M4 of mxfp8": (
        {**float_of("mxfp8", 8, 3), "block_sizes": [32]},
        "exponent_bits 3 does not fit 8 bits: accepted is 4 to 5",
    ),
    "no E stated": (
        {"data_types": ["float"], "exponent_bits": {3: [2]}},
        "exponent_bits is missing for 4-bit float: accepted is 1 to 3",
    ),
    # Block sizes.
    "blocks of no weights": (
        {"block_sizes": [0]},
        ".block_sizes[0]: block_size 0 is not a positive number of weights, row or tensor",
    ),
    "blocks of columns": (
        {"block_sizes": ["column"]},
        ".block_sizes[0]: block_size 'column' is not a positive number of weights, row or tensor",
    ),
    "mxfp4 in blocks of 64": (
        {"data_types": ["mxfp4"]},
        "block_size 64 is not legal for data_type 'mxfp4': accepted is 32",
    ),
    # Scale formats.
    "a scale format that nobody knows": (
        {"scale_formats": ["e5m2"]},
        "scale_format 'e5m2' is not one of 16-bit, fp16, bf16, fp32, dq, e8m0, e4m3, mx",
    ),
    "a standard's scale format": (
        {"scale_formats": ["mx"]},
        "scale_format 'mx' is not legal here: it belongs to data types of its standard",
    ),
    "another than the standard's": (
        {"data_types": ["nvfp4"], "block_sizes": [16], "scale_formats": ["fp32"]},
        "scale_format 'fp32' is not legal here: data_type 'nvfp4' has its own: leave it out, or say e4m3",
    ),
    "a scale without a sign": (
        {"data_types": ["bof-s"], "scale_formats": ["dq"]},
        (
            "scale_format 'dq' is not legal here: data_type 'bof-s' needs one with a sign: accepted is 16-bit, fp16, "
            "bf16, fp32, e4m3"
        ),
    ),
    # Options.
    "more than half of the dimensions": (
        {"outlier_fractions": [0.02, 0.51]},
        "outlier_fraction 0.51 is not legal: accepted is 0 to 0.5",
    ),
    "less than none": ({"outlier_fractions": [-0.1]}, "outlier_fraction -0.1 is not legal: accepted is 0 to 0.5"),
    "not a number": (
        {"outlier_fractions": [float("nan")]},
        "outlier_fraction nan is not legal: accepted is 0 to 0.5",
    ),
    "outliers of rotated inputs": (
        {"outlier_fractions": [0.02], "rotations": ["hadamard"]},
        (
            "outlier_fraction 0.02 is not legal with rotation 'hadamard', after which input dimensions are mixed: "
            "accepted is 0, or rotation none"
        ),
    ),
    "a rule that nobody knows": (
        {"outlier_rules": ["largest"]},
        "outlier_rule 'largest' is not one of proxy, own-std",
    ),
    "a minimum less a mean": (
        {"data_types": ["int-asym"], "centered": ["block"]},
        "centered 'block' is not legal for data_type 'int-asym', which subtracts a minimum: accepted is none",
    ),
    "a solver that nobody knows": ({"solvers": ["guess"]}, "solver 'guess' is not one of rtn, gptq, hqq"),
    "damping of nothing": (
        {"solvers": ["gptq"], "dampings": [0.0]},
        "damping 0 is not legal: accepted is more than 0, at most 1",
    ),
}


NEEDED = (
    "solver 'gptq' (grids[1].solvers of bad.yaml) needs a text to be calibrated on: "
    "calibration: {text: a text of tasks_files, sequences: 128, length: 2048}"
)
CALIBRATIONS = {
    "none": (None, NEEDED),
    "of a text that nobody knows": ({"text": "novel"}, "text 'novel' is not one of "),
    "of a task": ({"text": "ho_piqa"}, "text 'ho_piqa' is one of lm-eval's tasks, not a plain text (calibration of "),
    "of no sequences": (
        {"text": "novel", "sequences": 0},
        "bad.yaml: calibration.sequences: 0: input should be greater than 0",
    ),
}


def plan(folder: Path, monkeypatch: pytest.MonkeyPatch, calibration: dict | None = None, **changes: object) -> int:
    """Exit code of `kbit plan` for the study with one grid changed."""
    study = {**STUDY, "grids": [GRID, {**GRID, **changes}], "calibration": calibration}
    (folder / "bad.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["kbit", "plan", "bad.yaml"])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


def test_the_study_itself_is_correct(tmp_path, monkeypatch, capsys) -> None:
    assert plan(tmp_path, monkeypatch, bits=[3]) == 0
    assert "tiny-neox-64x2" in capsys.readouterr().out


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_bad_spec_is_one_line_and_exit_code_2(mistake: str, tmp_path, monkeypatch, capsys) -> None:
    change, problem = MISTAKES[mistake]
    assert plan(tmp_path, monkeypatch, **change) == 2
    printed = capsys.readouterr()
    place = "bad.yaml: grids[1]" + ("" if problem.startswith(".") else ": ")
    assert printed.err == f"kbit: {place}{problem}\n"
    assert printed.out == ""


@pytest.mark.parametrize("mistake", CALIBRATIONS)
def test_gptq_needs_a_text_to_be_calibrated_on(mistake: str, tmp_path, monkeypatch, capsys) -> None:
    calibration, problem = CALIBRATIONS[mistake]
    assert plan(tmp_path, monkeypatch, calibration, solvers=["gptq"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"kbit: {problem}")
    assert "bad.yaml" in line
