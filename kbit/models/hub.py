"""The Hugging Face hub: what it says of a repository, where its files are cached, and its errors in one line each."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kbit.spec.errors import UserError

HUB_SECONDS = 30
"""Patience with the hub's answer."""
COMMIT = re.compile(r"[0-9a-f]{40}")
ELSEWHERE = "fetch where there is a network, into a cache that this machine sees or gets a copy of (HF_HOME)"


class HubUnreachableError(UserError):
    """No answer: there is no network here, or it was switched off."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of the hub at one commit."""

    what: str
    """How messages call it, such as `model 'opt-125m'`."""
    kind: Literal["model", "dataset"]
    hub_id: str
    commit: str

    def __post_init__(self) -> None:
        """A branch or tag moves: what it names today is nobody's identity."""
        if not COMMIT.fullmatch(self.commit):
            raise UserError(
                f"{self.what}: revision {self.commit!r} of {self.hub_id} is no commit (40 hex digits): "
                "`kbit pin` writes the commit that a branch or tag stands for"
            )

    @property
    def folder(self) -> Path:
        """Where the hub's cache has the files of this commit, there or not."""
        from huggingface_hub.constants import HF_HUB_CACHE

        name = "--".join([f"{self.kind}s", *self.hub_id.split("/")])
        return Path(HF_HUB_CACHE, name, "snapshots", self.commit)

    @property
    def address(self) -> str:
        """Of its page on the hub, without the host."""
        return self.hub_id if self.kind == "model" else f"{self.kind}s/{self.hub_id}"

    @property
    def place(self) -> str:
        return f"{self.hub_id} at {self.commit[:12]}"


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository, as the hub describes it."""

    name: str
    size: int
    """Bytes."""
    algorithm: Literal["sha256", "git-sha1"]
    """Large files have their sha256; the others the sha1 that git gives a blob."""
    digest: str


def list_files(repository: Repository) -> list[HubFile]:
    """All files at the commit, as the hub says. UserError in one line if it does not."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    with hub_errors(repository.what, repository.address, repository.commit, "fetching"):
        tree = HfApi().list_repo_tree(
            repository.hub_id, recursive=True, revision=repository.commit, repo_type=repository.kind
        )
        return [describe_file(entry) for entry in tree if isinstance(entry, RepoFile)]


def describe_file(entry: object) -> HubFile:
    if entry.lfs is not None:
        return HubFile(entry.path, entry.lfs.size, "sha256", entry.lfs.sha256)
    return HubFile(entry.path, entry.size, "git-sha1", entry.blob_id)


@contextmanager
def hub_errors(what: str, hub_id: str, revision: str | None, activity: str) -> Iterator[None]:
    """Turn what the hub's client raises into one line that says what to do.

    hub_id: of a data set with `datasets/` before it, as in its address.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except RevisionNotFoundError:
        raise UserError(
            f"{what}: {hub_id} has no revision {revision!r} on the hub (revision in its data sheet)"
        ) from None
    except GatedRepoError:
        raise UserError(
            f"{what}: {hub_id} is gated: accept its terms on {constants.ENDPOINT}/{hub_id}, then log in here as the "
            "same user (`hf auth login`, or HF_TOKEN)"
        ) from None
    except RepositoryNotFoundError:
        raise UserError(
            f"{what}: the hub knows no {hub_id!r}, or it is private and asks for a login (`hf auth login`, or HF_TOKEN)"
        ) from None
    except OfflineModeIsEnabled:
        raise HubUnreachableError(
            f"{what}: {activity} needs the network, which HF_HUB_OFFLINE=1 forbids: unset it, or {ELSEWHERE}"
        ) from None
    except (HfHubHTTPError, ValueError) as error:
        if is_busy(error):
            raise unreachable(what, activity, error) from None
        raise UserError(f"{what}: the hub refuses {hub_id}: {one_line(error)}") from None
    except (HTTPError, ConnectionError, LocalEntryNotFoundError) as error:
        raise unreachable(what, activity, error) from None
    except OSError as error:
        raise not_written(what, error) from None


def is_busy(error: Exception) -> bool:
    """The hub answers, but not now: an error of its own, or too many requests."""
    response = getattr(error, "response", None)
    return response is not None and (response.status_code >= 500 or response.status_code == 429)


def unreachable(what: str, activity: str, error: Exception) -> HubUnreachableError:
    from huggingface_hub import constants

    return HubUnreachableError(
        f"{what}: the hub ({constants.ENDPOINT}) cannot be reached, {activity} needs the network ({one_line(error)}): "
        f"try again, or {ELSEWHERE}"
    )


def not_written(what: str, error: OSError) -> UserError:
    """A disk that is full or fails; without an error number it is the client's word for an answer cut short."""
    from huggingface_hub.constants import HF_HUB_CACHE

    if error.errno is None:
        return UserError(f"{what}: its download broke off ({one_line(error)}): try again")
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = ": free some space, or set HF_HOME to a larger disk" if full else ""
    return UserError(f"{what}: it cannot be stored in the hub cache {HF_HUB_CACHE} ({one_line(error)}){remedy}")


def one_line(error: Exception) -> str:
    """The reason without line breaks, the innermost one."""
    error = innermost(error)
    return " ".join(str(error).split())[:300] or type(error).__name__


def innermost(error: Exception) -> Exception:
    """The error that helps: clients and data loaders wrap it."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error
