"""What lies in a results folder, kind by kind. Every listing is sorted; a folder that is not there is empty."""

from pathlib import Path

from kbit.store.paths import RESULTS


def model_folders() -> list[str]:
    """Slugs of the models that have parts or journals."""
    folders = [*(RESULTS / "parts").glob("*/"), *(RESULTS / "journal").glob("*/")]
    return sorted({folder.name for folder in folders})


def parts(model: str = "*") -> list[Path]:
    return sorted((RESULTS / "parts").glob(f"{model}/[!.]*.parquet"))


def published_parts() -> list[Path]:
    """Parts made of published tables."""
    return sorted((RESULTS / "published").glob("[!.]*.parquet"))


def journals(model: str = "*") -> list[Path]:
    return sorted((RESULTS / "journal").glob(f"{model}/[!.]*.jsonl"))


def shard_files() -> list[Path]:
    return sorted((RESULTS / "shards").glob("*/[!.]*.json"))


def requests_files() -> list[Path]:
    """Requests and the specs they are built from."""
    folder = RESULTS / "requests"
    return sorted([*folder.glob("[!.]*.parquet"), *folder.glob("[!.]*.json")])


def outliers_files() -> list[Path]:
    """What was seen of hidden units, and on which text it was to be looked at."""
    folder = RESULTS / "outliers"
    return sorted([*folder.glob("[!.]*.parquet"), *folder.glob("[!.]*.json")])


def hub_files() -> list[Path]:
    """Which models and data sets there are, and the stamps of those fetched from the hub."""
    return sorted([*(RESULTS / "models").glob("[!.]*.json"), *(RESULTS / "tasks").glob("[!.]*.json")])


def study_folders() -> list[Path]:
    return sorted(folder for folder in (RESULTS / "studies").glob("*") if folder.is_dir())


def temporaries() -> list[Path]:
    """What is being written, or was when its writer died."""
    return sorted(path for path in RESULTS.rglob(".*.tmp") if path.is_file())


def modified(path: Path) -> float:
    """Unix time of a file's last change; 0 of one that is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def size(path: Path) -> int:
    """Bytes of a file; 0 of one that is gone."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
