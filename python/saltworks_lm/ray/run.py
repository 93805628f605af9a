"""Plan, tasks and manifest, as Ray tasks."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..errors import ProgramError
from ..task import RETRIED, check_arguments, run_program, run_task

# Tasks per slot of the cluster, so that slower machines take fewer, and machines that join later
# get some.
_TASKS_PER_SLOT = 4
# Polling interval for the cluster, seconds.
_PAUSE = 0.5


@dataclass(frozen=True)
class Event:
    """Something that happened in a task.

    Attributes
    ----------
    what
        `started`, `progress`, `ended` or `failed`; a task that starts twice was run again.
    task, n_tasks
        Its index, from 0, and the number of tasks.
    node
        Id of the Ray node that it runs on.
    seconds
        Seconds since the call began.
    facts
        For `progress`: tokens, tokens_total, tokens_per_s, shards, shards_total, …; for `failed`: exit_code,
        message.
    """

    what: str
    task: int
    n_tasks: int
    node: str
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict)


class _RetriedError(ProgramError):
    """An error that makes Ray retry."""


class _Board:
    """An actor on the caller's node that collects events from tasks."""

    def __init__(self) -> None:
        self._events: list[tuple[str, int, str, dict[str, Any]]] = []

    def add(self, what: str, task: int, node: str, facts: dict[str, Any]) -> None:
        self._events.append((what, task, node, facts))

    def take(self) -> list[tuple[str, int, str, dict[str, Any]]]:
        events, self._events = self._events, []
        return events


def label(
    *arguments: str,
    n_tasks: int | None = None,
    num_cpus: int = 1,
    num_gpus: float | None = None,
    retries: int = 8,
    finalize: bool = True,
    on_event: Callable[[Event], None] | None = None,
) -> dict[str, Any]:
    """Labels on the cluster of `ray.init`, and writes the manifest.

    Parameters
    ----------
    arguments
        Arguments of `saltworks label`, without `--task`. Paths must be the same on every machine, and all need this
        package; relative paths are relative to the folder of this process.
    n_tasks
        Number of tasks: by default four for each that can run at once, and at most one per shard.
    num_cpus, num_gpus
        Resources per task. `--threads` defaults to num_cpus. By default num_gpus is 1 if `--device` is not cpu and
        the cluster has GPUs; Ray then shows each task its own GPU.
    retries
        How often a task may be lost, fail or be interrupted before it is given up.
    finalize
        Whether to write the manifest at the end.
    on_event
        Called in this process with the events of all tasks.

    Returns
    -------
    dict
        The output of `saltworks finalize --json` without its list of shards; without `finalize`, that of `plan
        --json`.

    Raises
    ------
    ProgramError
        With the exit code of the failed task, after the others were told to stop.
    """
    check_arguments(arguments)
    resources = _resources(arguments, num_cpus, num_gpus)
    arguments = _with_threads(arguments, num_cpus)
    planned = _once(("plan", *arguments, "--no-probe", "--json"), resources, retries)
    n_tasks = n_tasks or min(planned["n_shards"], _TASKS_PER_SLOT * _slots(resources))
    _run_tasks(arguments, max(1, n_tasks), resources, retries, on_event)
    if not finalize:
        return planned
    return _once(("finalize", planned["output"], "--json"), {"num_cpus": 1}, retries)


def _resources(arguments: tuple[str, ...], num_cpus: int, num_gpus: float | None) -> dict[str, float]:
    device = _value_of(arguments, "--device") or "auto"
    if ":" in device or "," in device:
        raise ProgramError(f"--device {device}: leave out the number, Ray chooses the device of a task", 2)
    if num_gpus is None:
        has_gpus = ray.cluster_resources().get("GPU", 0) > 0
        num_gpus = 1 if device not in ("cpu", "auto") or (device == "auto" and has_gpus) else 0
    return {"num_cpus": num_cpus, "num_gpus": num_gpus}


