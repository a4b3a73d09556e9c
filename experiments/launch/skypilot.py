"""A worker as a managed job of SkyPilot 0.14.1, on TPU VMs: no cluster to look after, spot machines found anew.

SkyPilot checks the shape of what it reads and not whether it exists; the slice is therefore one of
experiments/launch/slices.py. One slice is one node of SkyPilot's, and `run` is run on every host of it.
"""

import shlex
from collections.abc import Sequence
from typing import Any

from experiments.launch.programs import called
from experiments.launch.sweep import Launch, Worker
from experiments.run.stops import StopRequested

RUNTIME = "v2-alpha-tpuv5-lite"
"""Of v5e. SkyPilot's own choice for it is that of v5p."""
RESTARTS = 2
"""After an error that is none of a preemption; exit 42 is not counted."""


def render(launch: Launch, worker: Worker) -> dict[str, Any]:
    """The task of one worker."""
    task: dict[str, Any] = {
        "name": worker.name,
        "resources": {
            "infra": "gcp",
            "accelerators": f"tpu-{worker.slice_.name}",
            "accelerator_args": {"runtime_version": RUNTIME},
            "use_spot": launch.spot,
            "job_recovery": {
                "strategy": "EAGER_NEXT_REGION",
                "max_restarts_on_errors": RESTARTS,
                "recover_on_exit_codes": [StopRequested.exit_code],
            },
        },
        "num_nodes": 1,
        "setup": _setup(launch.image),
        "run": _run(launch, worker),
    }
    if launch.secrets:
        task["secrets"] = dict.fromkeys(launch.secrets)
    return task


def _setup(image: str) -> str:
    """Fetch the image; from Google's registry with the machine's own account."""
    registry = image.partition("/")[0]
    lines = [f"sudo docker pull --quiet {shlex.quote(image)}"]
    if registry.endswith(".pkg.dev"):
        lines.insert(0, f"sudo gcloud auth configure-docker --quiet {shlex.quote(registry)}")
    return "".join(f"{line}\n" for line in ("set -e", *lines))


def _run(launch: Launch, worker: Worker) -> str:
    """The image on a host: its network and its devices. Variables go in by their names."""
    kept = [f"--preserve-env={','.join(launch.secrets)}"] if launch.secrets else []
    words = ["sudo", *kept, "docker", "run", "--rm", "--privileged", "--net=host", "--ipc=host"]
    words += [f"--stop-timeout={launch.grace_seconds}", *(word for name in launch.secrets for word in ("-e", name))]
    return f"exec {shlex.join([*words, launch.image, 'ablate', *worker.arguments])}\n"


def submit(files: Sequence[str], secrets: Sequence[str]) -> None:
    """Hand a managed job to SkyPilot for every file; a secret goes by its name, and SkyPilot reads it where it runs.

    Raises:
        Failure: SkyPilot says no.
    """
    named = [word for name in secrets for word in ("--secret", name)]
    for file in files:
        called(["sky", "jobs", "launch", "--yes", "--detach-run", *named, file])


def cancel(objects: Sequence[str]) -> None:
    """End the managed jobs of these names.

    Raises:
        Failure: SkyPilot says no.
    """
    for name in objects:
        called(["sky", "jobs", "cancel", "--yes", "--name", name])
