"""Where our CPU time goes: the stages of a shard, and the functions of scoring alone."""

import cProfile
import io
import json
import pstats
import subprocess
import sys
import time
from pathlib import Path

from items import as_requests
from scoring_alone import choice_requests
from whole_study import ENVIRONMENT, ROOT

FUNCTIONS = 12


def profile_shard(folder: Path) -> dict[str, float]:
    """CPU-seconds of each stage of a worker's life, in a process of its own."""
    (shard,) = folder.glob("results/shards/*/*.json")
    command = [sys.executable, str(Path(__file__).with_name("shard_stages.py")), str(shard.relative_to(folder))]
    done = subprocess.run(
        command, cwd=folder, env={**ENVIRONMENT, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def profile_scoring(model_folder: Path, token_budget: int) -> dict[str, list[str]]:
    """The functions in which scoring 4-choice items spends its CPU time: share of it, calls, name."""
    from kbit.evaluation.scorer import score
    from kbit.models.corpus import read_runs, tokenize_runs
    from kbit.models.load import load_model
    from kbit.models.resident import Resident
    from kbit.models.tokenizer import load_tokenizer

    locator = {"name": model_folder.name, "path": str(model_folder), "hub_id": None, "revision": None}
    engine = Resident(load_model(locator, "float32", "cpu"))
    stream = tokenize_runs(load_tokenizer(locator), read_runs("test"))
    asked = [as_requests(choice_requests(stream, 100)) for _ in range(4)]
    score(engine, asked[0], token_budget)
    profile = cProfile.Profile(time.process_time)
    for requests in asked[1:]:
        profile.runcall(score, engine, requests, token_budget)
    return {"choice": hottest(profile)}


def hottest(profile: cProfile.Profile) -> list[str]:
    found = pstats.Stats(profile, stream=io.StringIO()).stats
    total = sum(own for _, _, own, _, _ in found.values())
    ranked = sorted(found.items(), key=lambda entry: -entry[1][2])[:FUNCTIONS]
    return [f"{own / total:.1%} in {calls} calls of {name}" for (_, _, name), (calls, _, own, _, _) in ranked]
