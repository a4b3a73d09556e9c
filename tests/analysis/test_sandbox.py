"""Boxes, verdicts and the self-test, as whoever runs the tests and as an ordinary user. They need bubblewrap."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.evals.code import box, pool, selftest
from analysis.evals.code.box import Limits
from analysis.evals.code.judge import Check, Verdict
from experiments import cli
from store.errors import Failure
from tests.conftest import boxes

ROOT = Path(__file__).parents[2]
needs_bwrap = pytest.mark.skipif(not boxes(), reason="no bubblewrap, or no right to its namespaces")
QUICK = Limits(cpu_seconds=1, wall_seconds=3.0)


@pytest.fixture(scope="module")
def sandbox() -> box.Sandbox:
    return box.find()


def judged(sandbox, program: str, tests: str, *names: str, limits: Limits | None = None, **more) -> Verdict:
    check = Check(names or ("f",), textwrap.dedent(tests), **more)
    (verdict,) = pool.verdicts(sandbox, [(textwrap.dedent(program), check)], limits)
    return verdict


RIGHT = [
    ("def f(x): return x + 1", "assert f(1) == 2"),
    ("def f(*, a, b=2): return a - b", "assert f(a=1) == -1 and f(b=5, a=1) == -4"),
    ("def f(x): x.sort()", "given = [3, 1]\nassert f(given) is None and given == [1, 3]"),
    ("def f(x): x.update({1: 2})", "given = {'k': 1}\nf(given)\nassert given == {'k': 1, 1: 2}"),
    ("from collections import Counter\ndef f(x): return Counter(x)", "assert f('aab') == {'a': 2, 'b': 1}"),
    ("def f(x): yield from x", "assert list(f([1, 2])) == [1, 2] and f([1]) != [1]"),
    ("def f(): return float('nan'), 1j, b'x'", "a, *b = f()\nassert a != a and b == [1j, b'x']"),
    ("def f(x): return [][x]", "try:\n    f(0)\nexcept IndexError:\n    pass\nelse:\n    assert False"),
    ("n = 0\ndef f():\n    global n\n    n += 1\n    return n", "assert [f(), f(), f()] == [1, 2, 3]"),
    ("def sum(a, b): return a * b", "assert sum(3, 4) == 12", "sum"),
    ("def g(x): return f(x) * 2\ndef f(x): return x + 1", "assert g(f(1)) == 6", "f", "g"),
    ("import sys\nprint('noise')\ndef f():\n    print('more')\n    return sys.stdin.read()", "assert f() == ''"),
    ("import dataclasses as d\n@d.dataclass\nclass P:\n    x: int\ndef f(): return P(1).x", "assert f() == 1"),
    ("def f(): return 7 ** 20000", "assert f() == 7 ** 20000"),
    ("if __name__ == '__main__':\n    raise SystemExit\ndef f(): return 1", "assert f() == 1"),
    (
        "import subprocess as s, sys\n"
        "def f(): return s.run([sys.executable, '-c', 'print()'], capture_output=True).stdout",
        "assert f() == b'\\n'",
    ),
    (
        "import hashlib, sqlite3, ctypes, zlib, lzma, bz2, decimal, uuid, asyncio, unittest, xml.dom.minidom\n"
        "def f(): return hashlib.md5(b'x').hexdigest()[:4]",
        "assert f() == '9dd4'",
    ),
    ("import asyncio\nasync def g(): return 1\ndef f(): return asyncio.run(g())", "assert f() == 1"),
]
CLOSES_ALL = (
    "import os\nos.close(0); os.close(1)\nfor fd in range(3, 9):\n    try: os.close(fd)\n    except OSError: pass"
)
WRONG = [
    ("def f(x): return x", "assert f(1) == 2", "wrong"),
    ("def f(x): raise KeyError(x)", "assert f(1) == 2", "raised"),
    ("def g(x): return 2", "assert f(1) == 2", "raised"),
    ("def f(x: return 2", "assert f(1) == 2", "load"),
    ("import nothing_of_that_name\ndef f(x): return 2", "assert f(1) == 2", "load"),
    ("def f(x): return '\\0\\x1b[2J\\ud800'", "assert f(1) == 2, f(1)", "wrong"),
    ("import os\ndef f(x): os._exit(0)", "try:\n    f(1)\nexcept Exception:\n    pass", "limit"),
    ("def f(x): return object()", "f(1)", "reply"),
    (CLOSES_ALL, "f(1)", "limit"),
    ("def f(x): raise StopIteration", "for y in map(f, [1]):\n    assert False", "raised"),
]


@needs_bwrap
def test_right_programs_pass_and_wrong_ones_fail_with_the_reason(sandbox):
    checks = [(program, Check(tuple(names) or ("f",), tests)) for program, tests, *names in RIGHT]
    for (program, _), verdict in zip(checks, pool.verdicts(sandbox, checks, jobs=2), strict=True):
        assert verdict == Verdict(True, "passed"), program
    checks = [(program, Check(("f",), tests)) for program, tests, _ in WRONG]
    for (program, _, reason), verdict in zip(WRONG, pool.verdicts(sandbox, checks, jobs=2), strict=True):
        assert (verdict.passed, verdict.reason) == (False, reason), (program, verdict)
        assert verdict.detail.isprintable()


@needs_bwrap
def test_optimised_python_still_judges(sandbox, monkeypatch):
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")  # drops assert statements, unless the judge insists
    assert not judged(sandbox, "def f(): return 1", "assert f() == 2").passed


@needs_bwrap
def test_the_tests_and_their_set_up_are_not_in_the_box(sandbox):
    program = """
        def helper(x): return 0
        def f(x): return helper(x)
    """
    tests = "assert helper(1) == 5 and f(1) == 0"
    assert judged(sandbox, program, tests, setup="def helper(x): return 5").passed
    broken = judged(sandbox, program, "assert f(1) == 0", setup="import nothing_of_that_name")
    assert (broken.passed, broken.reason) == (False, "check")
    opaque = judged(sandbox, "def f(x): return 1", "assert f(lambda: 0) == 1")
    assert (opaque.passed, opaque.reason) == (False, "check")


@needs_bwrap
def test_tests_that_need_the_programs_own_classes_are_weak_and_say_so(sandbox):
    program = "class Node:\n    def __init__(self, value): self.value = value\ndef f(node): return node.value"
    tests = "assert f(Node(3)) == 3"
    assert judged(sandbox, program, tests, "f", "Node", weak=True) == Verdict(True, "passed", weak=True)
    wrong = judged(sandbox, program, "assert f(Node(3)) == 4", "f", "Node", weak=True)
    assert (wrong.passed, wrong.reason, wrong.weak) == (False, "wrong", True)
    assert not judged(sandbox, program, tests, "f", "Node").passed


@needs_bwrap
def test_what_a_program_returns_takes_no_more_time_than_there_is(sandbox):
    """Nor do the tests: sums and powers that no signal breaks into, and exceptions that are swallowed."""
    work = {
        ("def f(): return range(10 ** 15)", "sum(f())"): "reply",
        ("def f(): return [{1: range(-10 ** 30, 0)}]", "sum(f()[0][1])"): "reply",
        ("def f(): return 10 ** 12", "try:\n    for _ in range(f()): pass\nexcept BaseException: pass"): "time",
        ("def f(): return 10 ** 9", "7 ** f()"): "time",
        ("def f(): return [n * (2 ** 61 - 1) for n in range(30_000)]", "set(f())"): "time",  # which all have one hash
        ("def f(): return 1", "import time\nf()\ntime.sleep(60)"): "time",
        ("def f(): return 10 ** 9", "[0] * f() * f()"): "raised",
        ("def f(): return 1", "import os\nf()\nos._exit(0)"): "raised",
    }
    programs = [(program, Check(("f",), tests)) for program, tests in work]
    assert [v.reason for v in pool.verdicts(sandbox, programs, QUICK, 2)] == list(work.values())


@needs_bwrap
def test_tests_see_no_environment_no_files_and_no_other_tests(sandbox, monkeypatch):
    monkeypatch.setenv("API_KEY", "sk-secret")
    tests = """
        import os, math
        assert "API_KEY" not in os.environ and not os.path.exists("/etc/passwd") and not os.path.exists("/root")
        assert math.pi > 3 and f() == 1
        math.pi = 3
        if os.fork() == 0:
            while True: pass
    """
    check = Check(("f",), textwrap.dedent(tests))
    assert [v.reason for v in pool.verdicts(sandbox, [("def f(): return 1", check)] * 3)] == ["passed"] * 3


@needs_bwrap
def test_the_order_of_a_set_is_the_same_in_every_box(sandbox):
    program = "def f(): return [*{'a', 'b', 'c', 'd', 'e', 'f'}]"
    details = {judged(sandbox, program, "assert False, f()").detail for _ in range(2)}
    assert len(details) == 1


PIPES = """
import os, time
def f(seconds):
    for _ in range(6):
        if os.fork() == 0:
            held = []
            try:
                while True:
                    held += os.pipe()
                    os.set_blocking(held[-1], False)
                    os.write(held[-1], b"x" * 65536)
            except OSError:
                time.sleep(seconds)
                os._exit(0)
    time.sleep(seconds)
