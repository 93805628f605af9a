"""`python -m saltworks_lm.ray label ...`: the options of `saltworks label`, and a few of Ray's."""

from __future__ import annotations

import argparse
import sys
import time

import ray

from ..errors import ProgramError
from .run import Event, label

_SECONDS_PER_LINE = 5.0


class _Lines:
    """Prints one line for all tasks every few seconds, and one for each task that fails."""

    def __init__(self) -> None:
        self._latest: dict[int, dict[str, float]] = {}
        self._running: dict[int, str] = {}
        self._n_started = 0
        self._ended: set[int] = set()
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        if event.what == "started":
            self._n_started += 1
            self._running[event.task] = event.node
        elif event.what == "progress":
            self._latest[event.task] = event.facts
        else:
            self._running.pop(event.task, None)
        if event.what == "ended":
            self._ended.add(event.task)
        if event.what == "failed":
            print(f"task {event.task} failed ({event.facts['exit_code']}): {event.facts['message']}", file=sys.stderr)
        is_last = len(self._ended) == event.n_tasks
        if is_last or time.monotonic() - self._last >= _SECONDS_PER_LINE:
            self._last = time.monotonic()
            print(self._line(event), file=sys.stderr)

    def _line(self, event: Event) -> str:
        tokens = sum(facts["tokens"] for facts in self._latest.values())
        speed = sum(self._latest[task]["tokens_per_s"] for task in self._running if task in self._latest)
        again = self._n_started - len(self._ended | set(self._running))
        return (
            f"{event.seconds:6.0f} s  {len(self._ended)}/{event.n_tasks} tasks, {len(self._running)} running on "
            f"{len(set(self._running.values()))} nodes, {again} run again  {tokens:.0f} tokens  {speed:.0f} tokens/s"
        )


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m saltworks_lm.ray label",
        description="Labels on a Ray cluster. All other options are those of `saltworks label`.",
        allow_abbrev=False,
    )
    parser.add_argument("command", choices=("label",))
    parser.add_argument("--ray-address", help="the cluster; by default RAY_ADDRESS, else one on this machine")
    parser.add_argument(
        "--ray-tasks", type=int, metavar="N", help="tasks; by default four per slot, at most one per shard"
    )
    parser.add_argument("--cpus-per-task", type=int, default=1, metavar="N", help="also --threads (default 1)")
    parser.add_argument("--gpus-per-task", type=float, metavar="N", help="by default 1 where there are GPUs")
    parser.add_argument("--retries", type=int, default=8, metavar="N", help="retries of a task (default 8)")
    return parser


def main() -> int:
    """Labels; returns the exit code that `saltworks label` would have."""
    given, others = _arguments().parse_known_args()
    try:
        ray.init(address=given.ray_address, log_to_driver=False, logging_level="ERROR")
        manifest = label(
            *others,
            n_tasks=given.ray_tasks,
            num_cpus=given.cpus_per_task,
            num_gpus=given.gpus_per_task,
            retries=given.retries,
            on_event=_Lines(),
        )
    except KeyboardInterrupt:
        print("stopped; the same command resumes", file=sys.stderr)
        return 75
    except (ProgramError, ConnectionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1) or 1
    print(f"labels are complete: {manifest['n_rows']} sequences, {manifest['n_targets']} targets")
    return 0


if __name__ == "__main__":
    sys.exit(main())
