"""Checkpoints that would run code: refused in one line, and nothing of theirs is ever executed."""

import ast
import json
import pickle
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kbit.models.load import load_model
from kbit.models.tokenizer import load_tokenizer
from kbit.spec.errors import UserError

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "data" / "models" / "gpt2-32x2"
EMBEDDING = "transformer.wte.weight"
TRUST = "which is refused unless `kbit run --trust-remote-code` says that you have read it"


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """The file that every malicious checkpoint here would write."""
    return tmp_path / "executed"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A sound checkpoint to make malicious."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "gpt2"))


def locator(path: Path) -> dict[str, object]:
    return {"name": "little", "model_id": "x", "hub_id": None, "revision": None, "path": str(path)}


def edit(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


class Writes:
    """An object whose pickle writes the marker when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return Path.touch, (self.marker,)


MODEL_CODE = """
from pathlib import Path
from transformers import GPT2Config, GPT2LMHeadModel
Path({marker!r}).touch()

class OwnConfig(GPT2Config):
    pass

class OwnForCausalLM(GPT2LMHeadModel):
    config_class = OwnConfig
"""


@pytest.fixture
def own_code(copy: Path, marker: Path) -> Path:
    """A GPT-2 whose config asks for a class of its own."""
    (copy / "modeling_own.py").write_text(MODEL_CODE.format(marker=str(marker)))
    edit(copy / "config.json", auto_map={"AutoModelForCausalLM": "modeling_own.OwnForCausalLM"})
    return copy


def test_code_of_a_model_is_refused_though_transformers_has_a_class_of_its_own(own_code: Path, marker: Path) -> None:
    for load in (lambda: load_model(locator(own_code), "float32", "cpu"), lambda: load_tokenizer(locator(own_code))):
        with pytest.raises(UserError) as caught:
            load()
        named = "config.json asks to run Python code that comes with it (modeling_own.OwnForCausalLM)"
        assert str(caught.value) == f"model 'little': its {named}, {TRUST}"
    assert not marker.exists()


def test_code_of_a_model_runs_where_it_is_trusted(own_code: Path, marker: Path) -> None:
    model = load_model(locator(own_code), "float32", "cpu", trust_remote_code=True)
    assert type(model).__name__ == "OwnForCausalLM"
    assert marker.exists()
    stored = load_file(SHIPPED / "model.safetensors")
    assert torch.equal(model.state_dict()[EMBEDDING], stored[EMBEDDING].float())


def test_trusted_code_of_an_unknown_architecture_is_refused_all_the_same(own_code: Path) -> None:
    with (own_code / "modeling_own.py").open("a") as module:
        module.write("OwnConfig.model_type = 'own'\n")
    auto_map = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}
    edit(own_code / "config.json", model_type="own", auto_map=auto_map)
    with pytest.raises(UserError, match="'own'"):
        load_model(locator(own_code), "float32", "cpu", trust_remote_code=True)


@pytest.mark.parametrize("trusted", [False, True])
def test_code_of_another_repository_is_refused_always(copy: Path, trusted: bool) -> None:
    edit(copy / "config.json", auto_map={"AutoConfig": "org/other--module.OwnConfig"})
    with pytest.raises(
        UserError, match=r"config.json names code of another repository, which nothing pins: org/other--mod"
    ):
        load_model(locator(copy), "float32", "cpu", trust_remote_code=trusted)


def test_code_of_a_tokenizer_is_refused(copy: Path, marker: Path) -> None:
    (copy / "tokenization_own.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass OwnTokenizer: pass\n")
    auto_map = {"AutoTokenizer": [None, "tokenization_own.OwnTokenizer"]}
    edit(copy / "tokenizer_config.json", auto_map=auto_map, tokenizer_class="OwnTokenizer")
    with pytest.raises(
        UserError, match=r"its tokenizer_config.json asks to run .* \(tokenization_own.OwnTokenizer\), which"
    ):
        load_tokenizer(locator(copy))
    assert not marker.exists()


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "vocab.json", "special_tokens_map.json"])
def test_a_pickle_for_a_tokenizer_is_refused(name: str, copy: Path, marker: Path) -> None:
    if name == "vocab.json":
        (copy / "tokenizer.json").unlink()
    (copy / name).write_bytes(pickle.dumps(Writes(marker), protocol=2))
    with pytest.raises(UserError) as caught:
        load_tokenizer(locator(copy))
    assert len(str(caught.value).splitlines()) == 1
    assert not marker.exists()


def test_a_plain_checkpoint_of_torch_is_read(copy: Path) -> None:
    """The weights-only loader does read what it should: the tests below do not fail for want of one."""
    state = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    torch.save(state, copy / "pytorch_model.bin")
    model = load_model(locator(copy), "float32", "cpu")
    assert torch.equal(model.state_dict()[EMBEDDING], state[EMBEDDING].float())


def malicious(kind: str, marker: Path) -> bytes:
    if kind == "bare pickle":
        return pickle.dumps(Writes(marker), protocol=2)
    path = marker.with_name("malicious.pt")
    torch.save({EMBEDDING: Writes(marker)}, path, _use_new_zipfile_serialization=kind == "zip")
    return path.read_bytes()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
@pytest.mark.parametrize("kind", ["zip", "legacy", "bare pickle"])
def test_a_malicious_pickle_is_refused(name: str, kind: str, copy: Path, marker: Path) -> None:
    content = malicious(kind, marker)
    (copy / "model.safetensors").unlink()
    (copy / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_model(locator(copy), "float32", "cpu")
    assert str(caught.value).startswith("model 'little': no model could be loaded from ")
    assert len(str(caught.value).splitlines()) == 1
    assert not marker.exists()
    if name.endswith(".bin"):
        # That it was not for want of malice: the unsafe loader does execute it.
        with suppress(RuntimeError):  # of the bare pickle, once it has been executed: it is no checkpoint
            torch.load(copy / name, weights_only=False)
        assert marker.exists()


def test_torch_loads_weights_alone() -> None:
    """No call in the package or the benches can unpickle an object."""
    found = []
    for folder in ("kbit", "bench"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            found += [f"{path.relative_to(ROOT)}:{line}" for line in unsafe_reads(ast.parse(path.read_text()))]
    assert not found


UNPICKLERS = ("load", "loads", "Unpickler", "read_pickle")
MODULES = (
    "torch",
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "pd",
    "pandas",
    "numpy",
    "np",
    "marshal",
    "shelve",
)


def unsafe_reads(tree: ast.AST) -> Iterator[int]:
    """Lines that could unpickle an object."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module in MODULES
            and {a.name for a in node.names} & set(UNPICKLERS)
        ):
            yield node.lineno
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in UNPICKLERS):
            continue
        owner = node.func.value.id if isinstance(node.func.value, ast.Name) else None
        given = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
        safe = (
            given.get("weights_only") is True
            if owner == "torch"
            else owner in ("np", "numpy") and not given.get("allow_pickle")
        )
        if owner in MODULES and not safe:
            yield node.lineno


@pytest.mark.parametrize(
    ("code", "is_unsafe"),
    [
        ("torch.load(f)", True),
        ("torch.load(f, weights_only=False)", True),
        ("torch.load(f, weights_only=flag)", True),
        ("torch.load(f, weights_only=True)", False),
        ("pickle.loads(b)", True),
        ("from torch import load", True),
        ("np.load(f, allow_pickle=True)", True),
        ("np.load(f)", False),
        ("json.load(f)", False),
    ],
)
def test_unsafe_reads_are_seen(code: str, is_unsafe: bool) -> None:
    assert bool(list(unsafe_reads(ast.parse(code)))) == is_unsafe
