"""A W&B server of the standard library, which speaks as much of its protocol as the real client needs.

It keeps what it is sent, and answers from that: a run that is resumed is told its own last line. Lines of a history
have an offset, as in the real one, so that what is sent twice lies in the same place; `Run.received` has every line
as it came. What was sent to a bad one (MODES) is not kept.
"""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

ENTITY, KEY = "team", "k" * 40
HISTORY, EVENTS, LOG, SUMMARY = "wandb-history.jsonl", "wandb-events.jsonl", "output.log", "wandb-summary.json"
MODES = ("ok", "slow", "garbage", "reject", "no streams")
"""slow: no answer; garbage: answers that are no JSON; reject: every key; no streams: all works but sending rows."""

Json = dict[str, Any]


@dataclass
class Run:
    """What one run was sent."""

    fields: Json = field(default_factory=dict)
    """Variables of the newest UpsertBucket: groupName, jobType, displayName, tags, config (JSON)."""
    lines: dict[str, list[str]] = field(default_factory=dict)
    """By file, as they lie."""
    received: list[str] = field(default_factory=list)
    """Lines of the history in the order in which they came."""
    complete: bool = False

    @property
    def history(self) -> list[Json]:
        return [json.loads(line) for line in self.lines.get(HISTORY, [])]

    @property
    def summary(self) -> Json:
        return json.loads((self.lines.get(SUMMARY) or ["{}"])[-1])

    @property
    def config(self) -> Json:
        return {key: of["value"] for key, of in self._config.items() if key != "_wandb"}

    @property
    def client(self) -> Any:
        """What the client says of itself, by which it knows a run that has begun."""
        return self._config.get("_wandb", {}).get("value", {}).get("t")

    @property
    def _config(self) -> Json:
        return json.loads(self.fields.get("config") or "{}")


