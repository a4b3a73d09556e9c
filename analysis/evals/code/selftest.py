"""Whether the sandbox of this machine holds: hostile programs on one side, bystanders on the other.

It runs before the first program of a model is executed on a machine, and again when the kernel, bubblewrap, the
interpreter, the kind of user or a line of this package changes; nothing is executed where it fails.
"""

import ast
import contextlib
import hashlib
import json
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.evals.code import box, pool
from analysis.evals.code.box import Limits, Sandbox
from analysis.evals.code.judge import Check
from store.errors import Failure
from store.files import write_json

if TYPE_CHECKING:
    from rich.console import Console

SHORT = Limits(cpu_seconds=1, wall_seconds=3.0)
JOBS = 4
"""Most of the wasteful programs wait, so more than there are processors."""
MANY = "memory of many processes"
"""Contained only where there is a control group."""
SETTINGS = ("kernel/core_pattern", "kernel/modprobe", "kernel/hostname", "vm/overcommit_memory", "kernel/sysrq")


_HOSTILE = Path(__file__).parent / "hostile"
_FORGED = ("wrong", "raised", "limit", "reply", "load")
HONEST = "def f(x):\n    return x + 1"
ADDS_ONE = Check(("f",), "assert f(1) == 2\nassert f(10**6) == 10**6 + 1")
FINDS_NOTHING = Check(("f",), "found = f()\nassert found == [], found")


@dataclass(frozen=True)
class Case:
    """A hostile program, what is asked of it, and the verdicts' reasons that mean that it was contained."""

    name: str
    source: str
    check: Check
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How one case ended."""

    name: str
    contained: bool
    detail: str


def waste() -> list[Case]:
    """Programs that use up what there is: a limit stops them, or they find that they got no more than their share."""
    loop = Case("endless while loading", "while True:\n    pass", ADDS_ONE, ("time",))
    return [*_cases("waste.py", FINDS_NOTHING, ("passed", "time", "limit", "reply")), loop]


def reach() -> list[Case]:
    """Programs that look for a way out, and find none."""
    return _cases("reach.py", FINDS_NOTHING, ("passed",))


def forgery() -> list[Case]:
    """Programs that want to pass without being right."""
    loading = {
        "exit while loading": "import os\nos._exit(0)",
        "polite exit while loading": "import sys\nsys.exit(0)",
        "nothing asked for": "g = 1",
        "no Python": "def f(x",
    }
    cases = _cases("forgery.py", ADDS_ONE, _FORGED)
    return [*cases, *(Case(name, source, ADDS_ONE, _FORGED) for name, source in loading.items())]


def _cases(file: str, check: Check, reasons: tuple[str, ...]) -> list[Case]:
    """A case for each of the PROGRAMS of the file, which is sent whole."""
    source = (_HOSTILE / file).read_text(encoding="utf-8")
    (table,) = [node.value for node in ast.parse(source).body if isinstance(node, ast.AnnAssign)]
    assert isinstance(table, ast.Dict)
    names = [ast.literal_eval(key) for key in table.keys if key is not None]
    return [Case(name, f"{source}\nf = PROGRAMS[{name!r}]\n", check, reasons) for name in names]


def _honest() -> Case:
    return Case("an honest neighbour", HONEST, ADDS_ONE, ("passed",))


def _neighbours(folder: str, pid: int) -> Case:
    """An attack on somebody else's results in `folder`, which every user may write, and on his process."""
    results, tried = f"{folder}/results", ", ".join
    actions = [
        *(f"_opened({results!r}, {flags})" for flags in ("os.O_RDONLY", "os.O_RDWR", "os.O_WRONLY | os.O_TRUNC")),
        *(f"_created({folder!r})", f"('signal', lambda: os.kill({pid}, 9))", f"_opened('/proc/{pid}/mem', os.O_RDWR)"),
    ]
    source = (_HOSTILE / "reach.py").read_text(encoding="utf-8")
    source += f"\ndef f():\n    return _tries({tried(actions)})\n"
    return Case("results of others", source, FINDS_NOTHING, ("passed",))


def _curious_tests() -> Case:
    """Tests are data, too: they look for a way out of their own box, and do not mind what the program returns."""
    source = (_HOSTILE / "reach.py").read_text(encoding="utf-8")
    tests = "assert f(1) == 2\nfound = [way for look in PROGRAMS.values() for way in look()]\nassert found == [], found"
    return Case("tests that look for a way out", HONEST, Check(("f",), f"{source}\n{tests}"), ("passed",))


def ensure(folder: Path) -> Sandbox:
    """This machine's sandbox, once it has passed the self-test; a file in `folder` says that it has.

    Raises:
        Failure: there is no sandbox here, or it does not hold. Execute nothing, and record the message.
    """
    sandbox = box.find()
    marker = folder / f"sandbox-{identity(sandbox)}.json"
    if marker.exists():
        return sandbox
    found = run(sandbox)
    if holes := [case for case in found["cases"] if not case["contained"]]:
        named = "; ".join(f"{hole['name']} ({hole['detail']})" for hole in holes[:3])
        raise Failure(
            f"no sandbox: {len(holes)} of {len(found['cases'])} self-tests failed: {named}; "
            "see `ablate sandbox selftest`, and evaluate code on another machine"
        )
    write_json(marker, {"cases": len(found["cases"]), "grouped": found["grouped"], **found["sandbox"]})
    return sandbox


