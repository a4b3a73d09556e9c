"""Lines of a ledger."""

from dataclasses import replace
from pathlib import Path

from analysis.ledger_rows import StepRecord, ledger_line, read_ledger
from store.layout import LEDGER

ROW = StepRecord(1, 256, 5.5, 1.25, 0.001, {"prose": 256}, "d1", 0.5)
LINE = (
    b'{"step":1,"tokens":256,"loss":5.5,"grad_norm":1.25,"learning_rate":0.001,"counts":{"prose":256},"digest":"d1",'
    b'"seconds":0.5,"skipped":false,"checksum":"0c82b7297cadd57a"}\n'
)
"""As ledgers have it from before some targets carried no loss."""


def test_old_lines_are_read_and_a_step_of_all_targets_is_still_written_so(tmp_path: Path) -> None:
    few = replace(ROW, step=2, trained=55)
    (tmp_path / LEDGER).write_bytes(LINE + ledger_line(few))
    assert ledger_line(ROW) == LINE
    assert read_ledger(tmp_path) == [ROW, few]
