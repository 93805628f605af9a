"""The files in deploy/ are ones that their engines take, and say the same thing in every place."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from conftest import ROOT

from saltworks_lm.programs import find_program

DEPLOY = ROOT / "deploy"
JOBS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
# Where limits of one index are stable, and the newest whose schema is installed.
VERSIONS = ("1.33", "1.37")


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def container(job: dict[str, Any]) -> dict[str, Any]:
    (only,) = job["spec"]["template"]["spec"]["containers"]
    return only


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_kubernetes_takes_every_job(path: Path, version: str) -> None:
    assert kubernetes_validate.validate(read(path), version, strict=True)


def test_the_schema_refuses_what_kubernetes_would() -> None:
    job = read(DEPLOY / "kubernetes/label-job.yaml")
    for damage in (
        lambda spec: spec.update(backoffLimitPerIndx=2),
        lambda spec: spec.update(completions="many"),
        lambda spec: spec["podFailurePolicy"]["rules"][0].pop("action"),
        lambda spec: spec["template"]["spec"]["containers"][0].pop("name"),
    ):
        damaged = copy.deepcopy(job)
        damage(damaged["spec"])
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(damaged, VERSIONS[-1], strict=True)


def test_the_number_of_tasks_is_that_of_the_jobs_completions_and_failures_are_told_apart() -> None:
    spec = read(DEPLOY / "kubernetes/label-job.yaml")["spec"]
    assert f"--tasks={spec['completions']}" in container({"spec": spec})["args"]
    assert (spec["completionMode"], spec["template"]["spec"]["restartPolicy"]) == ("Indexed", "Never")
    (rule,) = [rule for rule in spec["podFailurePolicy"]["rules"] if rule["action"] == "FailIndex"]
    assert rule["onExitCodes"]["values"] == [2, 3]
    assert rule["onExitCodes"]["containerName"] == container({"spec": spec})["name"]


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_the_program_takes_the_arguments_of_every_job(path: Path) -> None:
    args = container(read(path))["args"]
    done = subprocess.run([find_program(), *args], capture_output=True, text=True, timeout=60)
    # The files of the volume are not there; what is not an option would be said before that.
    assert done.returncode != 0
    assert "/data" in done.stderr, done.stderr
    assert "unexpected argument" not in done.stderr


def test_the_jobs_share_image_and_volume() -> None:
    jobs = [read(path) for path in JOBS]
    assert len({container(job)["image"] for job in jobs}) == 1
    assert len({str(job["spec"]["template"]["spec"]["volumes"]) for job in jobs}) == 1


def test_skypilots_files_name_no_task_by_hand() -> None:
    label = read(DEPLOY / "skypilot/label.yaml")
    assert "--task auto" in label["run"]
    assert label["resources"]["job_recovery"]["recover_on_exit_codes"] == [75]
    pool = read(DEPLOY / "skypilot/pool.yaml")
    assert label["resources"]["accelerators"] == pool["resources"]["accelerators"]


@pytest.mark.parametrize("name", ["label.sbatch", "submit.sh"])
def test_slurms_scripts_are_bash(name: str) -> None:
    subprocess.run(["bash", "-n", DEPLOY / "slurm" / name], check=True)


def slurm_ends(tmp_path: Path, code: int, restarts: int) -> tuple[int, str]:
    """The array's script with programs that end as said; what it had scontrol do."""
    for name, body in (("saltworks", f"exit {code}"), ("scontrol", f'echo "$@" > {tmp_path}/asked'), ("sleep", ":")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    env = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_RESTART_COUNT": str(restarts),
    }
    done = subprocess.run(["bash", DEPLOY / "slurm/label.sbatch"], env=env, timeout=60)
    asked = tmp_path / "asked"
    return done.returncode, asked.read_text().strip() if asked.exists() else ""


@pytest.mark.parametrize(
    ("code", "restarts", "is_requeued"),
    [(0, 0, False), (75, 0, True), (75, 9, True), (1, 0, True), (1, 2, False), (2, 0, False), (3, 0, False)],
)
def test_a_slurm_task_is_requeued_after_a_temporary_failure(
    tmp_path: Path, code: int, restarts: int, is_requeued: bool
) -> None:
    assert slurm_ends(tmp_path, code, restarts) == (code, "requeue 7_3" if is_requeued else "")