def _value_of(arguments: tuple[str, ...], option: str) -> str | None:
    for argument, after in zip(arguments, (*arguments[1:], None), strict=True):
        if argument == option:
            return after
        if argument.startswith(f"{option}="):
            return argument.split("=", 1)[1]
    return None


def _with_threads(arguments: tuple[str, ...], num_cpus: int) -> tuple[str, ...]:
    return arguments if _value_of(arguments, "--threads") else (*arguments, "--threads", str(num_cpus))


def _slots(resources: dict[str, float]) -> int:
    there = ray.cluster_resources()
    names = {"num_cpus": "CPU", "num_gpus": "GPU"}
    slots = [int(there.get(names[name], 0) / wanted) for name, wanted in resources.items() if wanted > 0]
    return max(1, min(slots, default=1))


def _once(command: tuple[str, ...], resources: dict[str, float], retries: int) -> dict[str, Any]:
    """Runs one command on the cluster, since the caller's machine may lack ONNX Runtime or a GPU."""
    options = {"max_retries": retries, "retry_exceptions": [_RetriedError], **resources}
    ref = ray.remote(_command_task).options(name=f"saltworks {command[0]}", **options).remote(command, os.getcwd())
    try:
        return dict(ray.get(ref))
    except ray.exceptions.RayTaskError as error:
        raise _cause(error) from None
    except BaseException:
        ray.cancel(ref)
        raise


def _command_task(command: tuple[str, ...], cwd: str) -> dict[str, Any]:
    with _retrying():
        facts = json.loads(run_program(command, cwd=cwd))
    # The list of shards may be long.
    return {key: value for key, value in facts.items() if key != "shards"}


class _retrying:  # noqa: N801
    """Turns an error worth retrying into one that makes Ray retry."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, ProgramError) and error.exit_code in RETRIED:
            raise _RetriedError(str(error), error.exit_code) from None


def _label_task(arguments: tuple[str, ...], index: int, count: int, cwd: str, board: Any) -> None:
    node = ray.get_runtime_context().get_node_id()

    def tell(what: str, facts: dict[str, Any]) -> None:
        board.add.remote(what, index, node, facts)

    tell("started", {})
    try:
        with _retrying():
            facts = run_task(arguments, index, count, lambda facts: tell("progress", facts), cwd)
    except ProgramError as error:
        tell("failed", {"exit_code": error.exit_code, "message": str(error)})
        raise
    tell("ended", facts)


def _run_tasks(
    arguments: tuple[str, ...],
    n_tasks: int,
    resources: dict[str, float],
    retries: int,
    on_event: Callable[[Event], None] | None,
) -> None:
    began = time.monotonic()
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    board = ray.remote(_Board).options(num_cpus=0, scheduling_strategy=here).remote()
    options = {"max_retries": retries, "retry_exceptions": [_RetriedError], **resources}
    start = ray.remote(_label_task)
    cwd = os.getcwd()
    pending = [
        start.options(name=f"saltworks label {i}/{n_tasks}", **options).remote(arguments, i, n_tasks, cwd, board)
        for i in range(n_tasks)
    ]

    def show() -> None:
        for what, task, node, facts in ray.get(board.take.remote()):
            if on_event is not None:
                on_event(Event(what, task, n_tasks, node, time.monotonic() - began, facts))

    try:
        while pending:
            done, pending = ray.wait(pending, num_returns=1, timeout=_PAUSE)
            show()
            ray.get(done)
        show()
    except ray.exceptions.RayTaskError as error:
        raise _cause(error) from None
    finally:
        for ref in pending:
            ray.cancel(ref)
        ray.kill(board)


def _cause(error: Any) -> Exception:
    cause = error.cause
    if isinstance(cause, ProgramError):
        return ProgramError(str(cause), cause.exit_code)
    return ProgramError(f"a task of Ray failed: {error}", 1)
