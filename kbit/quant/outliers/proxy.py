"""`proxy`: the paper's rule. A hidden unit whose weights spread widely is expected to put out outliers."""

from torch import Tensor

from kbit.quant.statistics import Statistics


def rank(_: Tensor, statistics: Statistics) -> Tensor:
    """The weight std of the hidden unit that feeds each input dimension. f32 [in].

    Dettmers & Zettlemoyer (2023), Eq. 2: J_(i+1) = argmax_top-k std(W_i), the std of each output of the layer before.
    """
    if statistics.feeder_std is None:
        raise ValueError("outlier_rule proxy ranks by feeder_std, which the caller did not pass")
    return statistics.feeder_std
