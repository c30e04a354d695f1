"""What a spec may need of a layer beside its weight. Who knows the model works it out (`kbit.models`)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """Of one linear layer. What a member needs is said in `kbit.spec.members.Member.statistics`; the rest is None."""

    feeder_std: Tensor | None = None
    """f32 [in]: standard deviation of the weights of the hidden unit that feeds each input dimension."""
    second_moments: Tensor | None = None
    """f32 or f64 [in, in]: mean of x x^T over calibration inputs x of the layer."""

    def rotated(self, rotate: Callable[[Tensor], Tensor]) -> "Statistics":
        """Of the layer whose weight and inputs are rotated. rotate: [n, in] -> [n, in], see `kbit.quant.rotations`."""
        if self.second_moments is None:
            return self
        return replace(self, second_moments=rotate(rotate(self.second_moments).t()))


NO_STATISTICS = Statistics()
