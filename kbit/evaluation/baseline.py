"""What the unquantized model makes of a task, kept to compare quantized ones with it (`kbit.evaluation.divergence`).

Logits of a corpus are too many to keep. The output layer is not quantized, so that they can be computed again from the
last hidden states: [n, width] in the compute dtype for n tokens scored.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from kbit.evaluation.requests import Requests
from kbit.evaluation.scorer import batches_of, score_tasks
from kbit.models.hidden_store import map_temporary_file
from kbit.spec.placement import BASELINE_BYTES
from kbit.spec.quant import CONTROL

if TYPE_CHECKING:
    from kbit.models.engine import Engine


class Baseline:
    """An observer of the unquantized model: keeps its last hidden states wherever a token is scored."""

    def __init__(self, owners: np.ndarray, token_budget: int) -> None:
        """owners: int [n], the document of every token scored, in the order of the pass."""
        self.owners = owners
        self.token_budget = token_budget
        self.states: torch.Tensor | None = None
        """[n, width] in the compute dtype, on the host."""
        self.n_seen = 0
        self.finite: list[torch.Tensor] = []

    def see(self, states: torch.Tensor, logprobs: torch.Tensor, targets: torch.Tensor) -> None:
        if self.states is None:
            self.states = make_room(len(self.owners), states.shape[1], states.dtype)
        self.states[self.n_seen : self.n_seen + len(targets)] = states.cpu()
        self.n_seen += len(targets)
        self.finite.append(are_finite(logprobs))

    @property
    def is_finite(self) -> bool:
        """Every logit of the pass is finite."""
        return all(torch.stack(self.finite).tolist())


def make_room(n: int, width: int, dtype: torch.dtype, host_bytes: int = BASELINE_BYTES) -> torch.Tensor:
    """[n, width] of undefined values on the CPU: in memory if they take at most `host_bytes`, else in a file,
    whose pages the system may write out.

    UserError: the folder for temporary files has no room.
    """
    n_bytes = n * width * dtype.itemsize
    if n_bytes <= host_bytes:
        return torch.empty(n, width, dtype=dtype)
    return map_temporary_file(n_bytes).view(dtype).view(n, width)


def are_finite(logprobs: torch.Tensor) -> torch.Tensor:
    """One bool, still on its device. None is above 0, so their sum is finite if and only if all are."""
    return torch.isfinite(logprobs.sum())


class Baselines:
    """The baselines of a job's tasks: one pass of the unquantized model each, when it is first needed."""

    def __init__(self, engine: "Engine") -> None:
        self.engine = engine
        self.of_task: dict[Requests, Baseline] = {}

    def missing(self, tasks: Sequence[Requests], token_budget: int) -> list[Requests]:
        """Tasks without a baseline in batches of this budget. Other batches would round otherwise."""
        return [task for task in tasks if task not in self.of_task or self.of_task[task].token_budget != token_budget]

    def record(self, tasks: Sequence[Requests], token_budget: int) -> None:
        """Run the tasks on the unquantized engine, which must be under no spec now, in one pass."""
        for task in tasks:
            self.of_task.pop(task, None)  # frees its states before the new ones need room
        new = [Baseline(owners_of(self.engine, task, token_budget), token_budget) for task in tasks]
        with self.engine.quantized(CONTROL):
            score_tasks(self.engine, tasks, token_budget, new)
        self.of_task.update(zip(tasks, new, strict=True))

    def budget(self, tasks: Sequence[Requests], default: int) -> int:
        """Where to begin: at the smallest budget that a baseline of these tasks had to go down to."""
        return min([default, *(self.of_task[task].token_budget for task in tasks if task in self.of_task)])


def owners_of(engine: "Engine", task: Requests, token_budget: int) -> np.ndarray:
    """int [n]: the document of every token scored, in the order of the pass."""
    return task.doc[np.concatenate([batch.owners for batch in batches_of(engine, task, token_budget)])]
