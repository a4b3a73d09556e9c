"""A W&B report of a study: put up once, and made anew in its place by every later call."""

from pathlib import Path
from typing import Any

from analysis.report.blocks import Report
from analysis.report.wandb_report import draft
from experiments.tracking import client
from experiments.tracking.push import FOLDER
from store.files import read_json, write_json


def publish(report: Report, store: Path) -> str:
    """Put the report up, or in the place of the one that was put up before; its address.

    Raises:
        Failure: W&B cannot be reached in time, rejects the key, or does not take it.
    """
    where = client.target(store, offline=False)
    note = store / FOLDER / f"report-{where.mark}.json"
    known: dict[str, Any] = read_json(note, f"which reports are at {where}") if note.exists() else {}
    with client.told(str(where)):
        entity = where.entity or client.own_entity()
        made = draft(report, entity, where.project, f"{where.url}/{entity}/{where.project}")
        made.id = known.get(report.study, "")
        made.save()
        write_json(note, known | {report.study: made.id})
        return str(made.url)
