"""A web server that answers the Hugging Face hub's own routes, for the clients of huggingface_hub and datasets.

Repositories of models and data sets at commits: information, file tree, files. Large files are answered as the hub
does, by a redirect with their sha256; the others with git's sha1 of their content.
"""

import hashlib
import json
import os
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".safetensors", ".bin", ".parquet", ".gz")


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repository:
    """One repository at one commit."""

    kind: str
    """model or dataset."""
    hub_id: str
    files: dict[str, bytes]
    commit: str = ""
    """40 hex digits; a digest of the files if none is given."""
    gated: bool = False
    """Listed for everybody, its files for nobody who logs in with another token than `hf_accepted`."""
    damaged: dict[str, bytes] = field(default_factory=dict)
    """Sent instead of a file's content, which the tree still describes."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Stated instead of a file's size."""

    def __post_init__(self) -> None:
        self.commit = self.commit or hashlib.sha1(repr(sorted(self.files.items())).encode()).hexdigest()

    @property
    def prefix(self) -> str:
        """What stands before the id in the address of a file."""
        return "" if self.kind == "model" else f"{self.kind}s/"

    def information(self) -> dict[str, object]:
        siblings = [{"rfilename": name} for name in sorted(self.files)]
        return {"id": self.hub_id, "sha": self.commit, "siblings": siblings, "gated": self.gated and "manual"}

    def entry(self, name: str) -> dict[str, object]:
        content = self.files[name]
        entry = {"type": "file", "path": name, "size": self.sizes.get(name, len(content)), "oid": git_sha1(content)}
        if name.endswith(LARGE):
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": entry["size"], "pointerSize": 130}
        return entry

    def tree(self, folder: str, recursive: bool) -> list[dict[str, object]]:
        inside = f"{folder}/" if folder else ""
        names = [name for name in sorted(self.files) if name.startswith(inside)]
        below = {inside + name.removeprefix(inside).partition("/")[0] for name in names if "/" in name[len(inside) :]}
        folders = [{"type": "directory", "path": name, "size": 0, "oid": git_sha1(name.encode())} for name in below]
        return folders + [self.entry(name) for name in names if recursive or "/" not in name[len(inside) :]]


class HubServer:
    """The hub, on a port of this machine, for as long as the `with` block lasts."""

    def __init__(self) -> None:
        self.repositories: list[Repository] = []
        self.asked: list[str] = []
        """Every request so far, such as `GET /api/models/some-org/small`."""

    def add(self, kind: str, hub_id: str, source: Path | dict[str, bytes], **values: object) -> Repository:
        """Add a repository, or a further commit of one; source: a folder, or contents by name."""
        if isinstance(source, Path):
            names = [path for path in sorted(source.rglob("*")) if path.is_file()]
            source = {path.relative_to(source).as_posix(): path.read_bytes() for path in names}
        repository = Repository(kind, hub_id, dict(source), **values)
        self.repositories.append(repository)
        return repository

    def __enter__(self) -> "HubServer":
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.hub = self
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def environment(self, home: Path) -> dict[str, str]:
        """The environment of a process that talks to this hub and caches in `home`; the suite's own is offline."""
        kept = {key: value for key, value in os.environ.items() if "OFFLINE" not in key and "proxy" not in key.lower()}
        return kept | {"HF_ENDPOINT": self.address, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub: HubServer = self.server.hub
        hub.asked.append(f"{self.command} {self.path}")
        parts = urlsplit(self.path)
        path, query = unquote(parts.path).strip("/"), parse_qs(parts.query)
        for kind, hub_id in dict.fromkeys((each.kind, each.hub_id) for each in hub.repositories):
            commits = [each for each in hub.repositories if (each.kind, each.hub_id) == (kind, hub_id)]
            for start in (f"api/{kind}s/{hub_id}", f"{commits[0].prefix}{hub_id}"):
                if path == start or path.startswith(f"{start}/"):
                    self.answer_from(commits, path.removeprefix(start).strip("/"), query)
                    return
        # The hub does not tell who is not logged in whether a repository exists.
        self.fail(401, "RepoNotFound")

    def answer_from(self, commits: list[Repository], route: str, query: dict[str, list[str]]) -> None:
        """route: empty, revision/R, tree/R/FOLDER, paths-info/R, resolve/R/FILE, content/R/FILE; R main: the last."""
        verb, revision, name = [*route.split("/", 2), "", ""][:3]
        known = {"": commits[-1], "main": commits[-1], **{each.commit: each for each in commits}}
        if (repository := known.get(revision)) is None:
            self.fail(404, "RevisionNotFound")
        elif verb == "content":
            self.send(200, repository.damaged.get(name, repository.files[name]), {})
        elif verb == "resolve":
            self.resolve(repository, name)
        elif verb == "tree":
            self.send_json(repository.tree(name, recursive=query.get("recursive", [""])[0].lower() == "true"))
        elif verb == "paths-info":
            self.send_json(self.paths_info(repository))
        else:
            self.send_json(repository.information())

    def paths_info(self, repository: Repository) -> list[dict[str, object]]:
        body = self.body.decode()
        asked = json.loads(body)["paths"] if body.startswith("{") else parse_qs(body)["paths"]
        tree = {entry["path"]: entry for entry in repository.tree("", recursive=True)}
        return [tree[path] for path in asked if path in tree]

    def resolve(self, repository: Repository, name: str) -> None:
        if repository.gated and self.headers.get("Authorization") != "Bearer hf_accepted":
            self.fail(403 if self.headers.get("Authorization") else 401, "GatedRepo")
            return
        if name not in repository.files:
            self.fail(404, "EntryNotFound")
            return
        entry = repository.entry(name)
        headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{entry["oid"]}"'}
        if "lfs" not in entry:
            self.send(200, repository.damaged.get(name, repository.files[name]), headers)
            return
        headers |= {"X-Linked-ETag": f'"{entry["lfs"]["oid"]}"', "X-Linked-Size": str(entry["size"])}
        # Another host, as the hub's store is: clients take the headers of this answer then.
        store = f"http://localhost:{self.server.server_port}/{repository.prefix}{repository.hub_id}/content"
        self.send(302, b"", headers | {"Location": f"{store}/{repository.commit}/{name}"})

    def send_json(self, value: object) -> None:
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def fail(self, status: int, code: str) -> None:
        self.send(status, json.dumps({"error": code}).encode(), {"X-Error-Code": code})

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Keep the test's output quiet."""