class WandbServer:
    """Listens on a port of this machine until it is closed: `with WandbServer() as server`.

    Attributes:
        mode: one of MODES; it may be changed while the server runs.
        runs: by id.
        artifacts: what every CreateArtifact said, and with "manifest" what was uploaded as such.
        files: contents that were uploaded, by path.
        asked: operations of GraphQL, and paths of other requests, in order.
        reports: what every upsertView said.
        projects: names that are known from the beginning; those of runs are, too.
        on_stream: called after every request of file_stream that was kept.
    """

    def __init__(self, mode: str = "ok") -> None:
        self.mode = mode
        self.runs: dict[str, Run] = {}
        self.artifacts: dict[str, Json] = {}
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.reports: list[Json] = []
        self.projects: set[str] = set()
        self.on_stream: Callable[[], None] = lambda: None
        self._lock, self._closed = threading.Lock(), threading.Event()
        handler = type("Handler", (_Handler,), {"server_": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # a client that was killed  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which the client talks to this server."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY, "WANDB_ENTITY": ENTITY}

    def count(self) -> Counter[str]:
        return Counter(self.asked)

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._http.shutdown()
        self._http.server_close()

    def stream(self, run: Run, sent: Json) -> None:
        """Keep a request of file_stream."""
        with self._lock:
            run.complete |= bool(sent.get("complete"))
            for name, part in (sent.get("files") or {}).items():
                lines, content = run.lines.setdefault(name, []), part.get("content", [])
                offset = 0 if name == SUMMARY else part.get("offset", 0)
                lines[offset : offset + len(content)] = content
                if name == HISTORY:
                    run.received += content
        self.on_stream()

    def answer(self, operation: str, asked: Json) -> Any:
        """The data of an operation of GraphQL; None for one that is not known."""
        with self._lock:
            known = getattr(self, "_" + re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower(), None)
            return known(asked) if known else None

    def _viewer(self, _: Json) -> Json:
        who = {"id": "u", "entity": ENTITY, "username": "user", "email": "", "flags": "{}"}
        return {"viewer": {**who, "name": "user", "teams": {"edges": []}}}

    def _run_resume_status(self, asked: Json) -> Json:
        run = self.runs.get(asked["name"])
        project = asked.get("project") or asked.get("entity")
        return {"model": {"id": "p", "name": project, "entity": _ENTITY, "bucket": run and self._bucket(run)}}

    def _bucket(self, run: Run) -> Json:
        lines = {name: run.lines.get(name, []) for name in (HISTORY, EVENTS, LOG)}
        return {
            **{"id": run.fields["name"], "name": run.fields["name"], "displayName": run.fields.get("displayName")},
            **{"historyLineCount": len(lines[HISTORY]), "eventsLineCount": len(lines[EVENTS])},
            **{"logLineCount": len(lines[LOG]), "tags": run.fields.get("tags") or [], "notes": None},
            **{"historyTail": json.dumps(lines[HISTORY][-1:]), "eventsTail": json.dumps(lines[EVENTS][-1:])},
            **{"summaryMetrics": json.dumps(run.summary), "config": run.fields.get("config") or "{}"},
            "wandbConfig": json.dumps(
                {"t": json.loads(run.fields.get("config") or "{}").get("_wandb", {}).get("value", {}).get("t")}
            ),
        }

    def _upsert_bucket(self, asked: Json) -> Json:
        name = asked.get("name") or asked["id"]
        inserted, run = name not in self.runs, self.runs.setdefault(name, Run())
        run.fields |= {key: value for key, value in asked.items() if value is not None} | {"name": name}
        self.projects.add(asked.get("project") or "uncategorized")
        project = {"id": "p", "name": asked.get("project") or "uncategorized", "entity": _ENTITY}
        bucket = {**self._bucket(run), "description": "", "sweepName": None, "project": project}
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def _run(self, asked: Json) -> Json:
        """As the public API asks for one."""
        if asked["name"] not in self.runs:
            return {"project": {"internalId": "1", "run": None}}
        bucket = self._bucket(run := self.runs[asked["name"]])
        known = {
            "state": "finished" if run.complete else "running",
            "sweepName": None,
            "user": {"name": "user", "username": "user"},
        }
        return {"project": {"internalId": "1", "run": {**bucket, **known, "projectId": 1}}}

    def _create_run_files(self, asked: Json) -> Json:
        files = [{"name": name, "uploadUrl": self._upload(f"{asked['run']}/{name}")} for name in asked["files"]]
        return {"createRunFiles": {"runID": asked["run"], "uploadHeaders": [], "files": files}}

    def _upload(self, path: str) -> str:
        return f"{self.url}/storage/{path}"

    def _create_artifact(self, asked: Json) -> Json:
        said = asked["input"]
        collection = said["artifactCollectionName"]
        id = f"artifact-{said['digest']}-{collection}"
        state = "COMMITTED" if "manifest" in self.artifacts.get(id, {}) else "PENDING"
        self.artifacts.setdefault(id, {**said, "collection": collection})
        sequence = {"id": "s", "name": collection, "latestArtifact": None}
        artifact = {"id": id, "digest": said["digest"], "state": state, "aliases": [], "artifactSequence": sequence}
        return {"createArtifact": {"artifact": {**artifact, "versionIndex": 0}}}

    def _create_artifact_manifest(self, asked: Json) -> Json:
        path = f"manifest/{asked['artifactID']}"
        file = {"id": "f", "uploadUrl": self._upload(path), "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": path, "file": file}}}

    def _update_artifact_manifest(self, asked: Json) -> Json:
        file = {"id": "f", "uploadUrl": self._upload(asked["artifactManifestID"]), "uploadHeaders": []}
        return {"updateArtifactManifest": {"artifactManifest": {"id": asked["artifactManifestID"], "file": file}}}

    def _commit_artifact(self, asked: Json) -> Json:
        id = asked["artifactID"]
        if f"manifest/{id}" in self.files:
            self.artifacts[id]["manifest"] = json.loads(self.files[f"manifest/{id}"])
        return {"commitArtifact": {"artifact": {"id": id, "digest": self.artifacts[id]["digest"]}}}

    def _create_artifact_files(self, asked: Json) -> Json:
        edges = []
        for file in asked["input"]["artifactFiles"]:
            path = f"{file['artifactID']}/{file['name']}"
            node = {"storagePath": path, "uploadUrl": self._upload(path), "uploadHeaders": []}
            edges.append({"node": {**node, "uploadMultipartUrls": None, "artifact": {"id": file["artifactID"]}}})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _artifact_type(self, _: Json) -> Json:
        return {"project": {"artifact": None}}

    def _server_features_query(self, _: Json) -> Json:
        return {"serverInfo": {"features": []}}

    def _project_internal_id(self, _: Json) -> Json:
        return {"project": {"internalId": "cDoxMjM="}}

    def _get_projects(self, _: Json) -> Json:
        made = {"entityName": ENTITY, "createdAt": "2026-01-01T00:00:00Z", "isBenchmark": False, "user": None}
        edges = [{"node": {"id": "p", "name": name, **made}, "cursor": ""} for name in sorted(self.projects)]
        return {"models": {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": False}}}

    def _upsert_view(self, asked: Json) -> Json:
        self.reports.append(asked)
        view = {"id": f"view-{len(self.reports)}", "type": "runs", "name": asked.get("name"), "spec": asked.get("spec")}
        made = {"createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z"}
        more = {"displayName": asked.get("displayName"), "description": asked.get("description")}
        project = {"id": "p", "name": asked.get("projectName"), "entityName": ENTITY}
        return {"upsertView": {"view": {**view, **made, **more, "project": project}, "inserted": True}}


_ENTITY = {"id": "e", "name": ENTITY}


class _Handler(BaseHTTPRequestHandler):
    server_: WandbServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._good():
            return
        path = self.path.partition("?")[0]
        if path == "/graphql":
            asked = json.loads(body)
            operation = (re.findall(r"(?:query|mutation)\s+(\w+)", asked["query"]) or [""])[0]
            self.server_.asked.append(operation)
            data = self.server_.answer(operation, asked.get("variables") or {})
            self._send({"data": data} if data is not None else {"data": {}})
        elif path.endswith("/file_stream"):
            self.server_.asked.append("file_stream")
            if self.server_.mode == "no streams":
                self._send({"error": "no"}, 400)
                return
            run = self.server_.runs[path.split("/")[-2]]
            self.server_.stream(run, json.loads(body))
            self._send({"exitcode": None, "limits": {}})
        else:  # telemetry
            self._send({})

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self._good():
            self.server_.asked.append("upload")
            self.server_.files[self.path.removeprefix("/storage/").partition("?")[0]] = body
            self._send({})

    def do_GET(self) -> None:
        if self._good():
            self._send({})

    def _good(self) -> bool:
        """Whether to answer; what a bad server does instead is done."""
        server = self.server_
        if server.mode == "slow":
            server._closed.wait()
            self.close_connection = True
        elif server.mode == "garbage":
            self._send(b"<html>It works!</html>")
        elif server.mode == "reject":
            self._send({"errors": [{"message": "user is not logged in"}]}, 401)
        else:
            return True
        server.asked.append(server.mode)
        return False

    def _send(self, what: Json | bytes, code: int = 200) -> None:
        data = what if isinstance(what, bytes) else json.dumps(what).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass
