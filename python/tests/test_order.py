"""The order: every sequence once, the same steps for all ranks, whoever reads and however often that changes."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from saltworks_lm.order import LANES, Order, Readers, State, splitmix64

SIZES = [
    [],
    [1],
    [5],
    [0, 3, 0],
    [64] * 40,
    [61] * 33 + [7],
    [500, 1, 1, 1, 300],
    list(range(50)),
]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("run", [1, 4, 8])
def test_an_epoch_is_a_permutation_of_all_rows(sizes: list[int], run: int) -> None:
    n = sum(sizes)
    for seed, epoch in [(0, 0), (0, 1), (7, 0)]:
        order = Order(sizes, seed, epoch, run)
        assert len(order) == n
        rows = order.rows(0, n)
        assert sorted(rows.tolist()) == list(range(n))
        # Any piece of it is the same piece: nothing depends on what was asked before.
        for start, stop in [(0, n // 3), (n // 3, n), (n // 2, n // 2)]:
            assert Order(sizes, seed, epoch, run).rows(start, stop).tolist() == rows[start:stop].tolist()


def test_random_sizes_are_permuted_too() -> None:
    rng = random.Random(3)
    for _ in range(200):
        sizes = [rng.choice([0, 1, rng.randrange(40), 64]) for _ in range(rng.randrange(60))]
        order = Order(sizes, rng.randrange(2**63), rng.randrange(9), rng.choice([1, 2, 4, 8]))
        assert sorted(order.rows(0, len(order)).tolist()) == list(range(sum(sizes)))


def test_seed_and_epoch_change_the_order_and_it_is_well_mixed() -> None:
    sizes = [64] * 64
    orders = [Order(sizes, seed, epoch).rows(0, 4096) for seed, epoch in [(0, 0), (0, 1), (1, 0), (1, 1)]]
    for one, other in itertools.combinations(orders, 2):
        assert (one == other).mean() < 0.01
    # The correlation of place and position is that of chance: of 64 row groups 1 / sqrt(64), three times at most.
    for order in orders:
        assert abs(np.corrcoef(order, np.arange(4096))[0, 1]) < 0.375


def test_the_order_is_frozen() -> None:
    """A run must go on with any later version; these numbers are of the first."""
    assert splitmix64(np.zeros(1, np.uint64))[0] == 0xE220A8397B1DCDAF
    assert Order([10] * 20, seed=42, epoch=3).rows(0, 12).tolist() == FROZEN


FROZEN = [180, 181, 182, 184, 27, 25, 20, 29, 9, 2, 6, 8]


def test_a_single_reader_decodes_each_row_group_once() -> None:
    sizes = [61] * 100 + [5]
    of = np.repeat(np.arange(len(sizes)), sizes)
    groups = of[Order(sizes, 1).rows(0, sum(sizes))]
    open_groups: list[int] = []
    for group, first in zip(*np.unique(groups, return_index=True), strict=True):
        last = np.flatnonzero(groups == group)[-1]
        open_groups.append(len(set(groups[first : last + 1].tolist())))
    # While one row group is read, the other lanes go through at most two each.
    assert max(open_groups) <= 2 * LANES + 1


@pytest.mark.parametrize("n_readers", [1, 2, 4, 8, 16])
def test_readers_share_the_decoding_where_they_divide_the_lanes(n_readers: int) -> None:
    sizes = [64] * 128
    of = np.repeat(np.arange(128), sizes)
    order = of[Order(sizes, 5).rows(0, 128 * 64)].reshape(-1, 4)
    for reader in range(n_readers):
        assert len(set(order[reader::n_readers].ravel().tolist())) == 128 // n_readers


def test_steps_of_2400_sequences_at_batch_8() -> None:
    assert [Readers(8, 0, r).n_steps(2400) for r in (1, 2, 4, 8)] == [300, 150, 75, 37]


def read(n: int, start: State, batch: int, ranks: int, workers: int, n_steps: int) -> tuple[list[list[int]], State]:
    """What each step reads, as a DataLoader of each rank takes it: from its workers in turn. W = 0 reads itself."""
    steps: list[list[int]] = [[] for _ in range(n_steps)]
    after = start
    for rank in range(ranks):
        of_workers = [
            (readers, readers.steps(n, start))
            for readers in (Readers(batch, rank, ranks, w, max(workers, 1)) for w in range(max(workers, 1)))
        ]
        for step in range(n_steps):
            readers, own = of_workers[step % len(of_workers)]
            state = next(own)
            order = Order([17] * (n // 17) + [n % 17], start.seed, state.epoch)
            steps[step] += order.rows(*readers.span(state)).tolist()
            after = readers.after(state)
    return steps, after


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_ranks_and_workers_read_disjoint_parts_of_one_order(ranks: int, workers: int) -> None:
    n, batch = 310, 3
    n_steps = Readers(batch, 0, ranks).n_steps(n)
    assert n_steps == n // (batch * ranks)
    steps, after = read(n, State(seed=9), batch, ranks, workers, n_steps)
    seen = list(itertools.chain.from_iterable(steps))
    assert seen == Order([17] * 18 + [4], 9).rows(0, len(seen)).tolist()
    assert len(set(seen)) == len(seen) > n - batch * ranks
    assert after == State(9, 0, n_steps * batch * ranks)


def test_ranks_and_workers_may_change_at_every_stop() -> None:
    rng = random.Random(11)
    for trial in range(60):
        n, batch = rng.randrange(40, 400), rng.choice([1, 2, 4])
        state, seen = State(seed=trial), []
        while (ranks := rng.choice([1, 2, 3, 4, 8])) and n - state.position >= batch * ranks:
            left = Readers(batch, 0, ranks).n_steps(n, state.position)
            n_steps = rng.randint(1, left)
            steps, state = read(n, state, batch, ranks, rng.randrange(4), n_steps)
            seen += itertools.chain.from_iterable(steps)
            assert state == State(trial, 0, len(seen))
        order = Order([17] * (n // 17) + [n % 17], trial)
        assert seen == order.rows(0, len(seen)).tolist()
        assert len(set(seen)) == len(seen) > n - batch * 8


def test_the_next_epoch_follows_and_has_another_order() -> None:
    readers = Readers(4, 0, 2)
    states = list(itertools.islice(readers.steps(20, State(3)), 5))
    assert [(state.epoch, state.position) for state in states] == [(0, 0), (0, 8), (1, 0), (1, 8), (2, 0)]


def test_too_few_sequences_and_invalid_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"30 sequences are fewer than a step of 4 ranks at batch 8 \(32\): 2 are"):
        Readers(8, 0, 4).steps(30, State(0))
    with pytest.raises(ValueError, match="rank 4 of 4: expected 0 to 3"):
        Readers(8, 4, 4)
    with pytest.raises(ValueError, match="worker 2 of 2"):
        Readers(8, 0, 1, 2, 2)
    with pytest.raises(ValueError, match="batch_size is 0"):
        Readers(0)
    with pytest.raises(IndexError, match="positions 0 to 3 of 2"):
        Order([2], 0).rows(0, 3)
