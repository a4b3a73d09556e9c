"""A worker as a JobSet for GKE, queued by Kueue: what xpk 1.16.0 renders, without xpk.

Where it is another: a worker is a JobSet of its own, so that one slice restarts without the others; the machine type
is named; the program is started by tini in place of a shell that hands signals on. docs/launch.md has the reasons.
"""

from collections.abc import Sequence
from typing import Any

from experiments.launch.programs import called
from experiments.launch.slices import ACCELERATOR, MACHINE
from experiments.launch.sweep import Launch, Worker

API = "jobset.x-k8s.io/v1alpha2"
LABEL = "ablate.launch"
QUEUE, PRIORITY = "multislice-queue", "medium"
"""As xpk names them in a cluster that it makes, or that docs/launch.md does."""
MAX_RESTARTS = 500
"""Of a worker: every preemption, and every exit 42, is one of them. xpk's default of 0 would restart none."""
REQUEUED = (42, *range(127, 256))
"""Exit codes after which a slice starts again: checkpointed; killed, or gone with its machine."""
SECRET = "ablate"
"""The Kubernetes secret whose keys are the names of variables."""
_CONTAINER, _SHARED_MEMORY = "jax-tpu", "dshm-2"
_FINISHED_SECONDS = 43_200


def render(launch: Launch, worker: Worker) -> dict[str, Any]:
    """The JobSet of one worker."""
    return {
        "apiVersion": API,
        "kind": "JobSet",
        "metadata": {
            "name": worker.name,
            "labels": {"kueue.x-k8s.io/queue-name": QUEUE, LABEL: launch.name},
            "annotations": {"alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"},
        },
        "spec": {
            "ttlSecondsAfterFinished": _FINISHED_SECONDS,
            "failurePolicy": {
                "maxRestarts": MAX_RESTARTS,
                "rules": [
                    {
                        "name": "failed_for_good",
                        "action": "FailJobSet",
                        "onJobFailureReasons": ["PodFailurePolicy"],
                    }
                ],
            },
            "replicatedJobs": [{"name": "slice-job", "replicas": 1, "template": {"spec": _job(launch, worker)}}],
        },
    }


def _job(launch: Launch, worker: Worker) -> dict[str, Any]:
    """One pod a host; the first that fails ends the job, for a slice runs together or not at all."""
    rule = {
        "action": "FailJob",
        "onPodConditions": [],
        "onExitCodes": {"containerName": _CONTAINER, "operator": "NotIn", "values": list(REQUEUED)},
    }
    return {
        "parallelism": worker.slice_.hosts,
        "completions": worker.slice_.hosts,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "podFailurePolicy": {"rules": [rule]},
        "template": {"metadata": {"labels": {LABEL: launch.name}}, "spec": _pod(launch, worker)},
    }


def _pod(launch: Launch, worker: Worker) -> dict[str, Any]:
    chips = worker.slice_.chips // worker.slice_.hosts
    selector = {
        "cloud.google.com/gke-tpu-accelerator": ACCELERATOR,
        "cloud.google.com/gke-tpu-topology": worker.slice_.grid,
        "node.kubernetes.io/instance-type": MACHINE,
    }
    tolerations = [{"key": "google.com/tpu", "operator": "Exists"}]
    if launch.spot:
        selector["cloud.google.com/gke-spot"] = "true"
        tolerations.append({"key": "cloud.google.com/gke-spot", "operator": "Exists"})
    return {
        # The webhook would say OnFailure, with which the Job is refused for its podFailurePolicy, without a word.
        "restartPolicy": "Never",
        "nodeSelector": selector,
        "tolerations": tolerations,
        "priorityClassName": PRIORITY,
        "hostNetwork": True,
        "dnsPolicy": "ClusterFirstWithHostNet",
        "terminationGracePeriodSeconds": launch.grace_seconds,
        "containers": [
            {
                "name": _CONTAINER,
                "image": launch.image,
                "command": ["tini", "--", "ablate", *worker.arguments],
                "env": [
                    {"name": name, "valueFrom": {"secretKeyRef": {"name": SECRET, "key": name}}}
                    for name in launch.secrets
                ],
                "securityContext": {"privileged": True},
                "resources": {"limits": {"google.com/tpu": chips}},
                "volumeMounts": [{"mountPath": "/dev/shm", "name": _SHARED_MEMORY}],
            }
        ],
        "volumes": [{"name": _SHARED_MEMORY, "emptyDir": {"medium": "Memory"}}],
    }


def submit(files: Sequence[str]) -> None:
    """Create the objects of files in the cluster that kubectl speaks to.

    Created, not applied: where a JobSet has ended and is still there, `apply` would start nothing and not say so.

    Raises:
        Failure: kubectl says no.
    """
    called(["kubectl", "create", *(word for file in files for word in ("-f", file))])


def check_access() -> None:
    """Whether kubectl reaches a cluster that lets this user create JobSets.

    Raises:
        Failure: it does not.
    """
    called(["kubectl", "auth", "can-i", "create", "jobsets.jobset.x-k8s.io"])


def cancel(name: str) -> None:
    """End whatever a launch has in the cluster, of an earlier time it was launched, too.

    Raises:
        Failure: kubectl says no.
    """
    called(["kubectl", "delete", "jobsets", "--selector", f"{LABEL}={name}", "--ignore-not-found", "--wait=false"])
