"""A model under a spec: which tensors change, what they become, and that all of them come back."""

import gc
import weakref

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    OPTConfig,
    PretrainedConfig,
    PreTrainedModel,
)

from kbit.models.architectures import ARCHITECTURES
from kbit.models.quantized import quantized
from kbit.quant import quantize_weight
from kbit.spec.errors import UserError
from kbit.spec.quant import CONTROL, QuantSpec

INT3 = QuantSpec(data_type="int", bits=3, block_size=64)
SPECS = [
    INT3,
    QuantSpec(data_type="float", bits=4, exponent_bits=2, block_size="row"),
    QuantSpec(data_type="dynamic", bits=8, block_size=1024),
    QuantSpec(data_type="quantile", bits=4, block_size="tensor"),
]
SIZES = {"vocab_size": 100, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}

# Family -> config, blocks, the touched weights of one block. Everything else of the model must stay.
FAMILIES: dict[str, tuple[PretrainedConfig, str, list[str]]] = {
    "gpt_neox": (
        GPTNeoXConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128, **SIZES),
        "gpt_neox.layers",
        ["attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"],
    ),
    "gpt2": (
        GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=64, **SIZES),
        "transformer.h",
        ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"],
    ),
    "opt": (
        OPTConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, ffn_dim=128, word_embed_proj_dim=16, **SIZES
        ),  # the embedding is narrower, so project_in and project_out exist
        "model.decoder.layers",
        ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "fc1", "fc2"],
    ),
    "bloom": (
        BloomConfig(hidden_size=32, n_layer=2, n_head=2, **SIZES),
        "transformer.h",
        ["self_attention.query_key_value", "self_attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"],
    ),
    "llama": (
        LlamaConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=96,
            attention_bias=True,
            mlp_bias=True,
            **SIZES,
        ),
        "model.layers",
        [
            *["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"],
            *["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"],
        ],
    ),
}


