"""`kbit pin` against a hub: a web server of the tests that answers the hub's own routes."""

import subprocess
import sys

import pytest
from hub_server import HubServer
from transformers import GPT2Config

from kbit.models.pin import pin_models
from kbit.spec.errors import UserError
from kbit.spec.models import ModelsFile
from kbit.spec.section import load_section

COMMIT = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
CONFIG = GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=32, vocab_size=100)
# Per block: attention 16 x 48 and 16 x 16, feed-forward 16 x 64 and 64 x 16.
LINEAR = 2 * (16 * 48 + 16 * 16 + 2 * 16 * 64)
# Besides: their biases, two layer norms a block, the last one, both embeddings (the head is tied).
PARAMETERS = LINEAR + 2 * (48 + 16 + 64 + 16 + 4 * 16) + 2 * 16 + (100 + 32) * 16

SHEET = """# Models of a test.
models:
  - {name: small, family: GPT-2, hub_id: some-org/small}  # a comment
  - name: pinned
    family: GPT-2
    hub_id: some-org/small
    revision: 607a30d783dfa663caf39e06633721c8d4cfcd7e
    parameters: 1
"""


@pytest.fixture(scope="module")
def hub():
    with HubServer() as server:
        server.add("model", "some-org/small", {"config.json": CONFIG.to_json_string().encode()}, commit=COMMIT)
        server.add("dataset", "some-org/quiz", {"README.md": b"Questions."}, commit=COMMIT)
        yield server


@pytest.fixture
def sheet(tmp_path):
    file = tmp_path / "models.yaml"
    file.write_text(SHEET, encoding="utf-8")
    return file


PROGRAM = """
import sys
from pathlib import Path
from kbit.evaluation.pin import pin_sheet
from kbit.spec.errors import UserError
try:
    print("\\n".join(str(change) for change in pin_sheet(Path(sys.argv[1]), sys.argv[2:] or None)))
except UserError as error:
    sys.exit(f"kbit: {error}")
"""


def pin_online(hub, sheet, *names):
    """Pin in a process of its own: the hub's client reads its address and its offline switch when it is imported."""
    command = [sys.executable, "-c", PROGRAM, str(sheet), *names]
    environment = hub.environment(sheet.parent / "hub")
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_revision_and_counts_are_filled_in(hub, sheet):
    done = pin_online(hub, sheet)
    assert done.returncode == 0, done.stderr
    counts = f"parameters: {PARAMETERS}, quantized_parameters: {LINEAR}"
    expected = (
        SHEET.replace(
            "hub_id: some-org/small}  # a comment",
            f"hub_id: some-org/small, revision: {COMMIT}, {counts}}}  # a comment",
        )
        .replace("    hub_id: some-org/small\n", f"    hub_id: some-org/small\n    quantized_parameters: {LINEAR}\n")
        .replace("    parameters: 1\n", f"    parameters: {PARAMETERS}\n")
    )
    assert sheet.read_text(encoding="utf-8") == expected
    assert f"pinned: parameters 1 -> {PARAMETERS}" in done.stdout.splitlines()
    small, _ = load_section(ModelsFile, sheet).models
    assert (small.revision, small.parameters) == (COMMIT, PARAMETERS)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("hub_id: some-org/small}", "hub_id: some-org/none}", "the hub knows no 'some-org/none'"),
        (
            "hub_id: some-org/small}",
            "hub_id: some-org/small, revision: v9}",
            "some-org/small has no revision 'v9' on the hub",
        ),
    ],
)
def test_what_the_hub_does_not_know_is_one_line(hub, sheet, old, new, message):
    sheet.write_text(SHEET.replace(old, new), encoding="utf-8")
    done = pin_online(hub, sheet, "small")
    assert done.returncode == 1
    assert done.stderr.startswith("kbit: model 'small': ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sheet.read_text(encoding="utf-8") == SHEET.replace(old, new)


TASKS = """tasks:
  - name: quiz
    kind: zero-shot
    metric: acc
    chance: 0.5
    version: "1.0"
    dataset: some-org/quiz  # a comment
  - name: local
    kind: zero-shot
    metric: acc
    chance: 0.5
    version: "1.0"
    yaml_file: local.yaml
    data_files: [local.jsonl]
"""


def test_tasks_get_the_commit_of_their_data_set(hub, sheet):
    sheet.write_text(TASKS, encoding="utf-8")
    done = pin_online(hub, sheet)
    assert (done.returncode, done.stdout) == (0, f"quiz: revision {COMMIT}\n"), done.stderr
    source = "    dataset: some-org/quiz  # a comment\n"
    assert sheet.read_text(encoding="utf-8") == TASKS.replace(source, f"{source}    revision: {COMMIT}\n")


def test_without_network_pinning_says_so(sheet):
    # The suite runs with the hub offline.
    with pytest.raises(
        UserError, match=r"model 'small': pinning needs the network, which HF_HUB_OFFLINE=1 forbids"
    ) as caught:
        pin_models(sheet, ["small"])
    assert "\n" not in str(caught.value)
    assert sheet.read_text(encoding="utf-8") == SHEET


def test_a_local_model_gets_its_counts_once(tmp_path, sheet):
    CONFIG.save_pretrained(tmp_path / "weights")
    other = "  - {name: other, family: Mine, path: weights}\n"
    sheet.write_text(f"models:\n  - {{name: mine, family: Mine, path: weights}}\n{other}", encoding="utf-8")
    changes = pin_models(sheet, ["mi*"])
    assert [(change.name, change.key, change.new) for change in changes] == [
        ("mine", "parameters", PARAMETERS),
        ("mine", "quantized_parameters", LINEAR),
    ]
    entry = load_section(ModelsFile, sheet).models[0]
    assert (entry.parameters, entry.quantized_parameters) == (PARAMETERS, LINEAR)
    assert sheet.read_text(encoding="utf-8").endswith(other)
    assert pin_models(sheet, ["mi*"]) == []


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{name: mine, family: Mine, path: nowhere}", "model 'mine': no config.json in "),
        ("{name: mine, family: Mine}", "model 'mine' needs exactly one of hub_id, path and gguf_file"),
        ("{name: other, family: Mine, path: x}", "'mine' matches none of the models of .*: other"),
        ("{name: mine, path: weights}", "family: is missing"),
    ],
)
def test_mistakes_in_the_sheet_are_named(tmp_path, sheet, entry, message):
    CONFIG.save_pretrained(tmp_path / "weights")
    sheet.write_text(f"models:\n  - {entry}\n", encoding="utf-8")
    with pytest.raises(UserError, match=message):
        pin_models(sheet, ["mine"])


def test_an_unknown_model_type_is_refused(tmp_path, sheet):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text('{"model_type": "no-such-model"}', encoding="utf-8")
    sheet.write_text("models:\n  - {name: mine, family: Mine, path: weights}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"model 'mine': transformers cannot read .*config.json: .*no-such-model"):
        pin_models(sheet, ["mine"])
