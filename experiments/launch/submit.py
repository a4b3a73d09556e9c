"""From a launch to its engine: the files of its workers, its record in the store, and the word to begin or to end.

What an engine says of a job is never asked: a launch is as far as the markers in the store are.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from experiments.launch import jobset, jobset_rules, local, skypilot
from experiments.launch.sweep import Launch, Worker, record
from store import layout
from store.errors import Failure, UserError
from store.files import read_json, write_json, write_text
from store.paths import glob, there


def rendered(launch: Launch, workers: Sequence[Worker]) -> dict[str, str]:
    """A YAML file for each of the workers, by its name.

    Raises:
        UserError: a cluster would refuse one; the message names the field.
    """
    files = {}
    for worker in workers:
        if launch.engine == "jobset":
            jobset_rules.check(document := jobset.render(launch, worker))
        else:
            document = skypilot.render(launch, worker)
        text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=120)
        files[f"{worker.name}.yaml"] = text
    return files


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """With scripts as they are read, line by line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def write_files(launch: Launch, folder: Path, workers: Sequence[Worker]) -> dict[str, Any]:
    """Write the files of workers and `launch.json` into `folder`; what stands in the latter.

    Raises:
        UserError: as `rendered`.
        Failure: the disk is full or cannot be written.
    """
    files = rendered(launch, workers) if launch.engine != "local" else {}
    for name, text in files.items():
        write_text(folder / name, text)
    document = record(launch, workers, list(files))
    write_json(folder / layout.LAUNCH, document)
    return document


def submit(launch: Launch, workers: Sequence[Worker]) -> None:
    """Have the engine start workers; of the local engine, do their work.

    Raises:
        Failure: the engine says no, or workers failed again and again.
        StopRequested, KeyboardInterrupt: of local workers, a signal came; their state is saved.
    """
    if launch.engine == "local":
        local.run([((*local.PROGRAM, *worker.arguments), worker.slice_.hosts) for worker in workers])
        return
    with tempfile.TemporaryDirectory() as folder:
        written = write_files(launch, Path(folder), workers)
        files = [str(Path(folder) / name) for name in written["files"]]
        try:
            if launch.engine == "jobset":
                jobset.submit(files)
            else:
                skypilot.submit(files, launch.secrets)
        except Failure as error:
            raise Failure(f"{error}; `ablate launch --cancel` ends what was submitted before that") from error


def record_path(store: Path, name: str) -> Path:
    return store / layout.LAUNCHES / name / layout.LAUNCH


def keep(launch: Launch, store: Path, workers: Sequence[Worker], **more: Any) -> None:
    """Write the record of a launch into the store: before anything starts, so that whatever did can be ended.

    Raises:
        Failure: the store cannot be written.
    """
    document = record(launch, workers) | more
    if launch.engine == "local":
        document["process"] = local.this_process()
    write_json(record_path(store, launch.name), document)


def known(store: Path, name: str) -> dict[str, Any]:
    """The record of a launch that was submitted and not cancelled since; {} if there is none.

    Raises:
        Failure: it is damaged.
    """
    found = read(store, name)[0] if there(record_path(store, name)) else {}
    return {} if found.get("cancelled") else found


def read(store: Path, name: str = "") -> list[dict[str, Any]]:
    """The records of a store's launches, or of the one of a name.

    Raises:
        UserError: there is none.
        Failure: one is damaged.
    """
    paths = glob(store / layout.LAUNCHES, f"{name or '*'}/{layout.LAUNCH}")
    if not paths:
        what = f"launch '{name}'" if name else "a launch"
        raise UserError(f"store {store} has no record of {what}; name the store that it was launched with")
    found = [read_json(path, f"launch {path.parent.name}") for path in paths]
    for path, document in zip(paths, found, strict=True):
        if not isinstance(document, dict) or not {"name", "engine", "study", "scale", "objects"} <= document.keys():
            raise Failure(f"launch {path.parent.name} is damaged ({path}); delete it, and end its objects by hand")
    return found


def cancel(store: Path, document: Mapping[str, Any]) -> str:
    """End what a launch started; a line that says so. What was trained stays, and the same launch carries on from it.

    Raises:
        Failure: the engine says no.
        UserError: its processes run on another machine.
    """
    name, objects = document["name"], document["objects"]
    if document["engine"] == "local":
        told = local.cancel(name, document.get("process") or {})
        return f"{name}: told to stop; it ends when its checkpoints are written" if told else f"{name}: does not run"
    if document["engine"] == "jobset":
        jobset.cancel(name)
    else:
        skypilot.cancel(objects)
    write_json(record_path(store, name), {**document, "canary": None, "cancelled": True})
    return f"{name}: cancelled"