"""


@needs_bwrap
def test_an_honest_program_passes_while_another_holds_all_pages_of_pipes(sandbox, monkeypatch):
    """A user's pipes may have 16,384 pages; two boxes hold them all, and what comes then has two pages."""
    long = "def f(x): return x * 2"
    with pool.workers(sandbox, Limits(wall_seconds=20.0), 6) as hogs, ThreadPoolExecutor() as threads:
        check = Check(("f",), "f(6)")
        running = [threads.submit(pool.judge_all, hogs, sandbox, [(PIPES, check)] * 6, Limits(wall_seconds=20.0))]
        time.sleep(2.5)
        honest = Check(("f",), "assert f('x' * 300_000) == 'x' * 600_000")
        assert pool.verdicts(sandbox, [(long, honest)] * 2, Limits(wall_seconds=6.0)) == [Verdict(True, "passed")] * 2
        assert not running[0].done()


@needs_bwrap
def test_a_judge_that_dies_is_no_verdict_and_another_takes_over(sandbox):
    limits = Limits(wall_seconds=10.0)
    with pool.workers(sandbox, limits, 1) as idle:
        worker = idle.get()
        idle.put(worker)
        os.kill(worker.process.pid, signal.SIGKILL)
        (found,) = pool.judge_all(idle, sandbox, [("def f(): return 1", Check(("f",), "assert f() == 1"))], limits)
        assert found == Verdict(True, "passed")
        assert idle.queue[0].process.pid != worker.process.pid


