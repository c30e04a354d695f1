"""CPU-seconds of the stages of a worker's life, as JSON: `python bench/shard_stages.py SHARD`, in a study's folder.

A process of its own, because imports are what a small shard spends most of its time on. Everything is imported where
its time is taken.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

LAPS = {"start of the interpreter": time.process_time()}


@contextmanager
def lap(name: str) -> Iterator[None]:
    """Add the block's CPU time to a stage."""
    began = time.process_time()
    yield
    LAPS[name] = LAPS.get(name, 0.0) + time.process_time() - began


def import_all() -> None:
    from kbit.evaluation.imports import import_quickly

    with lap("import torch"):
        import_quickly("torch")
    with lap("import lm-eval's tasks, with datasets and pandas"):
        import_quickly("lm_eval.api.task")
    with lap("import transformers' models, and kbit"):
        import_quickly("kbit.evaluation.bench", "kbit.models.open_engine")


def evaluate(path: Path) -> None:
    """Every cell of a shard, as a worker evaluates it, but for the journal."""
    from kbit.evaluation.bench import read_locator
    from kbit.evaluation.evaluate import evaluate_task
    from kbit.evaluation.requests import read_requests
    from kbit.models.open_engine import open_engine
    from kbit.store.paths import requests_path
    from kbit.store.shard_file import read_shard

    shard = read_shard(path)
    with lap("open the model"):
        engine = open_engine(read_locator(shard.model), shard.dtype, "cpu")
    with lap("read the requests"):
        asked = {cell.task: read_requests(requests_path(cell.task, cell.requests)) for cell in shard.cells}
    for spec in dict.fromkeys(cell.spec for cell in shard.cells):
        with ExitStack() as stack:
            with lap("quantize"):
                stack.enter_context(engine.quantized(spec))
            for task, requests in asked.items():
                with lap(f"score {task}, with lm-eval's metrics"):
                    evaluate_task(engine, requests, shard.token_budget)


def main() -> None:
    import_all()
    import torch

    torch.set_num_threads(1)
    evaluate(Path(sys.argv[1]))
    print(json.dumps({name: round(seconds, 3) for name, seconds in LAPS.items()}))


if __name__ == "__main__":
    main()
