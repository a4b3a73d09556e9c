"""What engines are given: against golden files, xpk's manifest, the schema of Kubernetes and the rules of JobSet."""

import copy
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from experiments.launch import jobset, jobset_rules, submit
from experiments.launch.slices import SLICES
from experiments.launch.sweep import Launch, record, workers
from store.errors import UserError
from tests.conftest import ROOT

GOLDEN = Path(__file__).parent.parent / "golden"
XPK = GOLDEN / "xpk-v5litepod-256.yaml"
LAUNCH = Launch(
    name="paper-paper",
    engine="jobset",
    study="paper",
    scale="paper",
    store="gs://bucket/suite",
    slice_=SLICES["v5litepod-256"],
    workers=2,
    scorer=SLICES["v5litepod-4"],
    image="us-docker.pkg.dev/project/ablate/ablate:1",
    spot=False,
    secrets=("WANDB_API_KEY",),
    price=1.2,
    max_cost=400_000,
    hours=100.0,
    chip_hours=200_000.0,
    busy=0.98,
    grace_seconds=72,
)
ENGINES = ("jobset", "skypilot")


def golden(engine: str) -> str:
    """Two workers on spot machines with a secret and a cap, of which one is a canary, and the one that scores."""
    launch = replace(LAUNCH, engine=engine, spot=True)
    files = submit.rendered(launch, workers(launch, canary=True))
    return "---\n".join(f"# {name}\n{text}" for name, text in files.items())


@pytest.mark.parametrize("engine", ENGINES)
def test_the_files_are_what_they_were(engine: str) -> None:
    assert golden(engine) == (GOLDEN / f"launch-{engine}.yaml").read_text()


def rendered(**changes: Any) -> dict[str, Any]:
    launch = replace(LAUNCH, **changes)
    return jobset.render(launch, workers(launch)[0])


def fields(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by their path; entries of lists by their name or key, if they have one."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from fields(each, f"{path}.{key}")
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, each in enumerate(value):
            yield from fields(each, f"{path}[{each.get('name', each.get('key', number))}]")
    else:
        yield path.removeprefix("."), value


JOB = "spec.replicatedJobs[slice-job].template.spec"
POD = f"{JOB}.template.spec"
OURS = {
    "metadata.labels.ablate.launch": "cancels and lists all workers of a launch",
    "spec.failurePolicy.rules[failed_for_good].name": "says in `kubectl describe` why it ended",
    "spec.failurePolicy.rules[failed_for_good].action": "",
    "spec.failurePolicy.rules[failed_for_good].onJobFailureReasons": "",
    f"{JOB}.completionMode": "the default, said",
    f"{JOB}.template.metadata.labels.ablate.launch": "",
    f"{POD}.nodeSelector.node.kubernetes.io/instance-type": "2x4 is ambiguous without it",
    f"{POD}.containers[jax-tpu].command": "tini for the shell",
    f"{POD}.containers[jax-tpu].env": "no secrets here",
}
XPKS = {
    "metadata.labels.xpk.google.com/workload": "xpk's own lists",
    f"{JOB}.template.metadata.labels.xpk.google.com/workload": "",
    "spec.failurePolicy.rules[0].action": "its rule has no name",
    "spec.failurePolicy.rules[0].onJobFailureReasons": "",
    f"{JOB}.template.metadata.annotations": "none",
    f"{POD}.schedulerName": "the default",
    f"{POD}.imagePullSecrets[None].name": "a template's hole",
    f"{POD}.serviceAccountName": "a template's hole",
    f"{POD}.containers[jax-tpu].command": "a shell that hands on SIGTERM",
    f"{POD}.containers[jax-tpu].env": "a template's hole",
}


def test_every_field_is_xpks_or_differs_for_a_reason() -> None:
    """The golden was written by xpk 1.16.0's dry run with the same image, grace and restarts (docs/launch.md)."""
    ours = dict(fields(rendered(secrets=())))
    xpks = dict(fields(yaml.safe_load(XPK.read_text())))
    assert {path for path, value in ours.items() if xpks.get(path, "absent") != value} == OURS.keys()
    assert {path for path, value in xpks.items() if ours.get(path, "absent") != value} == XPKS.keys()


def test_the_rules_pass_what_xpk_makes_but_for_the_machine_type() -> None:
    (problem,) = jobset_rules.problems(yaml.safe_load(XPK.read_text()))
    assert "node.kubernetes.io/instance-type must be ct5lp-hightpu-4t" in problem


@pytest.mark.parametrize("slice_", SLICES.values(), ids=SLICES)
def test_the_job_is_one_by_the_schema_of_kubernetes(slice_: Any) -> None:
    launch = replace(LAUNCH, slice_=slice_, spot=True)
    manifest = yaml.safe_load(submit.rendered(launch, workers(launch))["paper-paper-0.yaml"])
    (replicated,) = manifest["spec"]["replicatedJobs"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, **replicated["template"]}
    kubernetes_validate.validate(job, "1.35", strict=True)
    assert not list(jobset_rules.problems(manifest))


def _in(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        *way, last = path.split("/")
        for key in way:
            manifest = manifest[int(key) if key.isdigit() else key]
        manifest[last.replace("~", "/")] = value

    return change


IN_JOB = "spec/replicatedJobs/0/template/spec"
IN_POD = f"{IN_JOB}/template/spec"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (_in("apiVersion", "jobset.x-k8s.io/v1"), "apiVersion: "),
        (_in("metadata/name", "9lives"), "metadata.name: '9lives' is no DNS-1035"),
        (_in("metadata/name", "a" * 50), "metadata.name: a pod would be called"),
        (_in("metadata/labels", {}), "metadata.labels: kueue.x-k8s.io/queue-name"),
        (_in("spec/failurePolicy/maxRestarts", 0), "spec.failurePolicy.maxRestarts: "),
        (_in("spec/failurePolicy/rules/0/name", "failed-for-good"), "spec.failurePolicy.rules[0].name: "),
        (_in("spec/failurePolicy/rules/0/action", "Restart"), "spec.failurePolicy.rules[0].action: "),
        (_in("spec/failurePolicy/rules/0/onJobFailureReasons", ["Bad"]), "rules[0].onJobFailureReasons: "),
        (_in(f"{IN_JOB}/completionMode", "NonIndexed"), "completionMode: "),
        (_in(f"{IN_JOB}/completions", 32), "parallelism: is 64, completions 32"),
        (_in(f"{IN_JOB}/backoffLimit", 6), "backoffLimit: is 6"),
        (_in(f"{IN_JOB}/podFailurePolicy/rules/0/onExitCodes/containerName", "x"), "onExitCodes.containerName: "),
        (_in(f"{IN_JOB}/podFailurePolicy/rules/0/onExitCodes/values", [127]), "onExitCodes.values: exit code 42"),
        (_in(f"{IN_POD}/restartPolicy", "OnFailure"), "restartPolicy: is OnFailure"),
        (_in(f"{IN_POD}/dnsPolicy", "ClusterFirst"), "dnsPolicy: "),
        (_in(f"{IN_POD}/terminationGracePeriodSeconds", 5), "terminationGracePeriodSeconds: is 5"),
        (_in(f"{IN_POD}/tolerations", []), "tolerations: google.com/tpu"),
        (_in(f"{IN_POD}/nodeSelector/cloud.google.com~gke-tpu-topology", "9x9"), "gke-tpu-topology is '9x9'"),
        (_in(f"{IN_POD}/nodeSelector/cloud.google.com~gke-tpu-topology", "8x8"), "8x8 has 16 machines"),
        (_in(f"{IN_POD}/nodeSelector/node.kubernetes.io~instance-type", "ct5lp-hightpu-8t"), "instance-type must be"),
        (_in(f"{IN_POD}/containers/0/resources/limits", {"google.com/tpu": 8}), "google.com/tpu is 8 in all"),
        (_in(f"{IN_POD}/volumes", []), "volumeMounts: 'dshm-2' is no volume"),
        (_in(f"{IN_POD}/containers/0/env", [{"name": "WANDB_API_KEY", "value": "k"}]), "env: WANDB_API_KEY"),
    ],
)
def test_a_rule_that_is_broken_names_the_field(change: Callable[[dict[str, Any]], None], field: str) -> None:
    manifest = copy.deepcopy(rendered())
    change(manifest)
    with pytest.raises(UserError, match="JobSet ") as refused:
        jobset_rules.check(manifest)
    assert field in str(refused.value) and len(str(refused.value).splitlines()) == 1


