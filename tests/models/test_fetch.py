"""Models of the hub: fetched at exactly a commit, only the files needed, each of the content that the hub states."""

import hashlib
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import HubServer, git_sha1

SHIPPED = Path(__file__).parents[2] / "data" / "models" / "neox-32x2"
SMALL = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
WEIGHTS = (SHIPPED / "model.safetensors").read_bytes()
INDEX = json.dumps({"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}).encode()
BIN_INDEX = INDEX.replace(b"safetensors", b"bin")

# One process fetches many models: starting one costs more than all of the fetching.
PROGRAM = """
import json, sys
from pathlib import Path
from kbit.evaluation.fetch import fetch_model_to
from kbit.spec.errors import UserError
for number, line in enumerate(sys.stdin):
    stamp = Path(sys.argv[1], f"{number}.json")
    try:
        fetch_model_to(stamp, json.loads(line))
        print(stamp.read_text().strip())
    except UserError as error:
        print(json.dumps({"error": str(error), "stamp": stamp.exists()}))
"""


def small_files() -> dict[str, bytes]:
    return {name: (SHIPPED / name).read_bytes() for name in SMALL}


@pytest.fixture(scope="module")
def hub():
    with HubServer() as server:
        yield server


def locator(hub_id: str, revision: str) -> dict[str, object]:
    return {"name": "m", "model_id": f"{hub_id}@{revision}", "hub_id": hub_id, "revision": revision, "path": None}


def fetch(hub: HubServer, home: Path, *locators: dict, **environment: str) -> list[dict]:
    """What each fetch left: the stamp, or the error."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(home)],
        input="".join(json.dumps(each) + "\n" for each in locators),
        env=hub.environment(home) | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) == len(locators)
    return outcomes


def cached(home: Path, hub_id: str, commit: str) -> dict[str, bytes]:
    folder = home / "hub" / f"models--{hub_id.replace('/', '--')}" / "snapshots" / commit
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_only_what_is_needed_is_fetched(hub, tmp_path):
    """safetensors before pickles, shards by their index, a pickle where there is nothing else."""
    unneeded = {"README.md": b"x", "training_args.bin": b"x", "flax_model.msgpack": b"x", "onnx/model.onnx": b"x"}
    models = {
        "both": {"model.safetensors": WEIGHTS},
        "sharded": {
            "model.safetensors.index.json": INDEX,
            "part-1.safetensors": b"1" * 70,
            "part-2.safetensors": b"2" * 80,
        },
        "pickled": {"pytorch_model.bin.index.json": BIN_INDEX, "part-1.bin": b"1" * 70, "part-2.bin": b"2" * 80},
        "code": {"model.safetensors": WEIGHTS, "modeling_own.py": b"x = 1\n"},
    }
    extra = {"both": {"pytorch_model.bin": b"x", "other.safetensors": b"x"}, "sharded": {"pytorch_model.bin": b"x"}}
    repositories = {
        name: hub.add("model", f"org/{name}", small_files() | files | unneeded | extra.get(name, {}))
        for name, files in models.items()
    }
    stamps = fetch(hub, tmp_path, *(locator(each.hub_id, each.commit) for each in repositories.values()))
    for (name, files), stamp in zip(models.items(), stamps, strict=True):
        wanted = small_files() | files
        assert cached(tmp_path, f"org/{name}", repositories[name].commit) == wanted
        assert stamp["commit"] == repositories[name].commit
        assert stamp["bytes"] == sum(map(len, wanted.values()))
        for entry in stamp["files"]:
            content = wanted.pop(entry["name"])
            assert entry["bytes"] == len(content)
            large = entry["name"].endswith((".safetensors", ".bin"))
            digest = hashlib.sha256(content).hexdigest() if large else git_sha1(content)
            assert entry["sha256" if large else "git-sha1"] == digest
        assert not wanted
    for name in (*unneeded, "pytorch_model.bin", "other.safetensors"):
        assert not [line for line in hub.asked if line.endswith(f"/{name}")]


@pytest.fixture(scope="module")
def fetched(hub, tmp_path_factory):
    """A home in which org/small has been fetched, and the repository."""
    home = tmp_path_factory.mktemp("home")
    repository = hub.add("model", "org/small", small_files() | {"model.safetensors": WEIGHTS})
    (stamp,) = fetch(hub, home, locator("org/small", repository.commit))
    return home, repository, stamp


def test_a_second_fetch_verifies_and_downloads_only_what_is_damaged(hub, fetched):
    home, repository, stamp = fetched
    weights = next(home.rglob("model.safetensors"))
    for damage in (None, WEIGHTS[:1000] + b"?" + WEIGHTS[1001:], WEIGHTS[:-1]):
        if damage is not None:
            weights.write_bytes(damage)
        hub.asked.clear()
        assert fetch(hub, home, locator("org/small", repository.commit)) == [stamp]
        downloads = [
            line for line in hub.asked if line.startswith("GET") and ("/resolve/" in line or "/content/" in line)
        ]
        assert len(downloads) == (damage is not None)
        assert weights.read_bytes() == WEIGHTS


def test_without_network_the_cache_is_verified(hub, fetched, tmp_path):
    home, repository, stamp = fetched
    small = locator("org/small", repository.commit)
    hub.asked.clear()
    assert fetch(hub, home, small, HF_HUB_OFFLINE="1") == [stamp]
    weights = next(home.rglob("model.safetensors"))
    weights.write_bytes(WEIGHTS[:-1] + b"?")
    (damaged,) = fetch(hub, home, small, HF_HUB_OFFLINE="1")
    (absent,) = fetch(hub, tmp_path, small, HF_HUB_OFFLINE="1")
    assert hub.asked == []
    weights.write_bytes(WEIGHTS)
    assert absent["error"].startswith(
        "model 'm': fetching needs the network, which HF_HUB_OFFLINE=1 forbids: unset it, or"
    )
    assert damaged["error"].endswith("what the hub cache has does not suffice: model.safetensors is damaged")


def test_what_cannot_be_fetched_is_one_line_that_says_what_to_do(hub, tmp_path):
    files = small_files() | {"model.safetensors": WEIGHTS}
    gated = hub.add("model", "org/gated", files, gated=True)
    damaged = hub.add("model", "org/damaged", files, damaged={"model.safetensors": WEIGHTS[:-1] + b"?"})
    cut = hub.add("model", "org/cut", files, damaged={"tokenizer.json": b"{"})
    large = hub.add("model", "org/large", files, sizes={"model.safetensors": 10**18})
    bare = hub.add("model", "org/bare", small_files() | {"tf_model.h5": b"x"})
    torn = hub.add("model", "org/torn", small_files() | {"model.safetensors.index.json": INDEX})
    climbing = {"model.safetensors.index.json": b'{"weight_map": {"a": "../../secret.safetensors"}}'}
    climber = hub.add("model", "org/climber", small_files() | climbing)
    listed = hub.add("model", "org/listed", small_files() | {"model.safetensors.index.json": b"[]"})
    cases = [
        (gated.hub_id, gated.commit, f"org/gated is gated: accept its terms on {hub.address}/org/gated, then log in"),
        ("org/none", "0" * 40, "the hub knows no 'org/none', or it is private and asks for a login (`hf auth login`"),
        (gated.hub_id, "0" * 40, f"org/gated has no revision '{'0' * 40}' on the hub (revision in its data sheet)"),
        (gated.hub_id, "main", "revision 'main' of org/gated is no commit (40 hex digits): `kbit pin` writes the"),
        (damaged.hub_id, damaged.commit, "model.safetensors of org/damaged at "),
        (cut.hub_id, cut.commit, "tokenizer.json of org/cut at "),
        (large.hub_id, large.commit, "needs 1,000,000,000.0 GB more in the hub cache"),
        (bare.hub_id, bare.commit, "holds no weights that can be read (model.safetensors, "),
        (torn.hub_id, torn.commit, "lacks part-1.safetensors, which its model.safetensors.index.json names"),
        (listed.hub_id, listed.commit, "model.safetensors.index.json is not an index of weights: TypeError("),
        (climber.hub_id, climber.commit, "names '../../secret.safetensors', which is no file of weights"),
    ]
    outcomes = fetch(hub, tmp_path, *(locator(*case[:2]) for case in cases), HF_TOKEN="hf_other")
    for outcome, (*_, message) in zip(outcomes, cases, strict=True):
        assert outcome["error"].startswith("model 'm': ") or ".json" in outcome["error"].split()[0]
        assert message in outcome["error"]
        assert "\n" not in outcome["error"]
        assert not outcome["stamp"]
    accepted = locator(gated.hub_id, gated.commit)
    assert fetch(hub, tmp_path, accepted, HF_TOKEN="hf_accepted")[0]["commit"] == gated.commit


def test_a_cache_that_cannot_be_made_is_said_in_one_line(hub, tmp_path):
    repository = hub.add("model", "org/small", small_files() | {"model.safetensors": WEIGHTS})
    (tmp_path / "file").touch()
    wanted = locator(repository.hub_id, repository.commit)
    (outcome,) = fetch(hub, tmp_path, wanted, HF_HUB_CACHE=str(tmp_path / "file" / "hub"))
    assert outcome["error"].startswith("model 'm': it cannot be stored in the hub cache ")
    assert outcome["error"].endswith("Not a directory: '" + str(tmp_path / "file" / "hub") + "')")


@pytest.fixture(scope="module", autouse=True)
def unreachable(tmp_path_factory):
    """`kbit fetch-model` of a hub that does not listen, started first: the hub's client tries for 23 seconds."""
    home = tmp_path_factory.mktemp("nowhere")
    (home / "m.json").write_text(json.dumps(locator("org/small", "0" * 40)))
    with HubServer() as gone:
        environment = gone.environment(home)
    command = [sys.executable, "-m", "kbit.cli", "fetch-model", str(home / "m.json"), "--output", str(home / "s.json")]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_full_disk_is_said_in_one_line(hub, tmp_path):
    repository = hub.add("model", "org/small", small_files() | {"model.safetensors": WEIGHTS})
    (tmp_path / "m.json").write_text(json.dumps(locator("org/small", repository.commit)))

    def allow_small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(WEIGHTS) // 2, len(WEIGHTS) // 2))

    command = [sys.executable, "-m", "kbit.cli", "fetch-model", str(tmp_path / "m.json")]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "stamp.json")],
        env=hub.environment(tmp_path) | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        preexec_fn=allow_small_files,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("kbit: model 'm': it cannot be stored in the hub cache ")
    assert line.endswith("File too large): free some space, or set HF_HOME to a larger disk")
    assert not (tmp_path / "stamp.json").exists()


def test_a_hub_that_does_not_answer_is_one_line(unreachable):
    _, errors = unreachable.communicate(timeout=120)
    assert unreachable.returncode == 2
    line = errors.splitlines()[-1]
    assert line.startswith("kbit: model 'm': the hub (http://127.0.0.1:")
    assert "cannot be reached, fetching needs the network ([Errno" in line
    assert line.endswith(
        "try again, or fetch where there is a network, into a cache that this machine sees or gets a copy of (HF_HOME)"
    )
    assert "Traceback" not in errors
