"""What killed writers leave is removed by the next run, and what living ones are at stays."""

import os
import subprocess
import sys
from pathlib import Path

from store.files import beside, remove_leftovers, whole


def test_leftovers_of_dead_processes_go_and_nothing_else_does(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mine = beside(tmp_path / "deep" / "mine.json")
    gone = [mine.with_name(f".x.json.{dead.pid}-0123abcd.part"), tmp_path / ".00000.deadbeef.part"]
    for path in (mine, *gone, tmp_path / "chapter.part"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    (tmp_path / f".00001.{dead.pid}-0123abcd.part" / "tokens").mkdir(parents=True)
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*.part")) == sorted([mine.name, "chapter.part"])
    assert f".{os.getpid()}-" in mine.name


def test_an_error_leaves_neither_the_file_nor_its_beginning(tmp_path: Path) -> None:
    try:
        with whole(tmp_path / "file") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert list(tmp_path.iterdir()) == []
