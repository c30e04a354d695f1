"""Fetch files of the hub into its cache, where offline jobs read them, and hold them to the digests the hub states."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path

from kbit.models.hub import HubFile, HubUnreachableError, Repository, hub_errors, list_files, not_written
from kbit.models.locator import Locator, model_repository
from kbit.spec.errors import UserError
from kbit.spec.models import TOKENIZER_FILES

CONFIG = "config.json"
SMALL_FILES = (CONFIG, "generation_config.json", *TOKENIZER_FILES, "added_tokens.json", "*.py")
"""What a model needs besides its weights. Python files are never run unless `--trust-remote-code` says so."""
WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
"""Weights in one file, or the index of their shards, as transformers names them; the first form that is there is taken:
a pickle (.bin) only where there is no safetensors."""
ATTEMPTS = 2
"""A damaged file is fetched again, once: a second time the damage is not the network's."""
WORKERS = 4
"""Files fetched at a time."""


def fetch_model(locator: Locator) -> list[HubFile]:
    """Fetch and verify what evaluating a hub model needs, at exactly its revision; returns the files.

    UserError, in one line: whatever keeps the model from being complete and intact in the cache.
    """
    repository = model_repository(locator)
    return with_listing(repository, lambda files, _: fetch_needed(repository, files))


def with_listing(repository: Repository, fetch: Callable[[list[HubFile], bool], list[HubFile]]) -> list[HubFile]:
    """Fetch what is needed of the files that the hub lists; where it does not answer, the cache must have it all.

    fetch: takes the listed files, and whether the hub listed them.
    """
    try:
        listing = list_files(repository)
    except HubUnreachableError as unreachable:
        if not repository.folder.is_dir():
            raise
        try:
            return fetch(cached_files(repository), False)
        except UserError as error:
            reason = str(error).removeprefix(f"{repository.what}: ")
            raise UserError(f"{unreachable}; what the hub cache has does not suffice: {reason}") from None
    return fetch(listing, True)


def fetch_needed(repository: Repository, files: Sequence[HubFile]) -> list[HubFile]:
    """Of a model's files: config, tokenizer, and weights in the best form there is."""
    listing = {file.name: file for file in files}
    if CONFIG not in listing:
        raise UserError(f"{repository.what}: {repository.place} holds no {CONFIG}, so it is no model of transformers")
    first = find_weights(listing, repository)
    wanted = {first} | {name for name in listing if "/" not in name and matches(name, SMALL_FILES)}
    fetch_files(repository, [listing[name] for name in sorted(wanted)])
    shards = shard_names(repository.folder / first)
    if missing := sorted(shards - listing.keys()):
        raise UserError(f"{repository.what}: {repository.place} lacks {missing[0]}, which its {first} names")
    fetch_files(repository, [listing[name] for name in sorted(shards)])
    return [listing[name] for name in sorted(wanted | shards)]


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def find_weights(names: Collection[str], repository: Repository) -> str:
    """The file of the weights, or the index of their shards."""
    for name in (name for form in WEIGHTS for name in form):
        if name in names:
            return name
    accepted = ", ".join(name for form in WEIGHTS for name in form)
    raise UserError(f"{repository.what}: {repository.place} holds no weights that can be read ({accepted})")


def shard_names(file: Path) -> set[str]:
    """The files that an index names; none if `file` is no index."""
    if file.suffix != ".json":
        return set()
    try:
        names = set(map(str, json.loads(file.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is not an index of weights: {error!r}") from None
    if wrong := sorted(name for name in names if not re.fullmatch(r"[\w.-]+\.(safetensors|bin)", name)):
        raise UserError(f"{file} names {wrong[0]!r}, which is no file of weights")
    return names


def fetch_files(repository: Repository, files: Sequence[HubFile]) -> None:
    """Have the files in the cache, each of exactly the content that the hub states; what is there is only verified."""
    for attempt in range(ATTEMPTS):
        damaged = [file for file in files if not is_intact(repository.folder / file.name, file)]
        if not damaged:
            return
        check_space(repository, damaged)
        download(repository, damaged, again=attempt > 0)
    raise_damaged(repository, files)


def raise_damaged(repository: Repository, files: Iterable[HubFile]) -> None:
    for file in files:
        if not is_intact(repository.folder / file.name, file):
            raise UserError(
                f"{repository.what}: {file.name} of {repository.place} was fetched {ATTEMPTS} times and never was what "
                f"the hub says ({file.algorithm} {file.digest}): a proxy, or the disk of the hub cache, alters it"
            )


def download(repository: Repository, files: Sequence[HubFile], again: bool) -> None:
    """`again` also replaces what lies in the cache: it is damaged."""
    from huggingface_hub import hf_hub_download, is_offline_mode

    if is_offline_mode():
        raise UserError(f"{repository.what}: {files[0].name} is damaged")

    def download_one(file: HubFile) -> None:
        replaces = again or (repository.folder / file.name).exists()
        hf_hub_download(
            repository.hub_id,
            file.name,
            repo_type=repository.kind,
            revision=repository.commit,
            force_download=replaces,
        )

    with (
        hub_errors(repository.what, repository.address, repository.commit, "fetching"),
        ThreadPoolExecutor(WORKERS) as pool,
    ):
        list(pool.map(download_one, files))


def check_space(repository: Repository, files: Sequence[HubFile]) -> None:
    """A disk that fills up after hours of downloading is known before."""
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE)
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(repository.what, error) from None
    needed, free = sum(file.size for file in files), shutil.disk_usage(cache).free
    if needed > free:
        raise UserError(
            f"{repository.what}: {repository.place} needs {needed / 1e9:,.1f} GB more in the hub cache {cache}, whose "
            f"disk has {free / 1e9:,.1f} GB free: free some space, or set HF_HOME to a larger disk"
        )


def is_intact(path: Path, file: HubFile) -> bool:
    """Whether a cached file has the size and the digest that the hub states."""
    return path.is_file() and path.stat().st_size == file.size and digest(path, file.algorithm) == file.digest


def digest(path: Path, algorithm: str) -> str:
    """sha256 of the content, or git's sha1 of a blob: of `blob`, the size, a zero byte and the content."""
    with path.open("rb") as stream:
        if algorithm == "sha256":
            return hashlib.file_digest(stream, "sha256").hexdigest()
        content = stream.read()
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()


def cached_files(repository: Repository) -> list[HubFile]:
    """The files of the commit that an earlier fetch, here or where the cache was copied from, has left."""
    paths = sorted(path for path in repository.folder.rglob("*") if path.is_file())
    return [cached_file(path, repository.folder) for path in paths]


def cached_file(path: Path, folder: Path) -> HubFile:
    """A cached file as the hub described it when it was fetched: the cache is links to contents named by digest."""
    name = path.readlink().name if path.is_symlink() else ""
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name):
        # A file system without links, where nothing says what the content should be.
        name = digest(path, "sha256")
    algorithm = "sha256" if len(name) == 64 else "git-sha1"
    return HubFile(path.relative_to(folder).as_posix(), path.stat().st_size, algorithm, name)
