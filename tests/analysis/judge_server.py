"""A judge on loopback that speaks the chat-completions protocol, with the manners that real ones show."""

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from analysis.evals.preference.client import Endpoint

PREFERRED = "One is better than the other.\n\nPreferred: Answer ({})"
TROUBLE: dict[str, tuple[int, str, bytes, dict[str, str]]] = {
    "500": (500, "application/json", b'{"error": {"message": "overloaded"}}', {}),
    "html": (200, "text/html", b"<html>Welcome to the proxy</html>", {}),
    "nothing": (200, "application/json", b"", {}),
    "no choices": (200, "application/json", b'{"id": "x", "choices": []}', {}),
    "wait 1": (429, "application/json", b'{"error": {"message": "slow down"}}', {"Retry-After": "1"}),
    "wait an hour": (429, "application/json", b'{"error": {"message": "quota"}}', {"Retry-After": "3600"}),
    "bad key": (401, "application/json", b'{"error": {"message": "Incorrect API key"}}', {}),
    "bad model": (404, "application/json", b'{"error": {"message": "no such model"}}', {}),
}


class Server:
    """What the server saw, and how it is to behave: the answer that is longer wins, unless the instruction says:

    first: prefer what is shown first; mumble: no verdict until asked again; babble: never one;
    quote: end on the second answer's words; refuse: status 400; poison: status 500, always;
    echo: say what was sent, headers and all.

    `says` writes the reply to a body, in place of a verdict. `usage` is what it counts, and `ending` follows on every
    verdict. Trouble besides TROUBLE: hang, drip (a byte now and then), drop, blab (status 500, and all that was sent).
    """

    def __init__(self, trouble: Sequence[str], always: str, delay: float) -> None:
        self.usage: Any = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
        self.ending = ""
        self.says: Callable[[dict[str, Any]], str] | None = None
        self.sent: list[str] = []
        self.trouble, self.always, self.delay = list(trouble), always, delay
        self.seen: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.keys: list[str] = []
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.port = 0

    def endpoint(self, **changes: Any) -> Endpoint:
        given = {"requests_per_minute": 60_000, "concurrency": 4, "timeout_seconds": 10, **changes}
        return Endpoint(f"http://127.0.0.1:{self.port}/v1", "judge-1", **given)

    def next_trouble(self, body: dict[str, Any]) -> str:
        with self.lock:
            self.seen.append(body)
            self.times.append(time.monotonic())
            return self.trouble.pop(0) if self.trouble else self.always


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.state.keys.append(self.headers["Authorization"])
        everything = f"{self.path} {dict(self.headers)} {json.dumps(body)}"
        self.server.state.sent.append(everything)
        trouble = self.server.state.next_trouble(body)
        time.sleep(self.server.state.delay)
        if trouble == "hang":
            self.server.state.released.wait(30)
        elif trouble == "drip":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while not self.server.state.released.wait(0.1):
                    self.wfile.write(b" ")
        elif trouble == "drop":
            self.connection.close()
        elif trouble == "blab":
            message = json.dumps({"error": {"message": f"no \ud800 \x1b[2J {everything[:5000]}"}})
            self.reply(500, "application/json", message.encode(), {})
        elif trouble:
            self.reply(*TROUBLE[trouble])
        else:
            self.judge(body)

    def judge(self, body: dict[str, Any]) -> None:
        if self.server.state.says is not None:
            self.say(body, self.server.state.says(body))
            return
        text = body["messages"][1]["content"]
        instruction, a, b = re.findall(r"begins \w+\]\n(.*?)\n\[", text, re.DOTALL)
        asked_again = len(body["messages"]) > 2
        said = PREFERRED.format("A" if len(a) > len(b) or instruction == "first" else "B")
        if instruction == "babble" or (instruction == "mumble" and not asked_again):
            said = "Both have their merits. Preferred: Answer (A), or perhaps (B)."
        if instruction == "quote":
            said = f"Answer (B) reads: {b}"
        if instruction == "echo":
            said = f"{self.path} {dict(self.headers)} {body}\n{said}"
        if instruction == "refuse":
            self.reply(400, "application/json", b'{"error": {"message": "maximum context length"}}', {})
            return
        if instruction == "poison":
            self.reply(*TROUBLE["500"])
            return
        self.say(body, said)

    def say(self, body: dict[str, Any], said: str) -> None:
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        choice["message"]["content"] += self.server.state.ending
        document = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"]}
        content = json.dumps({**document, "choices": [choice], "usage": self.server.state.usage}).encode()
        self.reply(200, "application/json", content, {})

    def reply(self, status: int, kind: str, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def serving(trouble: Sequence[str] = (), always: str = "", delay: float = 0.0) -> Iterator[Server]:
    """A server that first gives the `trouble` named, one request each, then `always`; "" is an ordinary answer."""
    state = Server(trouble, always, delay)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.state = state
    state.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
