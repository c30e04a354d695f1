"""A study whose model and task come from the hub, through Snakemake: fetched once, then nothing touches the network."""

import os
import shutil
import sys
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
import yaml
from hub_server import HubServer
from workspace import MODELS, Workspace

REPOSITORY = Path(__file__).parents[2]
ITEMS = REPOSITORY / "tests/evaluation/datasets/piqa/validation.jsonl"
CARD = b"---\nconfigs:\n- config_name: default\n  data_files:\n  - {split: validation, path: data/validation-*}\n---\n"
NOWHERE = "8a1f0c9be37d52646e0b7c35d9f1a2481c6be973"
REFETCH = """
from pathlib import Path
from kbit.cli.fetch import refetch
from kbit.plan.plan import plan_study
refetch(plan_study(Path("config/small.yaml")))
"""
# Loaded by every Python process before anything else: only those that fetch may look at an address or connect.
BLOCKED = """
import os, socket, sys

def refuse(*arguments, **_):
    with open(os.environ["ATTEMPTS"], "a") as file:
        print(sys.orig_argv, arguments, file=file)
    raise OSError("this process has no network")

class Socket(socket.socket):
    def connect(self, address):
        return super().connect(address) if self.family == socket.AF_UNIX else refuse(address)

    connect_ex = connect

if not any(verb.startswith("fetch") for verb in sys.orig_argv):
    socket.socket = Socket
    socket.getaddrinfo = refuse
"""


@pytest.fixture(scope="module")
def hub():
    with HubServer() as server:
        items = BytesIO()
        pl.read_ndjson(ITEMS).write_parquet(items)
        server.add("model", "org/small", REPOSITORY / "data/models" / MODELS["a"][1])
        server.add("dataset", "org/quiz", {"README.md": CARD, "data/validation-0.parquet": items.getvalue()})
        yield server


def use_hub(workspace: Workspace, hub: HubServer, home: Path) -> None:
    """Let the workspace's processes fetch from the hub into a cache of their own, and only those that fetch."""
    (home / "blocked").mkdir(parents=True)
    (home / "blocked" / "sitecustomize.py").write_text(BLOCKED)
    environment = hub.environment(home) | {
        "PYTHONPATH": os.pathsep.join([str(home / "blocked"), str(workspace.root)]),
        "OMP_NUM_THREADS": "1",
        "ATTEMPTS": str(home / "attempts"),
    }
    workspace.environment = lambda: environment


def name_hub(workspace: Workspace, hub: HubServer) -> None:
    """The data sheet's model h and the task piqa are the hub's; ho_piqa stays local."""
    model, quiz = hub.repositories
    local = {"name": "a", "family": "local", "path": f"../data/models/{MODELS['a'][1]}"}
    entry = {"name": "h", "family": "hub", "hub_id": model.hub_id, "revision": model.commit, "parameters": 91008}
    workspace.write_yaml("config/models.yaml", {"models": [local, entry]})
    tasks = yaml.safe_load((workspace.root / "config/tasks.yaml").read_text())["tasks"]
    piqa = {"name": "piqa", "kind": "zero-shot", "metric": "acc", "chance": 0.5, "version": "1.0"}
    piqa |= {"dataset": quiz.hub_id, "revision": quiz.commit}
    kept = [task for task in tasks if task["name"] == "ho_piqa"]
    workspace.write_yaml("config/tasks.yaml", {"tasks": [*kept, piqa]})
    workspace.write_study(models=["h"], tasks=["ho_piqa", "piqa"])


@pytest.fixture(scope="module")
def ran(finished, hub, tmp_path_factory) -> Workspace:
    """The workspace whose study of the hub's model and task has been run, its code trusted though it has none."""
    root = tmp_path_factory.mktemp("hub")
    workspace = finished.copy_to(root / "clone")
    use_hub(workspace, hub, root / "home")
    name_hub(workspace, hub)
    workspace.run("small", "--trust-remote-code")
    return workspace


@pytest.fixture
def home(ran) -> Path:
    return ran.root.parent / "home"


def test_only_fetching_has_touched_the_network(ran, home):
    assert not (home / "attempts").exists()
    call = [sys.executable, "-c", "import socket; socket.create_connection(('127.0.0.1', 9))"]
    assert "this process has no network" in ran.call(*call, expect=1).stderr
    (home / "attempts").unlink()