@needs_bwrap
def test_a_box_that_somebody_else_kills_is_no_failure_of_its_program(sandbox):
    def children(pid: int) -> list[int]:
        of_threads = Path(f"/proc/{pid}/task").glob("*/children")
        return [int(child) for path in of_threads for child in path.read_text().split()]

    def boxes_of(side: bytes) -> list[int]:
        below = [grandchild for child in children(os.getpid()) for grandchild in children(child)]
        return [pid for pid in below if side in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]

    slow = "import time\ndef f():\n    time.sleep(1.5)\n    return 1"
    for side in (b"program", b"tests"):
        with ThreadPoolExecutor() as threads:
            found = threads.submit(judged, sandbox, slow, "assert f() == 1", limits=Limits(wall_seconds=20.0))
            until = time.monotonic() + 20
            while not boxes_of(b"program") and time.monotonic() < until:
                time.sleep(0.05)
            time.sleep(0.5)
            os.kill(boxes_of(side)[0], signal.SIGKILL)
            assert found.result() == Verdict(True, "passed")
    suicide = "import os\ndef f(): os.kill(os.getpid(), 9)"
    assert judged(sandbox, suicide, "f()").reason == "limit"


@needs_bwrap
def test_a_judge_that_does_not_listen_is_ended_and_not_waited_for(sandbox, monkeypatch):
    monkeypatch.setattr(pool, "PATIENCE_SECONDS", 1.0)
    limits, long = Limits(wall_seconds=1.0), "#" * 300_000 + "\ndef f(): return 1"
    with pool.workers(sandbox, limits, 1) as idle:
        os.kill(idle.queue[0].process.pid, signal.SIGSTOP)
        (found,) = pool.judge_all(idle, sandbox, [(long, Check(("f",), "assert f() == 1"))], limits)
    assert found == Verdict(True, "passed")


