"""Jobs never go to the network: what they need was fetched before them, at the revision that a study pins."""

import os

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
"""Environment in which the hub's clients refuse to connect; they read it when they are imported."""


def stay_offline() -> None:
    """Keep this process, and those it starts, off the network. To be called before a client is imported."""
    os.environ.update(OFFLINE)