def test_scores_are_those_of_the_same_weights_on_disk(ran, finished):
    columns = ["spec", "metric", "value", "stderr", "n"]
    local = finished.table("scores").filter(model="a", task="ho_piqa").select(columns).sort(columns[:2])
    fetched = ran.table("scores").filter(model="h", task="ho_piqa").select(columns).sort(columns[:2])
    assert local.height
    assert fetched.equals(local)
    assert set(ran.table("scores")["task"]) == {"ho_piqa", "piqa"}


def test_rows_say_whether_code_of_models_was_trusted(ran, finished):
    assert ran.table("cells")["trust_remote_code"].unique().to_list() == [True]
    assert finished.table("cells")["trust_remote_code"].unique().to_list() == [False]


def test_a_second_run_does_nothing_and_asks_nothing(ran, hub):
    asked = len(hub.asked)
    assert len(stamps(ran)) == 2
    for stamp in stamps(ran):
        os.utime(stamp)
    assert "Nothing to be done" in ran.run().stdout
    assert len(hub.asked) == asked


def stamps(workspace: Workspace) -> list[Path]:
    return sorted(workspace.root.glob("results/*/*.fetched.json"))


@pytest.fixture
def workspace(ran, hub, tmp_path) -> Workspace:
    """A copy of the finished workspace and of its hub cache to change at will."""
    workspace = ran.copy_to(tmp_path / "clone")
    shutil.copytree(ran.root.parent / "home" / "hub", tmp_path / "home" / "hub", symlinks=True)
    use_hub(workspace, hub, tmp_path / "home")
    return workspace


def test_without_a_stamp_nothing_that_exists_is_made_anew(workspace):
    for stamp in stamps(workspace):
        stamp.unlink()
    assert workspace.dry_run() == {}


def test_a_stamp_that_is_made_anew_makes_nothing_else_anew(workspace):
    jobs = workspace.run("small", "-n", "--forcerun", "fetch_model", "fetch_task").stdout
    assert "fetch_model" in jobs
    assert "fetch_task" in jobs
    assert "build_requests" not in jobs
    assert "evaluate" not in jobs


def test_what_is_gone_from_the_cache_is_fetched_again_when_it_is_needed(workspace):
    def refetch() -> list[str]:
        return [line.split(" at ")[0] for line in workspace.call(sys.executable, "-c", REFETCH).stdout.splitlines()]

    with_network = workspace.environment() | {"PYTHONPATH": str(workspace.root)}
    workspace.environment = lambda: with_network
    shutil.rmtree(workspace.root.parent / "home" / "hub")
    assert refetch() == []
    for part in workspace.root.glob("results/parts/org-small-*/*.parquet"):
        part.unlink()
    assert refetch() == ["org/small"]
    assert refetch() == []


def test_what_cannot_be_fetched_ends_a_run_in_one_line(workspace, hub):
    sheet = workspace.root / "config/models.yaml"
    sheet.write_text(sheet.read_text().replace(hub.repositories[0].commit, NOWHERE))
    (line,) = workspace.run(expect=2).stderr.splitlines()
    assert line == f"kbit: model 'h': org/small has no revision '{NOWHERE}' on the hub (revision in its data sheet)"


def test_fetch_goes_on_after_what_fails(workspace, hub):
    sheet = yaml.safe_load((workspace.root / "config/models.yaml").read_text())["models"]
    wrong = {**sheet[1], "name": "wrong", "revision": NOWHERE}
    workspace.write_yaml("config/models.yaml", {"models": [sheet[0], wrong, sheet[1]]})
    workspace.write_study(models=["*"])
    done = workspace.kbit("fetch", "config/small.yaml", expect=2)
    assert done.stdout == f"org/small at {hub.repositories[0].commit}: 5 files, 0.2 MB, as the hub says\n"
    first, last = done.stderr.splitlines()
    assert first.startswith("kbit: model 'wrong': org/small has no revision '8a1f")
    assert last == "kbit: 1 of 2 could not be fetched (above); what was fetched stays"
    workspace.write_study(models=["a"])
    assert "names nothing on the hub" in workspace.kbit("fetch", "config/small.yaml").stdout
