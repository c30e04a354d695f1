"""The architectures: one file each, listed here."""

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from kbit.models.architectures import bloom, gpt2, gpt_neox, llama, opt
from kbit.models.architectures.architecture import Architecture
from kbit.spec.errors import choice_error

ARCHITECTURES: dict[str, Architecture] = {
    file.ARCHITECTURE.model_type: file.ARCHITECTURE for file in (bloom, gpt2, gpt_neox, llama, opt)
}


def find_architecture(config: PretrainedConfig) -> Architecture:
    """UserError, listing the known ones, for a model whose linear layers nobody has named yet."""
    if config.model_type not in ARCHITECTURES:
        where = f"config.json of {config.name_or_path}" if config.name_or_path else "the model's config"
        raise choice_error("model_type", config.model_type, ARCHITECTURES, where)
    return ARCHITECTURES[config.model_type]


def linears(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Path -> layer of everything that is quantized: nn.Linear and Conv1D inside the blocks."""
    return find_architecture(model.config).linears(model)
