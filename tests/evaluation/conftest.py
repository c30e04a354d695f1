"""Real tasks and real models, as a study's locators name them, and lm-eval's own runner as the oracle.

Tasks whose data lies on the hub are lm-eval's own definitions over the few handwritten items in datasets/<task>/, which
have the columns and the split of the real data set (datasets/README.md).
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    OPTConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from kbit.evaluation.requests import Requests, build_requests, read_requests
from kbit.models.load import load_model
from kbit.models.tokenizer import load_tokenizer
from kbit.spec.requests import REQUESTS_VERSION
from kbit.spec.section import load_section
from kbit.spec.tasks import TaskEntry, TasksFile, resolve_task

ROOT = Path(__file__).parents[2]
TASKS_FILE = ROOT / "config" / "tasks.yaml"
DATASETS = Path(__file__).parent / "datasets"


@cache
def model_locator(name: str) -> dict:
    path = ROOT / "data" / "models" / name
    return {"name": name, "model_id": f"local-{name}", "hub_id": None, "revision": None, "path": str(path)}


def requests_spec(task: dict, model: str) -> dict:
    """What `RequestsSpec.to_json()` gives for a task's locator and an embedded model."""
    return {
        "requests_version": REQUESTS_VERSION,
        "task": task,
        "task_identity": f"identity of {task['name']}",
        "tokenizer_id": f"tokenizer of {model}",
        "model": model_locator(model),
    }


@pytest.fixture(scope="session")
def task_locator() -> Callable[[str, int | None], dict]:
    """Locator of a task of config/tasks.yaml."""
    entries = {entry.name: entry for entry in load_section(TasksFile, TASKS_FILE).tasks}
    return lambda name, item_limit: resolve_task(entries[name], item_limit, TASKS_FILE).locator()


@pytest.fixture(scope="session")
def spec_of() -> Callable[[dict, str], dict]:
    return requests_spec


@pytest.fixture(scope="session")
def requests_of(task_locator, tmp_path_factory) -> Callable[..., Requests]:
    """Requests of an embedded task in the embedded models' tokenizer, through a file."""

    @cache
    def build(name: str, item_limit: int, model: str = "neox-32x2") -> Requests:
        path = tmp_path_factory.mktemp("requests") / f"{name}.parquet"
        build_requests(requests_spec(task_locator(name, item_limit), model), path)
        return read_requests(path)

    return build


def on_disk(entry: TaskEntry, *data_files: Path) -> TaskEntry:
    """A task of the hub as a user states it who has its data on disk."""
    hub = {"dataset": None, "dataset_name": None, "revision": None}
    return TaskEntry.model_validate({**entry.model_dump(), **hub, "data_files": [str(file) for file in data_files]})


@pytest.fixture(scope="session")
def real_task_locator() -> Callable[..., dict]:
    """Locator of one of lm-eval's tasks over its items in datasets/, or over the files given."""
    entries = {entry.name: entry for entry in load_section(TasksFile, TASKS_FILE).tasks}

    def locate(name: str, *data_files: Path) -> dict:
        entry = on_disk(entries[name], *(data_files or (DATASETS / name).iterdir()))
        return resolve_task(entry, None, TASKS_FILE).locator()

    return locate


@pytest.fixture(scope="session")
def real_task_requests(real_task_locator, tmp_path_factory) -> Callable[..., Requests]:
    """Requests of one of lm-eval's tasks over its items in datasets/, in the tokenizer of an embedded model."""

    @cache
    def build(name: str, model: str = "neox-32x2") -> Requests:
        path = tmp_path_factory.mktemp("requests") / f"{name}.parquet"
        build_requests(requests_spec(real_task_locator(name), model), path)
        return read_requests(path)

    return build


@pytest.fixture(scope="session")
def embedded_model() -> Callable[[str], PreTrainedModel]:
    """An embedded model in float32. Shared: a test that changes weights loads its own."""
    return cache(lambda name: load_model(model_locator(name), "float32", "cpu"))


def random_config(architecture: str, context: int) -> PretrainedConfig:
    size = {"vocab_size": 1024, "bos_token_id": 0, "eos_token_id": 0, "hidden_size": 32}
    common = {"num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": context}
    configs = {
        "gpt_neox": lambda: GPTNeoXConfig(intermediate_size=64, **size, **common),
        "gpt2": lambda: GPT2Config(n_layer=2, n_head=2, n_positions=context, **size),
        # As in opt-350m alone: the head sees what project_out makes of the last block, and norms come after.
        "opt": lambda: OPTConfig(ffn_dim=64, word_embed_proj_dim=16, do_layer_norm_before=False, **size, **common),
        "bloom": lambda: BloomConfig(n_layer=2, n_head=2, seq_length=context, **size),
        "llama": lambda: LlamaConfig(intermediate_size=64, num_key_value_heads=1, **size, **common),
    }
    return configs[architecture]()


@pytest.fixture(scope="session")
def random_model() -> Callable[[str, int], PreTrainedModel]:
    """A tiny model of an architecture and context length, untrained, in float32, with the vocabulary of the embedded
    models. Shared: a test that changes weights makes a copy."""

    @cache
    def make(architecture: str, context: int) -> PreTrainedModel:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(random_config(architecture, context), dtype=torch.float32).eval()
        with torch.no_grad():  # freshly initialised models are nearly uniform: make predictions that matter
            for parameter in model.parameters():
                parameter.mul_(4)
        return model.requires_grad_(False)

    return make


@pytest.fixture(scope="session")
def embedded_tokenizer() -> PreTrainedTokenizerBase:
    return load_tokenizer(model_locator("neox-32x2"))


@pytest.fixture(scope="session")
def fresh_model() -> Callable[[str], PreTrainedModel]:
    return lambda name: load_model(model_locator(name), "float32", "cpu")