@needs_bwrap
def test_nothing_passes_between_programs(sandbox):
    leave = "def f(path):\n    open(path, 'x').close()\n    return True"
    path = Check(("f",), "assert f('/tmp/note') and f('/dev/shm/note')")
    assert [verdict.passed for verdict in pool.verdicts(sandbox, [(leave, path)] * 2)] == [True, True]
    assert not Path("/tmp/note").exists()


@needs_bwrap
def test_the_self_test_passes_for_whoever_runs_it_and_once_is_enough(tmp_path, monkeypatch):
    found = selftest.ensure(tmp_path)
    (marker,) = tmp_path.glob("sandbox-*.json")
    assert len(selftest.waste() + selftest.reach() + selftest.forgery()) >= 40
    monkeypatch.setattr(selftest, "run", lambda sandbox: pytest.fail("it ran again"))
    assert selftest.ensure(tmp_path) == found
    monkeypatch.setattr("platform.node", lambda: "another-machine")
    with pytest.raises(pytest.fail.Exception):
        selftest.ensure(tmp_path)
    assert marker.exists()


@pytest.fixture
def readable_copy() -> Iterator[Path]:
    """What the sandbox needs of this project, where every user can read it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(ROOT / "analysis/evals/code", folder / "analysis/evals/code")
        shutil.copytree(ROOT / "store", folder / "store")
        for file in ("analysis/__init__.py", "analysis/evals/__init__.py"):
            shutil.copy(ROOT / file, folder / file)
        (folder / "markers").mkdir()
        (folder / "markers").chmod(0o777)
        yield folder


@needs_bwrap
@pytest.mark.skipif(os.getuid() != 0, reason="not root: the test above is this one")
@pytest.mark.soak
def test_the_self_test_passes_for_an_ordinary_user(readable_copy):
    python, version = box._interpreter()
    if version < "3.11":
        pytest.skip("the system's Python is older than this project's")
    imports = "from pathlib import Path\nfrom analysis.evals.code import selftest\n"
    command = imports + "print(selftest.ensure(Path('markers')).uid)"
    user = {"user": 61_183, "group": 61_183, "extra_groups": []}
    done = subprocess.run(
        [python, "-c", command], cwd=readable_copy, capture_output=True, text=True, check=False, **user
    )
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
    assert len(list((readable_copy / "markers").glob("sandbox-*.json"))) == 1


def false_bwrap(folder: Path, script: str) -> str:
    path = folder / "bwrap"
    path.write_text("#!/usr/bin/python3 -IS\nimport os, sys\n" + textwrap.dedent(script))
    path.chmod(0o755)
    for part in (folder, *folder.parents):
        if part.owner() != "root" or part.stat().st_mode & 0o5 != 0o5:
            part.chmod(0o755)
    return str(path)


WEAKER = """
if "--version" not in sys.argv:
    at = sys.argv.index("--seccomp")
    del sys.argv[at:at + 2]
