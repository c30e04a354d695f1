"""What a model reads in one pass: rows of tokens, plain causal ones or tries."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class ModelInputs:
    """The tokens of one batch.

    A plain row is a text: token j attends to every token i <= j. A row of shared prefixes is the trie of several texts
    in depth-first order, in which a token they have in common stands once: token j attends to its ancestors alone,
    which are the tokens i <= j whose subtree has not ended, j < ends[i].
    """

    tokens: Tensor
    """int64 [rows, length], padded on the right, where nothing that is scored looks."""
    positions: Tensor | None = None
    """int64 [rows, length]: how many tokens of its text stand before each token; None: 0, 1, 2, ... of plain rows."""
    ends: Tensor | None = None
    """int64 [rows, length]: where the subtree of each token ends, exclusive; None: plain rows."""
