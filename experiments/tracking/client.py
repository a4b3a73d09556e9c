"""The one file that talks to W&B: the real client, with the waits and side effects that a replay needs.

The client retries for minutes, ends a run as if all was well when its rows were not taken, and writes logs where it is
started. Here everything is bounded, what W&B has is asked of W&B itself, and a run's own files are gone when it is
sent: the ledger is the truth, and is sent again if need be.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.tracking.stage_run import Row, StageRun, Summary
from store.errors import Failure, UserError
from store.paths import remote

# Before it is loaded, since it reads them then: errors are told here, in a line, and nowhere else.
os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
_SCRATCH = tempfile.TemporaryDirectory(prefix="ablate-wandb-", ignore_cleanup_errors=True)
os.environ.setdefault("WANDB_CACHE_DIR", _SCRATCH.name)  # or copies of every table would stay in the user's home

import wandb  # noqa: E402
from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry  # noqa: E402
from wandb.sdk.lib.paths import LogicalPath  # noqa: E402

PROJECT = "code-data-ablation"
INIT_SECONDS, FINISH_SECONDS, ASK_SECONDS = 20.0, 60.0, 10
"""Until a server that does not answer is given up: at the beginning of a run, at its end, and when it is asked."""


@dataclass(frozen=True)
class Target:
    """Where runs go: a project of a server, or the folder of offline runs. An empty entity is the user's own."""

    url: str
    entity: str
    project: str
    folder: Path | None = None

    @property
    def mark(self) -> str:
        """What notes of it are called by."""
        facts = (self.url, self.entity, self.project, self.folder is not None)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]

    def __str__(self) -> str:
        return str(self.folder) if self.folder else "/".join(filter(None, (self.url, self.entity, self.project)))


def target(store: Path, offline: bool) -> Target:
    """As the user's settings say: WANDB_BASE_URL, WANDB_ENTITY and WANDB_PROJECT, or the files of `wandb login`.

    Raises:
        UserError: offline runs of a store in a bucket, for the client writes to a disk.
    """
    if offline and remote(store):
        raise UserError(f"offline runs cannot be written to {store}; push to a server, or copy the store to a disk")
    with told(""):
        settings = wandb.setup().settings
    folder = store / "wandb" if offline else None
    return Target(settings.base_url.rstrip("/"), settings.entity or "", settings.project or PROJECT, folder)


def own_entity() -> str:
    """Of the user whose key it is."""
    return str(wandb.Api(timeout=ASK_SECONDS).default_entity or "")


def send(
    where: Target,
    run: StageRun,
    history: Callable[[int], Iterable[tuple[int, Row]]],
    summary: Summary,
    done: bool,
    after: int = 0,
) -> tuple[int, int]:
    """Send what W&B does not have of a run, and everything of its summary, tables and checkpoint.

    Args:
        where: the target.
        run: what it is.
        history: rows after a step.
        summary: of the run as a whole.
        done: whether the stage has reached its end; else the run is left open, as one that is still going on.
        after: the step up to which an offline target has the rows; a server is asked.

    Returns:
        The last step that W&B has now, and how many rows were sent.

    Raises:
        Failure: the server cannot be reached in time, rejects the key, or does not take what it is sent.
    """
    with told(str(where)), _folder(where) as folder:
        opened = wandb.init(
            project=where.project,
            entity=where.entity or None,
            id=run.id,
            name=run.name,
            group=run.group,
            job_type=run.job_type,
            tags=run.tags,
            config=dict(run.config),
            dir=str(folder),
            mode="offline" if where.folder else "online",
            resume="allow",
            reinit="create_new",
            settings=_settings(done),
        )
        last = after if where.folder else max(0, opened.starting_step - 1)
        sent = 0
        opened.define_metric("tokens", hidden=True)
        opened.define_metric("*", step_metric="tokens")
        for step, values in history(last):
            opened.log(dict(values), step=step)
            last, sent = step, sent + 1
        scores = _new_scores(opened, summary)
        if done and scores and last >= run.stage.steps:
            last += 1
            opened.log({"tokens": run.stage.tokens_before + run.stage.tokens, **scores}, step=last)
        _summarise(opened, summary)
        if run.checkpoint:
            opened.log_artifact(_checkpoint(run, run.checkpoint), aliases=[f"step-{run.stage.steps}"])
        path = f"{opened.entity}/{opened.project}/{opened.id}"
        opened.finish()
        if sent and not where.folder:
            taken = wandb.Api(timeout=ASK_SECONDS).run(path).historyLineCount or 0
            if taken < last:
                raise Failure(
                    f"{where} has {taken} of the {last} rows of run {run.name}; push again, and what is missing is sent"
                )
    return last, sent


