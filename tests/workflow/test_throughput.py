"""Measured speeds inform the next plan and change nothing that exists."""

import json


def test_a_study_leaves_its_speeds_and_the_plan_uses_them(workspace):
    plan = json.loads(workspace.kbit("plan", "config/small.yaml", "--json").stdout)
    # Nothing is missing, so nothing is estimated; but the cells there were predicted once.
    assert plan["speeds"] == []
    assert plan["last_prediction"]["cells"] == 2 * 3
    assert 0 < plan["last_prediction"]["low_ratio"] <= plan["last_prediction"]["high_ratio"]
    workspace.write_study(bits=[3, 4, 5])
    speeds = json.loads(workspace.kbit("plan", "config/small.yaml", "--json").stdout)["speeds"]
    assert sorted(speed["source"].split(" of ")[0] for speed in speeds) == [
        "measured on cpu: gpt_neox",
        "measured on cpu: opt",
    ]


def test_other_speeds_or_another_place_run_nothing_again(workspace):
    file = workspace.root / "results/throughput.json"
    table = json.loads(file.read_text())
    for row in table["rows"]:
        row["cell_seconds"] = 1000.0
    file.write_text(json.dumps(table))
    hardware = workspace.root / "profiles/local/hardware.yaml"
    hardware.write_text(hardware.read_text().replace("max_gpus: 1", "max_gpus: 8"))
    before = sorted(path.name for path in workspace.root.glob("results/shards/*/*"))
    assert workspace.dry_run() == {}
    assert sorted(path.name for path in workspace.root.glob("results/shards/*/*")) == before
    plan = json.loads(workspace.kbit("plan", "config/small.yaml", "--profile", "profiles/local", "--json").stdout)
    assert plan["hardware"]["max_gpus"] == 8


def test_a_mistake_in_the_place_is_one_line(workspace):
    (workspace.root / "profiles/local/hardware.yaml").write_text("max_gpus: two\n")
    expected = "kbit: profiles/local/hardware.yaml: max_gpus: 'two': input should be a valid integer"
    for verb in ("plan", "run"):
        failed = workspace.kbit(verb, "config/small.yaml", "--profile", "profiles/local", expect=2)
        (line,) = failed.stderr.splitlines()
        assert line.startswith(expected)


def test_a_second_config_is_refused(workspace):
    """Snakemake would forget the first, and run the default study instead of the one named."""
    (line,) = workspace.run("small", "-n", "--config", "max_gpus=2", expect=2).stderr.splitlines()
    assert "--config would replace the study's own" in line
