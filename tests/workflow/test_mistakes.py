"""A user's mistake ends in one line and exit code 2 from kbit, and the same line and exit code 1 from snakemake."""

import shutil
import sys

import pytest
import yaml


def edit(workspace, path, change):
    content = yaml.safe_load((workspace.root / path).read_text())
    change(content)
    workspace.write_yaml(path, content)


def grid(key, value):
    return lambda workspace: workspace.write_study(**{key: value})


def unknown_key(workspace):
    edit(workspace, "config/small.yaml", lambda study: study.update(colour="blue"))


def missing_model_folder(workspace):
    shutil.rmtree(workspace.root / "data/models/opt-32x2")


def missing_task_file(workspace):
    (workspace.root / "data/tasks/ho_piqa.jsonl").unlink()


def broken_json(workspace):
    path = workspace.root / "data/tasks/ho_piqa.jsonl"
    path.write_text(path.read_text()[:-30])


def same_name(workspace):
    edit(workspace, "config/models.yaml", lambda sheet: sheet["models"].append(sheet["models"][0]))


def same_weights(workspace):
    def change(sheet):
        sheet["models"].append({**sheet["models"][0], "name": "twin"})

    edit(workspace, "config/models.yaml", change)
    workspace.write_study(models=["a", "twin"])


MISTAKES = {
    "unknown key": (unknown_key, ["'colour'", "small.yaml", "title"]),
    "unknown data type": (grid("data_types", ["integer"]), ["'integer'", "quantile", "small.yaml"]),
    "bits 1": (grid("bits", [1]), ["bits 1", "2 to 8", "small.yaml"]),
    "bits 9": (grid("bits", [9]), ["bits 9", "2 to 8", "small.yaml"]),
    "block size 0": (grid("block_sizes", [0]), ["block_size 0", "row", "small.yaml"]),
    "missing model folder": (missing_model_folder, ["'b'", "opt-32x2", "models.yaml"]),
    "missing task file": (missing_task_file, ["ho_piqa", "ho_piqa.jsonl", "tasks.yaml"]),
    "broken JSON": (broken_json, ["ho_piqa", "not JSON"]),
    "two models with one name": (same_name, ["'a'", "models.yaml"]),
    "two models with the same weights": (same_weights, ["'a'", "'twin'", "same weights"]),
}


def exponent_bits(workspace):
    workspace.write_study(data_types=["float"], exponent_bits={3: [3], 4: [2]})


def no_exponent_bits(workspace):
    workspace.write_study(data_types=["float"], exponent_bits={3: [2]})


MISTAKES["exponent bits that do not fit"] = (exponent_bits, ["exponent_bits 3", "1 to 2", "small.yaml"])
MISTAKES["no exponent bits"] = (no_exponent_bits, ["exponent_bits is missing", "1 to 3", "small.yaml"])


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_one_line_and_exit_code_2(workspace, mistake):
    make, expected = MISTAKES[mistake]
    evaluations = workspace.evaluations()
    make(workspace)
    for verb in (["run", "config/small.yaml"], ["plan", "config/small.yaml"]):
        done = workspace.kbit(*verb, expect=2)
        (line,) = done.stderr.splitlines()
        assert done.stdout == ""
        for text in expected:
            assert text in line, line
    assert workspace.evaluations() == evaluations


def test_snakemake_prints_the_same_line_and_exits_1(workspace):
    unknown_key(workspace)
    line = workspace.kbit("plan", "config/small.yaml", expect=2).stderr.strip()
    command = (sys.executable, "-m", "snakemake", "-n", "--config", "study=config/small.yaml")
    assert workspace.call(*command, expect=1).stderr.splitlines()[-1] == line


def test_a_truncated_part_is_named_with_the_command_that_drops_it(workspace):
    before = workspace.evaluations()
    part = workspace.parts()[0]
    part.write_bytes(part.read_bytes()[:-100])
    (line,) = workspace.run(expect=2).stderr.splitlines()
    assert f"`rm {part.relative_to(workspace.root)}`" in line
    part.unlink()
    workspace.run()
    assert workspace.evaluations() == before


def test_a_weight_that_is_not_a_number_is_named(workspace):
    from safetensors.numpy import load_file, save_file

    before = workspace.evaluations()
    path = workspace.root / "data/models/gpt2-32x2/model.safetensors"
    weights = load_file(path)
    weights["transformer.h.1.mlp.c_fc.weight"][3, 5] = float("nan")
    save_file(weights, path, metadata={"format": "pt"})
    workspace.write_study(models=["a", "b", "c"])
    (line,) = workspace.run(expect=2).stderr.splitlines()
    assert "transformer.h.1.mlp.c_fc.weight" in line
    assert workspace.evaluations() == before