def _settings(done: bool) -> wandb.Settings:
    return wandb.Settings(
        init_timeout=INIT_SECONDS,
        finish_timeout=FINISH_SECONDS,
        finish_timeout_raises=True,
        x_update_finish_state=done,
        silent=True,
        quiet=True,
        console="off",
        # Of this process, which is not the one that trained; what that one was is in the config.
        disable_git=True,
        disable_code=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
    )


def _new_scores(opened: Any, summary: Summary) -> dict[str, float]:
    """Scores that W&B does not have, for a row of the history after the last step, which gives them a place."""
    return {
        key: value
        for key, value in summary.numbers.items()
        if key.startswith("eval/") and opened.summary.get(key) != value
    }


def _summarise(opened: Any, summary: Summary) -> None:
    """Numbers and tables into the summary."""
    stale = [key for key in opened.summary.keys() if key.startswith(("eval/", "win_rate/"))]  # noqa: SIM118
    opened.summary.update({key: None for key in stale if key not in summary.numbers} | dict(summary.numbers))
    for name, rows in summary.tables.items():
        columns: list[str | int] = list(rows[0])
        opened.summary[f"table/{name}"] = wandb.Table(columns, [list(row.values()) for row in rows])


def _checkpoint(run: StageRun, uri: str) -> wandb.Artifact:
    """A reference: nothing is uploaded, and nothing of it is read.

    `add_reference` makes the same entry of a gs:// address, but only where Google's own client is installed.
    """
    address = uri if "://" in uri else Path(uri).resolve().as_uri()
    artifact = wandb.Artifact(f"checkpoint-{run.id}", "checkpoint", metadata={"step": run.stage.steps})
    artifact.manifest.add_entry(ArtifactManifestEntry(path=LogicalPath("checkpoint"), ref=address, digest=address))
    return artifact


@contextmanager
def _folder(where: Target) -> Iterator[Path]:
    """Where the client writes: offline runs stay, with what `wandb sync` needs; all else goes when it is sent."""
    if where.folder:
        where.folder.mkdir(parents=True, exist_ok=True)
        os.environ["WANDB_DATA_DIR"] = str(where.folder.resolve() / "data")
        yield where.folder.parent
        return
    with tempfile.TemporaryDirectory(dir=_SCRATCH.name, ignore_cleanup_errors=True) as name:
        os.environ["WANDB_DATA_DIR"] = name
        yield Path(name)


@contextmanager
def told(where: str) -> Iterator[None]:
    """What goes wrong with W&B as a Failure of one line, with its way out.

    Raises:
        Failure: anything did.
    """
    try:
        yield
    except (Failure, KeyboardInterrupt):
        raise
    except Exception as error:
        wandb.teardown(exit_code=1)  # or it would take the run for one that is open, whenever it is tried again
        said = " ".join(str(error).split())
        raise Failure(f"W&B at {where} {_wrong(error, said)} ({said[:200]}); {_way_out(error, said)}") from error


def _rejected(error: Exception, said: str) -> bool:
    codes = ("401", "403", "not logged in", "permission", "API key")
    return isinstance(error, wandb.errors.AuthenticationError) or any(code in said for code in codes)


def _wrong(error: Exception, said: str) -> str:
    if _rejected(error, said):
        return "rejects the key"
    if "invalid character" in said:
        return "gives no answer of W&B's"
    return "cannot be reached in time" if isinstance(error, wandb.Error | TimeoutError) else "fails"


def _way_out(error: Exception, said: str) -> str:
    if _rejected(error, said):
        return "`wandb login` again, or set WANDB_API_KEY"
    return "see to the network and WANDB_BASE_URL, then push again; nothing is lost"
