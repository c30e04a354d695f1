"""GPT-2. Its linear layers are Conv1D, whose weight is stored [in, out]; query, key and value are one matrix."""

import torch

from kbit.models.architectures.architecture import Architecture
from kbit.models.architectures.roles import Roles
from kbit.models.architectures.tries import run_by_position_ids

ARCHITECTURE = Architecture(
    model_type="gpt2",
    blocks="transformer.h",
    block_linears=("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"),
    roles=Roles(
        kvq=("attn.c_attn",),
        attention_output=("attn.c_proj",),
        ffn1=("mlp.c_fc",),
        ffn2=("mlp.c_proj",),
        value="attn.c_attn",
        value_units=lambda config: torch.arange(2 * config.n_embd, 3 * config.n_embd),
    ),
    stem=(("transformer.wte",), ("transformer.wpe",)),
    after_blocks=("transformer.ln_f",),
    run_tries=run_by_position_ids,
)
