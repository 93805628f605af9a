"""Labelling on a Ray cluster of several raylets on this machine, one of which is lost in the middle."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from conftest import ROOT, K, T, documents, label, write_megatron, written
from ray.cluster_utils import Cluster

import saltworks_lm.ray as on_ray
from saltworks_lm import ProgramError

SHARD_BYTES = ("--shard-bytes", "60000")
N_TASKS = 6


def arguments(made: Path, output: Path) -> tuple[str, ...]:
    return (
        *("--teacher", str(made / "teacher.onnx"), "--tokens", str(made / "many"), "--output", str(output)),
        *("--seq-len", str(T), "--top-k", str(K), "--device", "cpu", *SHARD_BYTES),
    )


@pytest.fixture(scope="module")
def many(made: Path) -> Path:
    """Tokens that keep a task at work for some seconds."""
    write_megatron(made / "many", documents(4000))
    return made


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head that runs no tasks. The package is on every machine, as an installed one would be."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "python"))
    small = {"object_store_memory": 80 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def add_node(cluster: Cluster):
    return cluster.add_node(num_cpus=1, object_store_memory=80 << 20)


def test_a_lost_machine_costs_its_task_alone_and_changes_no_byte(many: Path, tmp_path: Path, cluster: Cluster) -> None:
    first, second = add_node(cluster), add_node(cluster)
    ray.init(address=cluster.address, log_to_driver=False)
    events: list[on_ray.Event] = []
    replaced = threading.Event()

    def replace(event: on_ray.Event) -> None:
        """Once a task has told how far it is, the machine that it runs on is lost, and another joins."""
        events.append(event)
        if event.what == "progress" and not replaced.is_set():
            replaced.set()
            lost = first if event.node == first.node_id else second
            cluster.remove_node(lost, allow_graceful=False)
            add_node(cluster)

    output = tmp_path / "labels"
    manifest = on_ray.label(*arguments(many, output), n_tasks=N_TASKS, on_event=replace)
    for event in events:
        if event.what != "progress":
            print(f"{event.seconds:6.1f} s  task {event.task} {event.what} on {event.node[:8]}")
    assert replaced.is_set()
    started = [event.task for event in events if event.what == "started"]
    assert sorted(set(started)) == list(range(N_TASKS))
    assert len(started) > N_TASKS, "the lost machine had no task in work"
    assert len({event.node for event in events}) == 3
    assert sorted(event.task for event in events if event.what == "ended")[-1] == N_TASKS - 1
    reference = label(many, f"ray-{tmp_path.name}", *SHARD_BYTES, tokens="many")
    assert written(output) == written(reference)
    n_shards = len([name for name in written(output) if name.startswith("scores/")])
    assert n_shards >= 2 * N_TASKS
    assert manifest["n_rows"] > 0


def test_it_resumes_and_does_not_retry_permanent_failures(many: Path, tmp_path: Path, cluster: Cluster) -> None:
    add_node(cluster)
    ray.init(address=cluster.address, log_to_driver=False)
    output = tmp_path / "labels"
    # Half is there before, made without Ray.
    label(many, str(output), *SHARD_BYTES, "--task", "0/2", tokens="many")
    before = {name: data for name, data in written(output).items() if name.startswith("scores/")}
    events: list[on_ray.Event] = []
    on_ray.label(*arguments(many, output), n_tasks=2, on_event=events.append)
    made = {event.task: event.facts["n_shards_made"] for event in events if event.what == "ended"}
    assert made[0] == 0
    assert made[1] > 0
    assert before.items() <= written(output).items()
    events.clear()
    changed = list(arguments(many, output))
    changed[changed.index("--top-k") + 1] = "3"
    with pytest.raises(ProgramError, match="another --top-k") as raised:
        on_ray.label(*changed, n_tasks=1, on_event=events.append)
    assert raised.value.exit_code == 2
    assert not events
    with pytest.raises(ProgramError, match="Ray chooses the device"):
        on_ray.label("--device", "cuda:1")
