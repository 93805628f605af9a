"""The stream: one order over ranks, workers and loaders, resumed anywhere, equal steps."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import shutil
import threading
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import saltworks_lm as sl
from saltworks_lm import Labels, TokenCorpus
from saltworks_lm.order import Order
from saltworks_lm.row_groups import Lock
from saltworks_lm.torch import LabelDataset, LabelStream, hf

B = 4


def ids_of(batches) -> list[int]:
    return [int(seq_id) for batch in batches for seq_id in batch["seq_ids"]]


def place(state: dict) -> dict:
    """A state without the name of its source."""
    return {name: value for name, value in state.items() if name != "source"}


@pytest.fixture(scope="module")
def labels(made: Path) -> Labels:
    return Labels(made / "labels", groups=["topk"])


@pytest.fixture(scope="module")
def wanted(labels: Labels) -> list[int]:
    """All sequences in the order of seed 1."""
    return labels.seq_ids[Order(labels.group_sizes, 1).rows(0, len(labels))].tolist()


def loader_of(stream: LabelStream, workers: int, kind=DataLoader):
    return kind(stream, batch_size=None, num_workers=workers)


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
@pytest.mark.parametrize("ranks", [1, 3])
def test_ranks_and_workers_read_the_one_order(labels: Labels, wanted: list[int], ranks: int, workers: int) -> None:
    of_ranks = []
    for rank in range(ranks):
        stream = LabelStream(labels, B, seed=1, rank=rank, world_size=ranks)
        assert len(stream) == stream.n_steps == len(labels) // (B * ranks)
        batches = [ids_of([batch]) for batch in loader_of(stream, workers)]
        assert len(batches) == stream.n_steps
        of_ranks.append(batches)
    assert len({len(batches) for batches in of_ranks}) == 1
    seen = [seq_id for step in zip(*of_ranks, strict=True) for batch in step for seq_id in batch]
    assert seen == wanted[: len(seen)]


def test_it_stops_and_goes_on_with_other_ranks_and_workers(labels: Labels, wanted: list[int]) -> None:
    rng = random.Random(2)
    state, seen = {"seed": 1, "epoch": 0, "position": 0}, []
    while (ranks := rng.choice([1, 2, 3])) and len(labels) - state["position"] >= B * ranks:
        streams = [LabelStream(labels, B, rank=rank, world_size=ranks) for rank in range(ranks)]
        for stream in streams:
            stream.load_state_dict(state)
        n_steps = rng.randint(1, min(streams[0].n_steps, 12))
        workers = rng.choice([0, 0, 1, 2])
        of_ranks = []
        for stream in streams:
            batches = iter(loader_of(stream, workers))
            of_ranks.append([ids_of([next(batches)]) for _ in range(n_steps)])
        seen += [seq_id for step in zip(*of_ranks, strict=True) for batch in step for seq_id in batch]
        state = streams[0].state_after(n_steps)
        assert place(state) == {"seed": 1, "epoch": 0, "position": len(seen)}
    assert seen == wanted[: len(seen)]
    assert len(seen) > len(labels) - 3 * B


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
@pytest.mark.parametrize("n_done", [0, 1, 5, 6, -2, -1])
def test_a_stateful_data_loader_goes_on_where_it_was(
    labels: Labels, wanted: list[int], workers: int, n_done: int
) -> None:
    loader = loader_of(LabelStream(labels, B, seed=1), workers, StatefulDataLoader)
    n_done = n_done if n_done >= 0 else len(labels) // B + n_done
    batches = iter(loader)
    first = ids_of(next(batches) for _ in range(n_done))
    state = json.loads(json.dumps(loader.state_dict())) if workers == 0 else loader.state_dict()
    again = LabelStream(labels, B, seed=1)
    resumed = loader_of(again, workers, StatefulDataLoader)
    resumed.load_state_dict(state)
    seen = first + ids_of(resumed)
    assert seen == wanted[: len(seen)]
    assert len(seen) == len(labels) // B * B


def test_resuming_reads_nothing_twice(made: Path) -> None:
    whole = Labels(made / "labels", groups=["topk"])
    stream = LabelStream(whole, B, seed=1)
    list(stream)
    assert whole.n_decoded == len(whole.places)
    late = Labels(made / "labels", groups=["topk"])
    stream = LabelStream(late, B, seed=1)
    stream.load_state_dict({"seed": 1, "epoch": 0, "position": stream.n_steps * B - B})
    assert len(list(stream)) == 1
    # One batch is of as many row groups as it has rows at most.
    assert late.n_decoded <= B


def test_epochs_follow_one_another(labels: Labels, wanted: list[int]) -> None:
    stream = LabelStream(labels, B, seed=1)
    n = stream.n_steps
    first, second = ids_of(stream), ids_of(stream)
    assert first == wanted[: n * B]
    assert place(stream.state_dict()) == {"seed": 1, "epoch": 2, "position": 0}
    assert second != first
    assert len(set(second)) == n * B
    assert ids_of(LabelStream(labels, B, seed=1, n_epochs=2)) == first + second
    both = LabelStream(labels, B, seed=1, n_epochs=2)
    assert len(both) == 2 * n
    assert ids_of(loader_of(both, 2)) == first + second
    endless = iter(LabelStream(labels, B, seed=1, n_epochs=None))
    assert ids_of(next(endless) for _ in range(2 * n + 1))[: 2 * n * B] == first + second
    other = LabelStream(labels, B, seed=1)
    other.set_epoch(1)
    assert ids_of(loader_of(other, 2)) == second
    assert place(other.state_after(0)) == {"seed": 1, "epoch": 1, "position": 0}
    assert place(other.state_after(n + 1)) == {"seed": 1, "epoch": 2, "position": B}
    assert place(other.state_after(3 * n)) == {"seed": 1, "epoch": 3, "position": n * B}


@pytest.mark.parametrize("prefetch", [0, 1, 5, 1000])
def test_batches_that_are_read_ahead_are_the_same(labels: Labels, wanted: list[int], prefetch: int) -> None:
    stream = LabelStream(labels, B, seed=1, prefetch=prefetch)
    for n_read, batch in enumerate(stream, 1):
        assert ids_of([batch]) == wanted[(n_read - 1) * B : n_read * B]
        # What was only read ahead does not count as read.
        expected = {"seed": 1, "epoch": 0, "position": n_read * B}
        assert place(stream.state_dict()) == expected
    assert n_read == stream.readers.n_steps(len(labels))


def test_an_abandoned_pass_stops_its_thread(labels: Labels) -> None:
    def readers() -> set[str]:
        return {thread.name for thread in threading.enumerate() if thread.name.startswith("saltworks-read-ahead")}

    others = readers()
    batches = iter(LabelStream(labels, B, n_epochs=None))
    next(batches)
    assert readers() > others
    batches.close()
    assert readers() == others
    with pytest.raises(ValueError, match="prefetch is -1, expected 0 or more"):
        LabelStream(labels, B, prefetch=-1)


def test_passes_and_rows_at_the_same_time_are_each_right(labels: Labels, wanted: list[int]) -> None:
    both = zip(LabelStream(labels, B, seed=1), LabelStream(labels, B, seed=1, prefetch=4), strict=True)
    for n, (one, other) in enumerate(both):
        assert ids_of([one]) == ids_of([other]) == wanted[n * B : n * B + B]
        assert labels[n].seq_id == labels.seq_ids[n]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_a_thread_reads_has_a_lock_of_its_own() -> None:
    lock = Lock()
    with lock:
        child = os.fork()
        if child == 0:
            with lock:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    with pickle.loads(pickle.dumps(lock)):
        pass


def test_data_sent_from_a_worker_is_compact(labels: Labels) -> None:
    batch = next(iter(loader_of(LabelStream(labels, B), 1)))
    assert batch["topk_ids"].dtype == torch.int32
    assert batch["topk_logprobs"].dtype == batch["tail_mass"].dtype == torch.float32


def test_the_rest_of_the_tokens_is_a_stream_too(made: Path, labels: Labels) -> None:
    view = TokenCorpus(made / "tokens").sequences_of(labels.plan).without(labels.seq_ids[:100])
    seen = ids_of(loader_of(LabelStream(view, 2, seed=4), 2))
    assert len(set(seen)) == len(seen) == len(view) // 2 * 2
    assert not set(seen) & set(labels.seq_ids[:100].tolist())


def test_a_set_that_is_too_small_is_refused_before_the_first_step(labels: Labels) -> None:
    with pytest.raises(ValueError, match=r"are fewer than a step of 100 ranks at batch 8 \(800\)"):
        LabelStream(labels, 8, rank=0, world_size=100)
    stream = LabelStream(labels, B)
    stream.require(stream.n_steps)
    needed = (stream.n_steps + 3) * B - len(labels)
    with pytest.raises(sl.MismatchError, match=f"{needed} are missing"):
        stream.require(stream.n_steps + 3)


def test_states_of_another_stream_are_refused(labels: Labels) -> None:
    stream = LabelStream(labels, B)
    for wrong in [{}, {"seed": 1, "epoch": 0}, {"seed": 1, "epoch": -1, "position": 0}]:
        with pytest.raises(sl.MismatchError, match="expected seed, epoch and position"):
            stream.load_state_dict(wrong)
    with pytest.raises(sl.MismatchError, match="is not a state of a stream over"):
        stream.load_state_dict({"seed": 1, "epoch": 0, "position": len(labels) + 1})
    with pytest.raises(sl.MismatchError, match="one of 2 workers, but here are 1"):
        stream.load_state_dict({"seed": 1, "epoch": 0, "position": 0, "worker": 1, "n_workers": 2})
    half = LabelStream(labels.select(labels.seq_ids[: len(labels) // 2]), B)
    with pytest.raises(sl.MismatchError, match="is the state of a stream over blake3:.*, the source here is blake3:"):
        half.load_state_dict(stream.state_after(1))
    # A copy of the same labels is the same source; a state without a source is taken, as of earlier versions.
    LabelStream(Labels(labels.path, groups=["samples"]), B).load_state_dict(stream.state_after(1))
    half.load_state_dict({"seed": 1, "epoch": 0, "position": B})
    with pytest.raises(ValueError, match="n_epochs is 0"):
        LabelStream(labels, B, n_epochs=0)
    with pytest.raises(TypeError, match="without end"):
        len(LabelStream(labels, B, n_epochs=None))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_shard_is_named_with_the_position_to_resume_from(made: Path, tmp_path: Path, workers: int) -> None:
    root = shutil.copytree(made / "labels", tmp_path / "labels")
    path = root / "positions/part-00003.parquet"
    content = bytearray(path.read_bytes())
    content[300:600] = bytes(300)
    path.write_bytes(content)
    stream = LabelStream(Labels(root, groups=["topk"]), B, seed=1)
    seen: list[int] = []
    batches = iter(loader_of(stream, workers))
    with pytest.raises(sl.DamagedError, match=r"part-00003.parquet.*position': (\d+)") as damaged:
        seen.extend(int(seq_id) for batch in batches for seq_id in batch["seq_ids"])
    position = int(re.findall(r"position': (\d+)", str(damaged.value))[0])
    assert position == len(seen)
    path.write_bytes((made / "labels/positions/part-00003.parquet").read_bytes())
    stream.load_state_dict({"seed": 1, "epoch": 0, "position": position})
    seen += ids_of(stream)
    whole = ids_of(LabelStream(Labels(made / "labels", groups=["topk"]), B, seed=1))
    assert seen == whole


@pytest.mark.parametrize("persistent", [False, True])
def test_set_epoch_reaches_running_workers(labels: Labels, persistent: bool) -> None:
    def expected(epoch: int) -> list[int]:
        return labels.seq_ids[Order(labels.group_sizes, 1, epoch).rows(0, len(labels) // B * B)].tolist()

    stream = LabelStream(labels, B, seed=1)
    loader = DataLoader(stream, batch_size=None, num_workers=2, persistent_workers=persistent)
    passes = [ids_of(loader), ids_of(loader)]
    stream.set_epoch(3)
    passes += [ids_of(loader), ids_of(loader)]
    stream.load_state_dict({"seed": 1, "epoch": 5, "position": 0})
    assert [*passes, ids_of(loader)] == [expected(epoch) for epoch in (0, 0, 3, 3, 5)]
    data = LabelDataset(labels, seed=1)
    by_index = DataLoader(
        data, batch_size=B, num_workers=2, persistent_workers=persistent, collate_fn=hf, drop_last=True
    )
    first = ids_of(by_index)
    data.set_epoch(3)
    assert [first, ids_of(by_index)] == [expected(0), expected(3)]
