"""A bucket in this process, by the JSON interface of Google's object store: names and bytes, no folders, generations.

What TensorStore, gcsfs and Orbax ask is answered as that store answers it. Conditions on generations hold, unlike in
the emulators of the package index. As some tools leave it, every folder has an object whose name ends in "/".
"""

import itertools
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 100
"""Names in a page of a listing: few, so that tests meet the second one."""


@dataclass
class Bucket:
    """Objects by name, each with its generation, and what was asked.

    Attributes:
        refuse: with which status requests are answered instead; 0 for none.
        refused: requests for names with this in them are answered with 403; "" for none.
        flaky: every so-many-th request is answered with 503, as a busy store does; 0 for none.
    """

    name: str = "bucket"
    objects: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    sessions: dict[str, tuple[str, bytearray]] = field(default_factory=dict)
    refuse: int = 0
    refused: str = ""
    flaky: int = 0
    requests: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    generations: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    address: str = ""

    def empty(self) -> None:
        with self.lock:
            self.objects.clear()
            self.requests.clear()
            self.refuse = self.flaky = 0
            self.refused = ""

    def names(self, prefix: str = "") -> list[str]:
        """Of the objects that someone wrote."""
        with self.lock:
            return sorted(name for name in self.objects if name.startswith(prefix) and not name.endswith("/"))

    def __getitem__(self, name: str) -> bytes:
        return self.objects[name][0]

    def __setitem__(self, name: str, content: bytes) -> None:
        with self.lock:
            self.objects[name] = (content, next(self.generations))
            for end in (match.end() for match in re.finditer("/", name)):
                self.objects.setdefault(name[:end], (b"", next(self.generations)))

    def generation(self, name: str) -> int:
        return self.objects[name][1] if name in self.objects else 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer in one piece and at once: in two, each waits 40 ms for the other end's word on the one before.
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    bucket: Bucket

    def do_GET(self) -> None:
        self._serve(self._list_or_read)

    def do_POST(self) -> None:
        self._serve(self._write)

    def do_PUT(self) -> None:
        self._serve(self._carry_on)

    def do_DELETE(self) -> None:
        self._serve(self._delete)

    def _serve(self, answer: Any) -> None:
        url = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = re.fullmatch(r"(?:/upload|/download)?/storage/v1/b/([^/]+)(?:/o(?:/(.*))?)?/?", url.path)
        here, self.name = (found[1], unquote(found[2] or "")) if found else ("", "")
        with self.bucket.lock:
            self.bucket.requests.append(f"{self.command} {self.path}")
            count = len(self.bucket.requests)
            if self.bucket.refuse:
                self._fail(self.bucket.refuse)
            elif self.bucket.refused and self.bucket.refused in self.name:
                self._fail(403)
            elif self.bucket.flaky and count % self.bucket.flaky == 0:
                self._fail(503)
            elif here != self.bucket.name:
                self._fail(404, "The specified bucket does not exist.")
            elif "/o" not in url.path:
                self._json({"kind": "storage#bucket", "name": here, "location": "US"})
            else:
                answer()

    def _list_or_read(self) -> None:
        if not self.name:
            self._list()
        elif self.name not in self.bucket.objects:
            self._fail(404, f"No such object: {self.name}")
        elif self.query.get("alt") == "media":
            self._content()
        else:
            self._json(self._metadata(self.name))

    def _content(self) -> None:
        content, generation = self.bucket.objects[self.name]
        if self.query.get("ifGenerationNotMatch") == str(generation):
            self._send(304, b"", {})
            return
        headers = {"x-goog-generation": str(generation), "Content-Type": "application/octet-stream"}
        if asked := re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "")):
            begin = int(asked[1]) if asked[1] else max(0, len(content) - int(asked[2]))
            end = int(asked[2]) + 1 if asked[1] and asked[2] else len(content)
            if begin >= len(content):
                self._fail(416)
                return
            part = content[begin:end]
            place = f"bytes {begin}-{begin + len(part) - 1}/{len(content)}"
            self._send(206, part, headers | {"Content-Range": place})
        else:
            self._send(200, content, headers)

    def _list(self) -> None:
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter", "")
        first = max(self.query.get("startOffset", ""), self.query.get("pageToken", ""))
        last = self.query.get("endOffset", "")
        items, prefixes, after = [], [], ""
        size = min(PAGE, int(self.query.get("maxResults") or PAGE))
        for name in sorted(self.bucket.objects):
            if not name.startswith(prefix) or name < first or (last and name >= last):
                continue
            if len(items) + len(prefixes) == size:
                after = name
                break
            cut = name.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0 or (name.endswith(delimiter) and self.query.get("includeTrailingDelimiter") == "true"):
                items.append(self._metadata(name))
            elif (folder := name[: cut + 1]) not in prefixes:
                prefixes.append(folder)
        page = {"kind": "storage#objects", "items": items, "prefixes": prefixes}
        self._json(page | ({"nextPageToken": after} if after else {}))

    def _write(self) -> None:
        if "upload_id" in self.query:
            self._carry_on()
            return
        kind, name, content = self.query.get("uploadType", "media"), self.query.get("name", ""), self.body
        if kind == "multipart":
            boundary = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])
            _, head, rest = self.body.split(b"--" + boundary[1].encode(), 2)  # type: ignore[index]
            end = rest.rfind(b"\n--" + boundary[1].encode())  # type: ignore[index]
            name = json.loads(re.split(rb"\r?\n\r?\n", head, maxsplit=1)[1])["name"]
            content = re.split(rb"\r?\n\r?\n", rest[:end].removesuffix(b"\r"), maxsplit=1)[1]
        elif kind == "resumable":
            name = name or json.loads(self.body)["name"]
            session = str(len(self.bucket.sessions))
            self.bucket.sessions[session] = (name, bytearray())
            place = f"{self.bucket.address}/upload/storage/v1/b/{self.bucket.name}/o?upload_id={session}"
            self._send(200, b"", {"Location": place})
            return
        self._put(name, content)

    def _carry_on(self) -> None:
        """A part of a resumable upload."""
        name, content = self.bucket.sessions[self.query["upload_id"]]
        content += self.body
        if self.headers["Content-Range"].endswith("/*"):
            self._send(308, b"", {"Range": f"bytes=0-{len(content) - 1}"})
        else:
            self._put(name, bytes(content))

    def _put(self, name: str, content: bytes) -> None:
        if self._agreed(name):
            self.bucket[name] = content
            self._json(self._metadata(name))

    def _delete(self) -> None:
        if self._agreed(self.name):
            there = self.bucket.objects.pop(self.name, None)
            self._send(204, b"", {}) if there else self._fail(404, f"No such object: {self.name}")

    def _agreed(self, name: str) -> bool:
        """Whether the object is of the generation that the request asks for."""
        if self.query.get("ifGenerationMatch", generation := str(self.bucket.generation(name))) == generation:
            return True
        self._fail(412, "At least one of the pre-conditions you specified did not hold.")
        return False

    def _metadata(self, name: str) -> dict[str, str]:
        content, generation = self.bucket.objects[name]
        when = dict.fromkeys(("timeCreated", "updated"), "2026-01-01T00:00:00.000Z")
        its = {"name": name, "bucket": self.bucket.name, "size": str(len(content)), "generation": str(generation)}
        return {"kind": "storage#object", **its, "metageneration": "1", **when}

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json; charset=UTF-8"})

    def _fail(self, code: int, message: str = "refused") -> None:
        error = {"error": {"code": code, "message": message, "errors": [{"message": message}]}}
        self._send(code, json.dumps(error).encode(), {"Content-Type": "application/json; charset=UTF-8"})

    def _send(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):  # it asked twice, and the other answer was enough
            self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed, or has no more use for an answer, is no fault of the server's."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def served() -> Iterator[Bucket]:
    """Yield an empty bucket, called "bucket", that is served as long as the block runs."""
    bucket = Bucket()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"bucket": bucket}))
    bucket.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()


def environment(bucket: Bucket) -> dict[str, str]:
    """What leads TensorStore and gcsfs to it, without credentials."""
    return {"TENSORSTORE_GCS_HTTP_URL": bucket.address, "STORAGE_EMULATOR_HOST": bucket.address}
