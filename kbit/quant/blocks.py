"""How a weight is cut into blocks."""

from torch import Tensor

from kbit.spec.quant import QuantSpec


def weights_per_block(weight: Tensor, spec: QuantSpec) -> int:
    """Consecutive weights that share one scale."""
    match spec.block_size:
        case "row":
            return weight.shape[-1]
        case "tensor":
            return weight.numel()
        case block_size:
            return block_size