os.execv("/usr/bin/bwrap", ["bwrap", *sys.argv[1:]])
"""


@needs_bwrap
@pytest.mark.soak
def test_a_sandbox_with_a_hole_fails_its_self_test_and_is_not_used(tmp_path, monkeypatch):
    with tempfile.TemporaryDirectory() as name:
        monkeypatch.setattr(box, "BWRAP", false_bwrap(Path(name), WEAKER))
        monkeypatch.setattr(selftest, "waste", list)
        monkeypatch.setattr(selftest, "forgery", list)
        with pytest.raises(Failure, match=r"self-tests failed: .*(unix sockets|network)"):
            selftest.ensure(tmp_path)
    assert list(tmp_path.iterdir()) == []


@needs_bwrap
def test_a_box_that_sees_what_is_installed_on_the_host_fails_its_self_test(sandbox, monkeypatch):
    reach = selftest.reach()
    whole = ("--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64")
    monkeypatch.setattr(selftest, "waste", list)
    monkeypatch.setattr(selftest, "forgery", list)
    monkeypatch.setattr(selftest, "reach", lambda: [case for case in reach if "packages" in case.name])
    found = selftest.run(replace(sandbox, mounts=whole))
    assert not found["holds"]
    assert {case["name"] for case in found["cases"] if not case["contained"]} >= {"programs and packages of the host"}


def selftest_command(*options: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.guard(lambda: cli.app(["sandbox", "selftest", *options], standalone_mode=False))
    return end.value.code


@needs_bwrap
def test_the_command_shows_every_case_and_fails_on_a_hole(monkeypatch, capsys):
    few = [case for case in selftest.reach() if case.name in ("unix sockets", "network")]
    monkeypatch.setattr(selftest, "reach", lambda: few)
    monkeypatch.setattr(selftest, "waste", list)
    monkeypatch.setattr(selftest, "forgery", lambda: [selftest._honest()])
    assert selftest_command() == 0
    assert re.search(r"unix sockets +│ contained", shown := capsys.readouterr().out) and " 0 holes;" in shown
    with tempfile.TemporaryDirectory() as name:
        monkeypatch.setattr(box, "BWRAP", false_bwrap(Path(name), WEAKER))
        assert selftest_command("--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["holds"] is False
    assert {case["name"] for case in document["cases"] if not case["contained"]} & {"unix sockets", "network"}
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert selftest_command() == 1
    assert "no system-call filter for riscv64" in capsys.readouterr().err


@needs_bwrap
def test_a_box_that_does_not_start_is_no_verdict(sandbox, monkeypatch):
    monkeypatch.setattr(pool, "PAUSES", (0.0,))
    with tempfile.TemporaryDirectory() as name:
        broken = replace(sandbox, bwrap=false_bwrap(Path(name), "sys.exit('bwrap: no namespaces for you')"))
        with pytest.raises(Failure, match="no namespaces for you"):
            judged(broken, "def f(): return 1", "assert f() == 1")
        gone = replace(sandbox, bwrap=f"{name}/none")
        with pytest.raises(Failure, match=r"no sandbox: .*No such file"):
            judged(gone, "def f(): return 1", "assert f() == 1")


def test_without_bubblewrap_or_linux_nothing_is_executed(tmp_path, monkeypatch):
    monkeypatch.setattr(box, "BWRAP", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(Failure, match="bubblewrap is not installed; install it"):
        selftest.ensure(tmp_path)
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(Failure, match="riscv64"):
        selftest.ensure(tmp_path)
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(Failure, match="Linux only"):
        selftest.ensure(tmp_path)
    assert list(tmp_path.iterdir()) == []


@needs_bwrap
def test_an_interpreter_out_of_reach_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(box, "_for_all", lambda path: path == box.BWRAP)
    with pytest.raises(Failure, match=r"no Python 3\.9 or later in /usr that every user can run"):
        box.find()