def description(sandbox: Sandbox) -> dict[str, str]:
    """What a record should say of where its programs ran."""
    return {
        "bubblewrap": sandbox.bwrap_version,
        "python": sandbox.python_version,
        "kernel": platform.release(),
        "user": "normal" if sandbox.uid is None else "root, dropped",
    }


def print_table(document: dict[str, Any], console: "Console") -> None:
    """Every case with how it ended. Programs had their say in the details, so nothing in them is markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="hostile programs", title_justify="left")
    for column in ("case", "outcome", "detail"):
        table.add_column(column)
    for case in document["cases"]:
        outcome = Text("contained") if case["contained"] else Text("A HOLE", style="red")
        table.add_row(Text(case["name"]), outcome, Text(case["detail"]))
    console.print(table)
    facts = ", ".join(f"{name} {value}" for name, value in document["sandbox"].items())
    bounds = "a box is bounded as a whole" if document["grouped"] else "no control group: each process is bounded alone"
    holes = sum(not case["contained"] for case in document["cases"])
    console.print(Text(f"{len(document['cases'])} cases, {holes} holes; {bounds}; {facts}"))


def identity(sandbox: Sandbox) -> str:
    """Of this machine, its sandbox and the code of this package: where it is another, what was tried is tried again."""
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py")))
    facts = [platform.node(), platform.machine(), sandbox.bwrap, sandbox.python, description(sandbox)]
    return hashlib.sha256(json.dumps(facts).encode() + sources).hexdigest()[:16]


def run(sandbox: Sandbox) -> dict[str, Any]:
    """Run every hostile program, with honest ones between them, and look at the host afterwards.

    Returns:
        {"holds": what matters, "sandbox": its `description`, "grouped": whether boxes are bounded as a whole (else each
        of their processes is), "cases": every `Outcome`}, plain JSON values.

    Raises:
        Failure: there is no box to run them in.
    """
    settings = _settings()
    with _bystander(sandbox) as (folder, process):
        wasteful = waste()
        alone = [case for case in wasteful if case.name != MANY]
        outcomes, grouped = _run(sandbox, [*alone, _honest()], SHORT)
        others = [*reach(), *forgery(), _neighbours(folder, process.pid), _curious_tests(), _honest()]
        if grouped:
            others += [case for case in wasteful if case.name == MANY]
        outcomes += _run(sandbox, others, Limits())[0]
        intact = Path(folder, "results").read_text() == "intact" and [path.name for path in Path(folder).iterdir()] == [
            "results"
        ]
        outcomes.append(_looked("results of others are as before", intact))
        outcomes.append(_looked("processes of others go on", process.poll() is None))
    outcomes.append(_looked("kernel settings are as before", _settings() == settings))
    return {
        "holds": all(outcome.contained for outcome in outcomes),
        "sandbox": description(sandbox),
        "grouped": grouped,
        "cases": [asdict(outcome) for outcome in outcomes],
    }


def _run(sandbox: Sandbox, cases: list[Case], limits: Limits) -> tuple[list[Outcome], bool]:
    """The outcomes of the cases, and whether there was a control group. Nothing may be left of any box."""
    with pool.workers(sandbox, limits, JOBS) as idle:
        verdicts = pool.judge_all(idle, sandbox, [(case.source, case.check) for case in cases], limits)
        at_rest = [idle.get() for _ in range(JOBS)]
        for worker in at_rest:
            idle.put(worker)
        left = [child for worker in at_rest for child in _left(worker.process.pid)]
        grouped = all(worker.group is not None for worker in at_rest)
    pairs = zip(cases, verdicts, strict=True)
    outcomes = [Outcome(case.name, v.reason in case.reasons, f"{v.reason}: {v.detail}") for case, v in pairs]
    return [*outcomes, _looked("nothing is left of the boxes", not left)], grouped


def _looked(name: str, well: bool) -> Outcome:
    return Outcome(name, well, "as it should" if well else "not so any more")


def _left(pid: int) -> list[str]:
    """Children of a judge's process, who adopts all that is left of its boxes; but for the one box that stays."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = {child: Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0") for child in children}
    stay = [child for child, words in lines.items() if box.TESTS.encode() in words]
    return [child for child in children if child not in stay[:1]]


def _settings() -> list[str]:
    found = []
    for name in SETTINGS:
        with contextlib.suppress(OSError):
            found.append(Path("/proc/sys", name).read_text())
    return found


@contextlib.contextmanager
def _bystander(sandbox: Sandbox) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A folder that every user may write, with a file in it, and a process of the very user that boxes are run by."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "results").write_text("intact")
        Path(folder).chmod(0o777)
        Path(folder, "results").chmod(0o666)
        user = {} if sandbox.uid is None else {"user": sandbox.uid, "group": sandbox.uid, "extra_groups": []}
        process = subprocess.Popen(["/bin/sleep", "600"], cwd="/", **user)  # type: ignore[call-overload]
        try:
            yield folder, process
        finally:
            process.kill()
            process.wait()
