"""The sequences of a calibration text as a model reads them."""

import numpy as np
import torch

from kbit.evaluation.requests import Requests
from kbit.models.inputs import ModelInputs
from kbit.spec.errors import UnsupportedError

BATCH_TOKENS = 2048
"""Of one batch; part of what a calibrated spec means, as sums of other batches round otherwise: never the job's."""


def calibration_batches(requests: Requests, max_length: int, device: torch.device) -> list[ModelInputs]:
    """All sequences, plain rows of one length. UnsupportedError: they are longer than the model reads."""
    length = requests.window
    if length > max_length:
        raise UnsupportedError(f"calibration sequences have {length} tokens, the model reads at most {max_length}")
    pairs = zip(requests.contexts, requests.continuations, strict=True)
    tokens = torch.from_numpy(np.stack([np.concatenate(pair) for pair in pairs])).to(device)
    return [ModelInputs(rows) for rows in tokens.split(max(1, BATCH_TOKENS // length))]