def tiny_model(family: str) -> PreTrainedModel:
    """Random weights, also where the class starts from zeros or ones, so that every change shows."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(FAMILIES[family][0]).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.05)
    return model


def touched_names(family: str) -> set[str]:
    _, blocks, layers = FAMILIES[family]
    return {f"{blocks}.{index}.{layer}.weight" for index in range(2) for layer in layers}


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed(model: nn.Module, before: dict[str, Tensor]) -> set[str]:
    """Names of tensors that differ in any bit. The state dict lists a tied tensor under each of its names."""
    assert model.state_dict().keys() == before.keys()
    return {name for name, tensor in model.state_dict().items() if not same_bits(tensor, before[name])}


def same_bits(left: Tensor, right: Tensor) -> bool:
    return left.dtype == right.dtype and torch.equal(
        left.contiguous().view(torch.uint8), right.contiguous().view(torch.uint8)
    )


def logits(model: PreTrainedModel) -> Tensor:
    with torch.no_grad():
        return model(torch.arange(1, 21).view(2, 10)).logits


def test_every_architecture_has_its_list() -> None:
    assert FAMILIES.keys() == ARCHITECTURES.keys()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.slug)
@pytest.mark.parametrize("family", FAMILIES)
def test_exactly_these_tensors_are_touched(family: str, spec: QuantSpec) -> None:
    model = tiny_model(family)
    before, logits_before = snapshot(model), logits(model)
    with quantized(model, spec):
        assert changed(model, before) == touched_names(family)
        assert not torch.equal(logits(model), logits_before)
    assert changed(model, before) == set()
    assert torch.equal(logits(model), logits_before)


@pytest.mark.parametrize("family", FAMILIES)
def test_they_become_what_the_quantizer_gives(family: str) -> None:
    """GPT-2 stores [in, out]: its blocks must run along the input axis as everywhere else."""
    model = tiny_model(family)
    before = snapshot(model)
    for spec in SPECS:
        with quantized(model, spec):
            for name in touched_names(family):
                pristine, result = before[name], model.state_dict()[name]
                if family == "gpt2":
                    pristine, result = pristine.t(), result.t()
                assert torch.equal(result, quantize_weight(pristine, spec, name))


@pytest.mark.parametrize("family", FAMILIES)
def test_footprint_counts_the_model(family: str) -> None:
    model = tiny_model(family)
    state, tied = model.state_dict(), model.config.tie_word_embeddings
    stored = {name: tensor for name, tensor in state.items() if not (tied and name == "lm_head.weight")}
    body = [stored[name].numel() for name in touched_names(family)]
    parameters = sum(tensor.numel() for tensor in stored.values())
    with quantized(model, INT3) as footprint:
        assert footprint.quantized_parameters == sum(body)
        assert footprint.parameters == parameters
        assert footprint.body_bits == sum(3 * n + 16 * -(-n // 64) for n in body)
        assert footprint.total_bits == footprint.body_bits + 16 * (parameters - sum(body))
        assert footprint.bits_per_param == 3.25


def test_rows_of_a_footprint_are_outputs() -> None:
    """A Conv1D [in, out] has as many rows as outputs, not as inputs."""
    model = tiny_model("gpt2")
    with quantized(model, QuantSpec(data_type="int", bits=4, block_size="row")) as footprint:
        outputs = 2 * (96 + 32 + 128 + 32)
        assert footprint.body_bits == 4 * footprint.quantized_parameters + 16 * outputs


@pytest.mark.parametrize("family", FAMILIES)
def test_control_changes_nothing(family: str) -> None:
    model = tiny_model(family)
    before = snapshot(model)
    with quantized(model, CONTROL) as footprint:
        assert changed(model, before) == set()
        assert footprint.total_bits == 16 * footprint.parameters
        assert footprint.bits_per_param == 16
    assert changed(model, before) == set()


@pytest.mark.parametrize("family", FAMILIES)
def test_pristine_weights_return_after_an_exception(family: str) -> None:
    model = tiny_model(family)
    before = snapshot(model)
    with pytest.raises(KeyboardInterrupt), quantized(model, INT3):
        raise KeyboardInterrupt
    assert changed(model, before) == set()


def test_writing_within_the_block_does_not_reach_the_pristine_weights() -> None:
    model = tiny_model("gpt_neox")
    before = snapshot(model)
    with quantized(model, INT3), torch.no_grad():
        model.gpt_neox.layers[0].attention.dense.weight.fill_(7.0)
    assert changed(model, before) == set()


def test_many_specs_one_after_the_other_leave_no_trace() -> None:
    """Each starts from the pristine weights: the second time a spec gives the same bits."""
    model = tiny_model("gpt_neox")
    first = {}
    for _ in range(2):
        for spec in SPECS:
            with quantized(model, spec):
                assert not changed(model, first.setdefault(spec.slug, snapshot(model)))


def test_nesting_is_refused_and_does_no_harm() -> None:
    model = tiny_model("llama")
    before = snapshot(model)
    with quantized(model, INT3):
        inside = snapshot(model)
        with pytest.raises(
            RuntimeError, match="quantized already; leave that block before quantizing it as dynamic8-b1024"
        ):
            quantized(model, SPECS[2]).__enter__()
        assert changed(model, inside) == set()
    assert changed(model, before) == set()
    with quantized(model, SPECS[2]):
        assert changed(model, before) == touched_names("llama")


def test_two_models_do_not_disturb_each_other() -> None:
    left, right = tiny_model("opt"), tiny_model("opt")
    before = snapshot(left)
    with quantized(left, INT3), quantized(right, SPECS[1]):
        assert changed(left, before) == touched_names("opt")
    assert changed(left, before) == changed(right, before) == set()


@pytest.mark.parametrize("family", FAMILIES)
def test_nan_weight_is_named_before_anything_changes(family: str) -> None:
    model = tiny_model(family)
    name = sorted(touched_names(family))[-1]
    model.get_parameter(name).data[3, 4] = torch.nan
    before = snapshot(model)
    with pytest.raises(UserError, match=f"^{name}: 1 of"), quantized(model, INT3):
        pytest.fail("the block must not be entered")
    assert changed(model, before) == set()
    model.get_parameter(name).data[3, 4] = 0.0
    with quantized(model, INT3):  # the failed attempt did not leave the model marked
        pass


def test_tied_head_stays_tied_and_16_bit() -> None:
    model = tiny_model("gpt2")
    assert model.lm_head.weight is model.transformer.wte.weight
    before = model.lm_head.weight.clone()
    with quantized(model, INT3):
        assert model.lm_head.weight is model.transformer.wte.weight
        assert torch.equal(model.lm_head.weight, before)


def test_layers_that_share_a_weight_are_quantized_and_counted_once() -> None:
    model = tiny_model("gpt_neox")
    first, second = model.gpt_neox.layers
    with quantized(model, INT3) as footprint:
        apart = footprint.quantized_parameters
    second.attention.dense.weight = first.attention.dense.weight
    before = snapshot(model)
    with quantized(model, INT3) as footprint:
        assert footprint.quantized_parameters == apart - 32 * 32
        assert changed(model, before) == touched_names("gpt_neox")
        assert second.attention.dense.weight is first.attention.dense.weight
    assert changed(model, before) == set()


def test_a_linear_tied_to_an_embedding_is_refused() -> None:
    model = tiny_model("gpt_neox")
    model.gpt_neox.layers[0].attention.dense.weight = model.gpt_neox.embed_in.weight
    with pytest.raises(UserError, match=r"attention\.dense\.weight is tied to gpt_neox\.embed_in\.weight"):
        quantized(model, INT3).__enter__()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_16_bit_models_keep_their_dtype(dtype: torch.dtype) -> None:
    model = tiny_model("gpt2").to(dtype)
    before = snapshot(model)
    with quantized(model, INT3):
        assert {parameter.dtype for parameter in model.parameters()} == {dtype}
        assert changed(model, before) == touched_names("gpt2")
    assert changed(model, before) == set()


def test_quantized_weights_are_freed() -> None:
    model = tiny_model("gpt_neox")
    with quantized(model, INT3):
        inside = weakref.ref(model.gpt_neox.layers[0].attention.dense.weight.untyped_storage())
    gc.collect()
    assert inside() is None
    model_reference = weakref.ref(model)
    del model
    gc.collect()
    assert model_reference() is None
