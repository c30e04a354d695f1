"""Where things lie, relative to the folder a study is run in. Shared results carry no study's name."""

from pathlib import Path

RESULTS = Path("results")


def part_path(model: str, slice_name: str, key: str) -> Path:
    return RESULTS / "parts" / model / f"{slice_name}.{key}.parquet"


def published_path(publication: str, key: str) -> Path:
    """The part made of a published table: a copy of what its CSV says, so that no journal stands behind it."""
    return RESULTS / "published" / f"{publication}.{key}.parquet"


def shard_path(model: str, slice_name: str, key: str) -> Path:
    return RESULTS / "shards" / model / f"{slice_name}.{key}.json"


def journal_folder(model: str) -> Path:
    return RESULTS / "journal" / model


def shard_log_path(model: str, slice_name: str, key: str) -> Path:
    """What the last attempt at a shard wrote to standard error (workflow/rules/evaluate.smk)."""
    return RESULTS / "logs" / "evaluate" / model / f"{slice_name}.{key}.log"


def locator_path(model: str) -> Path:
    """Where a job finds the model's weights: the one file of a model that may change."""
    return RESULTS / "models" / f"{model}.json"


def fetched_model_path(model: str) -> Path:
    """Says that a model of the hub is in the hub's cache, complete and intact."""
    return RESULTS / "models" / f"{model}.fetched.json"


def task_path(task: str, digest: str) -> Path:
    """Which data set of the hub a task reads."""
    return RESULTS / "tasks" / f"{task}.{digest}.json"


def fetched_task_path(task: str, digest: str) -> Path:
    return RESULTS / "tasks" / f"{task}.{digest}.fetched.json"


def requests_path(task: str, digest: str) -> Path:
    return RESULTS / "requests" / f"{task}.{digest}.parquet"


def requests_spec_path(task: str, digest: str) -> Path:
    return RESULTS / "requests" / f"{task}.{digest}.json"


def outliers_path(model: str, key: str) -> Path:
    """What was seen of a model's hidden units."""
    return RESULTS / "outliers" / f"{model}.{key}.parquet"


def outliers_spec_path(model: str, key: str) -> Path:
    """On which text they are to be looked at."""
    return RESULTS / "outliers" / f"{model}.{key}.json"


def throughput_path() -> Path:
    """How fast models were scored, whichever study asked for them; a help for planning, no rule's input."""
    return RESULTS / "throughput.json"


def study_folder(study: str) -> Path:
    return RESULTS / "studies" / study


def tables_folder(study: str) -> Path:
    return study_folder(study) / "tables"


def fits_path(study: str) -> Path:
    return study_folder(study) / "fits.parquet"


def claims_path(study: str) -> Path:
    """What became of the paper's claims in a study."""
    return study_folder(study) / "claims.parquet"


def report_path(study: str) -> Path:
    return Path("reports") / study / "index.html"
