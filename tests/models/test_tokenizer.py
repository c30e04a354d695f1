"""The tokenizer: there or refused in one line, and loaded without what loads weights."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kbit.models.tokenizer import load_tokenizer
from kbit.spec.errors import UserError

NEOX = Path(__file__).parents[2] / "data" / "models" / "neox-32x2"


def locator(folder: Path) -> dict[str, object]:
    return {"name": "little", "model_id": "x", "hub_id": None, "revision": None, "path": str(folder)}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A tokenizer to break."""
    return Path(shutil.copytree(NEOX, tmp_path / "neox", ignore=shutil.ignore_patterns("*.safetensors")))


# transformers makes an empty tokenizer for the first and raises for the second.
@pytest.mark.parametrize("model_type", ["gpt_neox", "bloom"])
def test_a_folder_without_tokenizer_is_refused(tmp_path: Path, model_type: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"model 'little': .* holds no tokenizer: none of tokenizer\.json, vocab\.json"):
        load_tokenizer(locator(tmp_path))


@pytest.mark.parametrize("content", ["", "{}", '{"version": ', '{"model": {"type": "BPE"}, "added_tokens": []}'])
def test_a_broken_tokenizer_is_one_line(copy: Path, content: str) -> None:
    (copy / "tokenizer.json").write_text(content)
    with pytest.raises(UserError, match=r"^model 'little': no tokenizer could be loaded from .*neox: ") as caught:
        load_tokenizer(locator(copy))
    assert "\n" not in str(caught.value)


def test_an_empty_vocabulary_is_refused(copy: Path) -> None:
    content = json.loads((copy / "tokenizer.json").read_text())
    content["model"].update(vocab={}, merges=[])
    (copy / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="model 'little': its tokenizer has no vocabulary"):
        load_tokenizer(locator(copy))


def test_loading_a_tokenizer_does_not_import_what_loads_weights() -> None:
    """transformers.modeling_utils alone takes 2 seconds of CPU time to import."""
    code = (
        "import json, sys; from kbit.models.tokenizer import load_tokenizer\n"
        "load_tokenizer(json.loads(sys.argv[1])); sys.exit('transformers.modeling_utils' in sys.modules)"
    )
    command = [sys.executable, "-c", code, json.dumps(locator(NEOX))]
    assert subprocess.run(command, check=False).returncode == 0
