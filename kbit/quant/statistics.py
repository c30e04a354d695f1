"""What a spec may need of a layer beside its weight. Who knows the model works it out (`kbit.models`)."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """Of one linear layer. What a member needs is said in `kbit.spec.members.Member.statistics`; the rest is None."""

    feeder_std: Tensor | None = None
    """f32 [in]: standard deviation of the weights of the hidden unit that feeds each input dimension."""
    second_moments: Tensor | None = None
    """f32 or f64 [in, in]: mean of x x^T over calibration inputs x of the layer."""


NO_STATISTICS = Statistics()
