"""`ablate fresh`: pin a set of documents that appeared since a day."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.progress import Display
from experiments.show.table import say
from mixtures.catalogue.laptop import QUICKSTART
from mixtures.fresh.dates import newest, told
from mixtures.fresh.pin import pin
from mixtures.fresh.pinned import SHIPPED_FILE, write
from mixtures.fresh.projects import PROJECTS
from store.errors import UserError
from store.layout import DOWNLOADS


def pin_fresh(since: str, out: Path | None, store: Path) -> dict[str, Any]:
    """Write the set and return what a study's record would say of it.

    Raises:
        UserError: `since` is no day, one to come, or not later than what the catalogue reads.
        Failure: the index cannot be reached, or there is nothing new.
    """
    try:
        day = date.fromisoformat(since)
    except ValueError as error:
        raise UserError(f"--since is '{since}'; give a day as 2026-12-15") from error
    today = datetime.now(UTC).date()
    if day > today:
        raise UserError(f"--since is {day}, and today is {today}; nothing has appeared since, take a day before")
    with Display("fresh") as display:
        fresh = pin(day.isoformat(), PROJECTS, QUICKSTART, store / DOWNLOADS, display.update)
    write(out or SHIPPED_FILE, fresh)
    return {"written": str(out or SHIPPED_FILE), **told(fresh, newest(QUICKSTART, fresh))}


def print_pinned(document: dict[str, Any], console: Console) -> None:
    newest = document["newest"]
    say(console, f"since {document['since']}; the catalogue's newest release is {newest['what']}, of {newest['day']}")
    for form, its in document["forms"].items():
        say(console, f"  {form}: {its['documents']:,} documents, {its['bytes']:,} bytes")
    say(console, f"  of {', '.join(each['release'] for each in document['releases'])}")
    say(console, f"written: {document['written']}")