VALIDATES = """
import json, sys, sky
found = []
for path in sys.argv[1:]:
    task = sky.Task.from_yaml(path)
    task.validate()
    (resources,) = task.resources
    found.append([task.num_nodes, resources.accelerators, resources.accelerator_args, resources.job_recovery])
print(json.dumps(found))
"""


def test_skypilot_takes_the_tasks(tmp_path: Path) -> None:
    """By the interpreter that `sky` is installed for: it lives in an environment of its own (docs/launch.md)."""
    if (sky := shutil.which("sky")) is None:
        pytest.skip("skypilot is not installed: pip install 'skypilot[gcp]==0.14.1' elsewhere, and put `sky` on PATH")
    python = Path(sky).read_text(encoding="utf-8").partition("\n")[0].removeprefix("#!")
    for name, slice_ in SLICES.items():
        launch = replace(LAUNCH, engine="skypilot", slice_=slice_, spot=True)
        submit.write_files(launch, tmp_path / name, workers(launch, canary=True)[:2])
    files = sorted(map(str, tmp_path.glob("*/*.yaml")))
    environment = os.environ | {"WANDB_API_KEY": "k", "HOME": str(tmp_path)}
    done = subprocess.run(
        [python, "-c", VALIDATES, *files], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 2 * len(SLICES)
    for path, (nodes, accelerators, arguments, recovery) in zip(files, found, strict=True):
        assert (nodes, accelerators) == (1, {f"tpu-{Path(path).parent.name}": 1})
        assert arguments["runtime_version"] == "v2-alpha-tpuv5-lite" and recovery["recover_on_exit_codes"] == [42]


def test_the_queue_that_the_documentation_makes_is_the_one_that_is_named() -> None:
    objects = list(yaml.safe_load_all((ROOT / "docs" / "kueue.yaml").read_text()))
    named = {each["kind"]: each["metadata"]["name"] for each in objects}
    assert (named["LocalQueue"], named["PriorityClass"]) == (jobset.QUEUE, jobset.PRIORITY)
    kubernetes_validate.validate(next(each for each in objects if each["kind"] == "PriorityClass"), "1.35", strict=True)


def test_a_record_has_what_machines_read() -> None:
    assert {"engine", "slice", "hosts", "files", "chip_hours", "hours", "price"} <= record(
        LAUNCH, workers(LAUNCH)
    ).keys()
