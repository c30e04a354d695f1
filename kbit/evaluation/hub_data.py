"""The data of a task on the hub: which files of its repository it reads, fetched into the cache that offline jobs read.

Jobs hand the folder of exactly the pinned commit to `datasets.load_dataset`. Given the id of a data set, offline
`datasets` would take the latest revision it has ever prepared, whatever commit is asked for.
"""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from kbit.models.fetch import fetch_files, with_listing
from kbit.models.hub import HubFile, Repository
from kbit.spec.errors import UserError

DESCRIPTIONS = ("README.md", ".huggingface.yaml", "dataset_infos.json")
"""Files of a data set that say how its data files are to be read."""


def task_repository(locator: Mapping[str, object]) -> Repository:
    what = f"task {locator['name']!r}"
    return Repository(what, "dataset", str(locator["dataset"]), str(locator["revision"]))


def data_folder(locator: Mapping[str, object]) -> str:
    """The fetched data of a task on the hub, in the hub's cache. UserError if nothing was fetched."""
    repository = task_repository(locator)
    if not repository.folder.is_dir():
        raise UserError(
            f"{repository.what}: the data set {repository.place} is not in the hub cache ({repository.folder}): "
            "`kbit fetch STUDY` fetches it, where there is a network"
        )
    return str(repository.folder)


def fetch_task(locator: dict) -> list[HubFile]:
    """Fetch and verify the data of a task on the hub, at exactly its revision, then load it as jobs will do.

    UserError, in one line: whatever keeps the data from being complete and intact in the cache, or from being what the
    task's definition asks for.
    """
    from kbit.evaluation.task_objects import load_task

    repository = task_repository(locator)
    files = with_listing(repository, lambda listing, online: fetch_data(repository, locator, listing, online))
    with TemporaryDirectory(prefix="kbit-task-") as scratch:
        load_task(locator, Path(scratch))
    return files


def fetch_data(repository: Repository, locator: dict, listing: Sequence[HubFile], online: bool) -> list[HubFile]:
    """Of a data set's files: what describes it, and the data files of the task's configuration.

    Without the hub all that the cache has is taken for what an earlier fetch found to be needed.
    """
    by_name = {file.name: file for file in listing}
    if online:
        descriptions = [name for name in DESCRIPTIONS if name in by_name]
        fetch_files(repository, [by_name[name] for name in descriptions])
        names = {*descriptions, *data_files(repository, locator)}
    else:
        names = by_name.keys()
    files = [by_name[name] for name in sorted(names)]
    fetch_files(repository, files)
    return files


def data_files(repository: Repository, locator: dict) -> list[str]:
    """Names of the files that `datasets` reads for a task's configuration, as `datasets` itself resolves them."""
    from datasets import load_dataset_builder

    from kbit.evaluation.task_objects import one_line

    keywords = builder_keywords(locator)
    try:
        builder = load_dataset_builder(
            repository.hub_id, locator["dataset_name"], revision=repository.commit, **keywords
        )
    except Exception as error:
        # Whatever the data set's description, or its lack of data, makes the library raise.
        raise UserError(
            f"{repository.what}: the data set {repository.place} cannot be read: {one_line(error)}"
        ) from error
    start = f"hf://datasets/{repository.hub_id}@{repository.commit}/"
    urls = [url for split in (builder.config.data_files or {}).values() for url in split]
    if elsewhere := [url for url in urls if not url.startswith(start)]:
        raise UserError(
            f"{repository.what}: the data set {repository.place} reads {elsewhere[0]}, which is not its own"
        )
    return [url.removeprefix(start) for url in urls]


def builder_keywords(locator: dict) -> dict[str, object]:
    """What of the keywords that the task's definition hands to `load_dataset` says where the data is."""
    from datasets import load_dataset, load_dataset_builder

    from kbit.evaluation.task_objects import data_keywords

    how = inspect.signature(load_dataset).parameters.keys() - inspect.signature(load_dataset_builder).parameters
    return {key: value for key, value in data_keywords(locator).items() if key not in {*how, "trust_remote_code"}}
