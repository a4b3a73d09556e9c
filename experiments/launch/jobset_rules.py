"""What is asked of a JobSet and no schema on the package index says: rules of its webhook, of GKE and of ours.

The webhook's are those of JobSet v1alpha2 (v0.12). What it refuses comes back after a while from a cluster that one
pays for, and what only the Job's webhook refuses never does; so each is looked at here, before anything is sent.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.launch.jobset import API, REQUEUED
from experiments.launch.slices import ACCELERATOR, MACHINE, SLICES
from experiments.launch.sweep import GRACE_SECONDS
from store.errors import UserError

Found = Iterator[str]

LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
"""DNS-1035, of at most 63 letters."""
RULE_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
ACTIONS = ("FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts")
REASONS = ("BackoffLimitExceeded", "DeadlineExceeded", "FailedIndexes", "MaxFailedIndexesExceeded", "PodFailurePolicy")
LONGEST = 63
MOST_CODES = 255
"""Values of an exit code rule (Kubernetes, batch/v1)."""
_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS)$", re.IGNORECASE)


def check(manifest: Mapping[str, Any]) -> None:
    """Refuse a JobSet that a cluster would.

    Raises:
        UserError: with the first of `problems`.
    """
    for problem in problems(manifest):
        raise UserError(f"JobSet {problem}")


def problems(manifest: Mapping[str, Any]) -> Found:
    """A line for every rule that is broken; it begins with the field."""
    if (manifest.get("apiVersion"), manifest.get("kind")) != (API, "JobSet"):
        yield f"apiVersion: is {manifest.get('apiVersion')} {manifest.get('kind')}; it must be {API} JobSet"
    metadata, spec = manifest["metadata"], manifest["spec"]
    yield from _label("metadata.name", metadata["name"])
    queue = metadata.get("labels", {}).get("kueue.x-k8s.io/queue-name", "")
    if not queue:
        yield "metadata.labels: kueue.x-k8s.io/queue-name is missing; without it Kueue starts the job unqueued"
    yield from _failure_policy(spec.get("failurePolicy", {}))
    for number, replicated in enumerate(spec["replicatedJobs"]):
        where = f"spec.replicatedJobs[{number}]"
        job = replicated["template"]["spec"]
        yield from _label(f"{where}.name", replicated["name"])
        longest = f"{metadata['name']}-{replicated['name']}-{replicated['replicas'] - 1}-{job['completions'] - 1}-abcde"
        if len(longest) > LONGEST:
            yield f"metadata.name: a pod would be called {longest}, of {len(longest)} letters; {LONGEST} are allowed"
        yield from _job(f"{where}.template.spec", job)
        yield from _pod(f"{where}.template.spec.template.spec", job, job["template"]["spec"])


def _label(field: str, name: str) -> Found:
    if not LABEL.fullmatch(name) or len(name) > LONGEST:
        yield f"{field}: {name[:80]!r} is no DNS-1035 label: a to z, 0 to 9, hyphens, a letter first, up to {LONGEST}"


def _failure_policy(policy: Mapping[str, Any]) -> Found:
    field = "spec.failurePolicy"
    if policy.get("maxRestarts", 0) < 1:
        yield f"{field}.maxRestarts: is {policy.get('maxRestarts', 0)}; no worker that checkpointed would start again"
    names = [rule["name"] for rule in policy.get("rules", []) if "name" in rule]
    for number, rule in enumerate(policy.get("rules", [])):
        where = f"{field}.rules[{number}]"
        name = rule.get("name", "unnamed")
        if not RULE_NAME.fullmatch(name) or len(name) > 128:
            yield f"{where}.name: {name[:80]!r} must be of letters, digits and _,: alone, with a letter first"
        if names.count(name) > 1:
            yield f"{where}.name: {name!r} is there twice"
        if rule.get("action") not in ACTIONS:
            yield f"{where}.action: {rule.get('action')!r} is none of {', '.join(ACTIONS)}"
        for reason in rule.get("onJobFailureReasons", []):
            if reason not in REASONS:
                yield f"{where}.onJobFailureReasons: {reason!r} is none of {', '.join(REASONS)}"


def _job(where: str, job: Mapping[str, Any]) -> Found:
    if job.get("completionMode", "Indexed") != "Indexed":
        yield f"{where}.completionMode: is {job['completionMode']}; hosts need an index: Indexed"
    if job["parallelism"] != job["completions"]:
        yield f"{where}.parallelism: is {job['parallelism']}, completions {job['completions']}; one pod a host in both"
    if job.get("backoffLimit") != 0:
        yield f"{where}.backoffLimit: is {job.get('backoffLimit')}; a slice runs together, so one failed pod ends it: 0"
    containers = [container["name"] for container in job["template"]["spec"]["containers"]]
    for number, rule in enumerate(job.get("podFailurePolicy", {}).get("rules", [])):
        codes, field = rule.get("onExitCodes"), f"{where}.podFailurePolicy.rules[{number}].onExitCodes"
        if codes is None:
            continue
        if codes.get("containerName") not in (None, *containers):
            yield f"{field}.containerName: {codes['containerName']!r} is no container of the pod"
        values = codes["values"]
        if len(values) > MOST_CODES or values != sorted(set(values)):
            yield f"{field}.values: must be rising, without doubles, {MOST_CODES} at most"
        if codes["operator"] not in ("In", "NotIn"):
            yield f"{field}.operator: {codes['operator']!r} is neither In nor NotIn"
        restarted = (REQUEUED[0] in values) == (codes["operator"] == "NotIn")
        if rule.get("action") == "FailJob" and not restarted:
            yield f"{field}.values: exit code {REQUEUED[0]} would fail for good, and it asks to be started again"


def _pod(where: str, job: Mapping[str, Any], pod: Mapping[str, Any]) -> Found:
    if pod.get("restartPolicy") != "Never":
        yield (
            f"{where}.restartPolicy: is {pod.get('restartPolicy')}; a Job with a podFailurePolicy takes Never alone, "
            "and the webhook's default is OnFailure"
        )
    if pod.get("hostNetwork") and pod.get("dnsPolicy") != "ClusterFirstWithHostNet":
        yield f"{where}.dnsPolicy: on the host's network no name is found without ClusterFirstWithHostNet"
    if pod.get("terminationGracePeriodSeconds", 0) < GRACE_SECONDS:
        given = pod.get("terminationGracePeriodSeconds")
        yield f"{where}.terminationGracePeriodSeconds: is {given}; a checkpoint takes longer: {GRACE_SECONDS} or more"
    if not any(each.get("key") == "google.com/tpu" for each in pod.get("tolerations", [])):
        yield f"{where}.tolerations: google.com/tpu is missing, and TPU nodes take nothing else"
    yield from _slice(where, job["parallelism"], pod)
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for container in pod["containers"]:
        yield from _container(f"{where}.containers", container, volumes)


def _slice(where: str, hosts: int, pod: Mapping[str, Any]) -> Found:
    """Topology, machine, hosts and chips have to be of one slice."""
    selector, field = pod.get("nodeSelector", {}), f"{where}.nodeSelector"
    if selector.get("cloud.google.com/gke-tpu-accelerator") != ACCELERATOR:
        yield f"{field}: cloud.google.com/gke-tpu-accelerator must be {ACCELERATOR}"
    if selector.get("node.kubernetes.io/instance-type") != MACHINE:
        yield f"{field}: node.kubernetes.io/instance-type must be {MACHINE}; 2x4 alone is of two machines or of one"
    grid = selector.get("cloud.google.com/gke-tpu-topology")
    slice_ = next((each for each in SLICES.values() if each.grid == grid), None)
    if slice_ is None:
        grids = ", ".join(each.grid for each in SLICES.values())
        yield f"{field}: cloud.google.com/gke-tpu-topology is {grid!r}, none of {grids}"
        return
    if hosts != slice_.hosts:
        yield f"{where}: {grid} has {slice_.hosts} machines of type {MACHINE}, and parallelism is {hosts}"
    chips = sum(each.get("resources", {}).get("limits", {}).get("google.com/tpu", 0) for each in pod["containers"])
    if chips * slice_.hosts != slice_.chips:
        yield (
            f"{where}.containers: google.com/tpu is {chips} in all; a {MACHINE} of {grid} has "
            f"{slice_.chips // slice_.hosts}"
        )


def _container(where: str, container: Mapping[str, Any], volumes: Sequence[str] | set[str]) -> Found:
    for mount in container.get("volumeMounts", []):
        if mount["name"] not in volumes:
            yield f"{where}.volumeMounts: {mount['name']!r} is no volume of the pod"
    for variable in container.get("env") or []:
        if "value" in variable and _SECRET.search(variable["name"]):
            yield f"{where}.env: {variable['name']} holds what should be a secretKeyRef"
