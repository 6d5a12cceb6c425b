"""A model hub on this machine that answers as huggingface_hub expects, and fails in many ways on request."""

import hashlib
import json
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 200_000  # bytes; larger files are listed with a SHA-256, as LFS files are


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Hub:
    """The files of repositories, what goes wrong, and the requests that came."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    listed_sizes: dict[str, int] = field(default_factory=dict)  # other sizes than the true ones, by file
    listed_hashes: dict[str, str] = field(default_factory=dict)
    breaks: dict[str, int] = field(default_factory=dict)  # the connection breaks off once, after this number of bytes
    resets: bool = False  # it breaks off with a reset
    extra: dict[str, bytes] = field(default_factory=dict)  # sent after the content
    redirects: str = ""  # an address to which large files are redirected, `here` for another path of this hub
    status: int = 0  # the answer to every request, with this error code
    error: str = ""
    commit: str = COMMIT
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def add(self, repository: str, folder: Path) -> None:
        self.repositories[repository] = {p.name: p.read_bytes() for p in sorted(folder.iterdir())}

    def downloaded(self, name: str) -> list[dict[str, str]]:
        """Returns the headers of the requests for the content of a file."""
        return [headers for method, path, headers in self.requests if method == "GET" and path.endswith(f"/{name}")]

    def tree(self, repository: str) -> list[dict]:
        """Returns the listing that `hf download` asks for."""
        entries = []
        for file in self.listing(repository)["siblings"]:
            entry = {"type": "file", "path": file["rfilename"], "size": file["size"], "oid": file["blobId"]}
            if lfs := file.get("lfs"):
                entry["lfs"] = {"oid": lfs["sha256"], "size": lfs["size"], "pointerSize": 134}
            entries.append(entry)
        return entries

    def listing(self, repository: str) -> dict:
        siblings = []
        for name, data in self.repositories[repository].items():
            size = self.listed_sizes.get(name, len(data))
            entry = {"rfilename": name, "size": size, "blobId": git_hash(data)}
            if len(data) > LARGE:
                sha256 = self.listed_hashes.get(name, hashlib.sha256(data).hexdigest())
                entry["lfs"] = {"size": size, "sha256": sha256, "pointerSize": 134}
            siblings.append(entry)
        return {"id": repository, "modelId": repository, "sha": self.commit, "siblings": siblings, "tags": []}


def serve(hub: Hub) -> ThreadingHTTPServer:
    """Starts the hub on a free port. The caller shuts it down."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, status: int, headers: dict[str, str], data: bytes = b"") -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append((self.command, path, dict(self.headers)))
            parts = path.strip("/").split("/")
            if hub.status:
                return self.answer(hub.status, {"X-Error-Code": hub.error} if hub.error else {})
            if parts[:2] == ["api", "models"]:
                repository = "/".join(parts[2:4])
                if repository not in hub.repositories:
                    return self.answer(404, {"X-Error-Code": "RepoNotFound"})
                if parts[4:5] == ["revision"] and "/".join(parts[5:]) not in ("main", "v1", hub.commit):
                    return self.answer(404, {"X-Error-Code": "RevisionNotFound"})
                listing = hub.tree(repository) if parts[4:5] == ["tree"] else hub.listing(repository)
                return self.answer(200, {"Content-Type": "application/json"}, json.dumps(listing).encode())
            moved = parts[0] == "elsewhere"
            parts = parts[1:] if moved else parts
            repository, name = "/".join(parts[:2]), "/".join(parts[4:])
            data = hub.repositories.get(repository, {}).get(name)
            if data is None or parts[2:4] != ["resolve", hub.commit]:
                return self.answer(404, {"X-Error-Code": "EntryNotFound"})
            large = len(data) > LARGE
            etag = hub.listed_hashes.get(name, hashlib.sha256(data).hexdigest()) if large else git_hash(data)
            size = hub.listed_sizes.get(name, len(data))
            headers = {"ETag": f'"{etag}"', "X-Repo-Commit": hub.commit, "Accept-Ranges": "bytes"}
            if large:
                headers |= {"X-Linked-Size": str(size), "X-Linked-Etag": f'"{etag}"'}
            if large and hub.redirects and not moved:
                to = hub.redirects.replace("here", "") + f"/elsewhere{path}"
                return self.answer(302, headers | {"Location": to})
            body, status = data + hub.extra.get(name, b""), 200
            if span := self.headers.get("Range"):
                start = int(span.removeprefix("bytes=").split("-")[0])
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                body, status = body[start:], 206
            headers["Content-Length"] = str(len(body))
            if self.command == "GET" and name in hub.breaks:
                self.answer(status, headers, body[: hub.breaks.pop(name)])
                self.close_connection = True
                self.wfile.flush()
                if hub.resets:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                else:
                    self.connection.shutdown(socket.SHUT_RDWR)
                return None
            return self.answer(status, headers, body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
