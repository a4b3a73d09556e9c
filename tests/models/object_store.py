"""An object store in this process: names and bytes, no folders. TensorStore reaches it by HTTP, etils by fsspec."""

import io
import json
import re
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import fsspec

OBJECTS: dict[str, bytes] = {}
"""By `bucket/name`."""


def _generation(key: str) -> str:
    """Another for other content, which is all that conditions ask."""
    return "0" if key not in OBJECTS else str(1 + zlib.crc32(OBJECTS[key]))


class Google(BaseHTTPRequestHandler):
    """As much of the JSON interface of Google's store as TensorStore uses."""

    protocol_version = "HTTP/1.1"
    refused = False
    """Whether every request is answered with "forbidden"."""

    def do_GET(self) -> None:
        bucket, name, query = self._asked()
        generation = {"x-goog-generation": _generation(f"{bucket}/{name}")}
        if name is None:
            first, last = (query.get(key, [""])[0] for key in ("startOffset", "endOffset"))
            found = sorted(key.removeprefix(f"{bucket}/") for key in OBJECTS if key.startswith(f"{bucket}/"))
            found = [key for key in found if first <= key and (not last or key < last)]
            self._answer(200, json.dumps({"items": [self._metadata(bucket, key) for key in found]}).encode())
        elif (content := OBJECTS.get(f"{bucket}/{name}")) is None:
            self._answer(404, b"{}")
        elif _generation(f"{bucket}/{name}") in query.get("ifGenerationNotMatch", []):
            self._answer(304, b"")
        elif asked := re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            begin, end = int(asked[1]), int(asked[2] or len(content) - 1) + 1
            part = content[begin:end]
            place = f"bytes {begin}-{begin + len(part) - 1}/{len(content)}"
            self._answer(206, part, {"Content-Range": place, **generation})
        else:
            self._answer(200, content, generation)

    def do_POST(self) -> None:
        bucket, _, query = self._asked()
        name = query["name"][0]
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if query.get("ifGenerationMatch", [generation := _generation(f"{bucket}/{name}")]) != [generation]:
            self._answer(412, b"{}")
            return
        OBJECTS[f"{bucket}/{name}"] = content
        self._answer(200, json.dumps(self._metadata(bucket, name)).encode())

    def do_DELETE(self) -> None:
        bucket, name, _ = self._asked()
        there = OBJECTS.pop(f"{bucket}/{name}", None) is not None
        self._answer(204 if there else 404, b"")

    def _asked(self) -> tuple[str, str | None, dict[str, list[str]]]:
        url = urlsplit(self.path)
        _, bucket, name = re.fullmatch(r"(/upload)?/storage/v1/b/([^/]+)/o(?:/(.*))?", url.path).groups()  # type: ignore[union-attr]
        return bucket, None if name is None else unquote(name), parse_qs(url.query, keep_blank_values=True)

    def _metadata(self, bucket: str, name: str) -> dict[str, str]:
        when = "2026-01-01T00:00:00Z"
        size = str(len(OBJECTS[f"{bucket}/{name}"]))
        return {
            "name": name,
            "bucket": bucket,
            "size": size,
            "generation": _generation(f"{bucket}/{name}"),
            "metageneration": "1",
        } | dict.fromkeys(("timeCreated", "updated", "timeStorageClassUpdated"), when)

    def _answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        if self.refused:
            code, body = 403, b"{}"
        self.send_response(code)
        for key, value in ((headers or {}) | {"Content-Length": str(len(body))}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


class _Files(fsspec.AbstractFileSystem):
    """The same names for etils. Its `ls`, as that of any such class, takes no argument that it does not know."""

    protocol = ("gcs", "gs")
    cachable = False

    def ls(self, path: str, detail: bool = True) -> list[Any]:
        path = self._strip_protocol(path).rstrip("/")
        found = {path: self._entry(path, "file")} if path in OBJECTS else {}
        if not found:
            inside = [key.removeprefix(f"{path}/") for key in OBJECTS if key.startswith(f"{path}/")]
            if not inside:
                raise FileNotFoundError(path)
            for key in sorted(inside):
                name = f"{path}/{key.split('/')[0]}"
                found[name] = self._entry(name, "directory" if "/" in key else "file")
        return list(found.values()) if detail else list(found)

    def _entry(self, name: str, kind: str) -> dict[str, Any]:
        return {"name": name, "type": kind, "size": len(OBJECTS.get(name, b""))}

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        path = self._strip_protocol(path).rstrip("/")
        if path in OBJECTS:
            return self._entry(path, "file")
        if any(key.startswith(f"{path}/") for key in OBJECTS):
            return self._entry(path, "directory")
        raise FileNotFoundError(path)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> io.BytesIO:
        path = self._strip_protocol(path)
        if "r" in mode:
            if path not in OBJECTS:
                raise FileNotFoundError(path)
            return io.BytesIO(OBJECTS[path])
        return _Written(path)

    def rm_file(self, path: str) -> None:
        if OBJECTS.pop(self._strip_protocol(path), None) is None:
            raise FileNotFoundError(path)

    def cp_file(self, path1: str, path2: str, **options: Any) -> None:
        OBJECTS[self._strip_protocol(path2)] = OBJECTS[self._strip_protocol(path1)]

    def mkdir(self, path: str, create_parents: bool = True, **options: Any) -> None:
        pass

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        pass


class _Written(io.BytesIO):
    """A file whose content is the object's when it is closed."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def close(self) -> None:
        if not self.closed:
            OBJECTS[self._name] = self.getvalue()
        super().close()


@contextmanager
def served() -> Iterator[str]:
    """Yield the address for TENSORSTORE_GCS_HTTP_URL; gs:// of etils goes to the same objects meanwhile."""
    before = {name: fsspec.get_filesystem_class(name) for name in _Files.protocol}
    for name in before:
        fsspec.register_implementation(name, _Files, clobber=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Google)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        for name, its in before.items():
            fsspec.register_implementation(name, its, clobber=True)
