"""GPT-2. Its linear layers are Conv1D, whose weight is stored [in, out]; query, key and value are one matrix."""

from kbit.models.architectures.architecture import Architecture
from kbit.models.architectures.tries import run_by_position_ids

ARCHITECTURE = Architecture(
    model_type="gpt2",
    blocks="transformer.h",
    block_linears=("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"),
    after_blocks=("transformer.ln_f",),
    run_tries=run_by_position_ids,
)
