"""Batches of examples/torch/data.py over `labels`, `by-document` and `tokens` in the working directory."""

import sys

import numpy as np
import pyarrow.parquet as pq

sys.path.insert(0, sys.argv[1])
from data import LabelledBatches, TokenBatches, reader_of, resumed  # noqa: E402

B = 3
WORLD_SIZE, N_WORKERS = 2, 3
READERS = [reader_of(rank, WORLD_SIZE, worker, N_WORKERS) for rank in range(WORLD_SIZE) for worker in range(N_WORKERS)]


def ids_of(batches):
    return [seq_id for batch in batches for seq_id in batch["seq_ids"]]


def check_each_once(source, there):
    seen = [ids_of(source.of(reader, n_readers)) for reader, n_readers in READERS]
    together = sum(seen, [])
    assert len(set(together)) == len(together) and set(together) <= set(there)
    # No more is left out than a batch that is not full, a reader.
    assert len(there) - len(together) < B * len(READERS), (len(there), len(together))
    return seen


def in_turn(source, rank, n_done):
    """As a DataLoader takes them: a batch of each worker in turn, from worker 0 on."""
    workers = [resumed(n_done, worker, N_WORKERS) for worker in range(N_WORKERS)]
    given = [source.of(*reader_of(rank, WORLD_SIZE, was, N_WORKERS), n_given) for was, n_given in workers]
    worker, batches = 0, []
    while (batch := next(given[worker], None)) is not None:
        batches.append(batch)
        worker = (worker + 1) % N_WORKERS
    return batches


labelled = LabelledBatches("labels", B, seed=1)
assert len(labelled.row_groups) >= 2 * len(READERS), "too few row groups for this to show anything"
seen = check_each_once(labelled, labelled.seq_ids())
assert [len(ids) // B for ids in seen] == [labelled.n_batches(*reader) for reader in READERS]
assert ids_of(LabelledBatches("labels", B, seed=2).of()) != ids_of(labelled.of())

tokens = TokenBatches("tokens", labelled.plan, labelled.seq_ids(), B, seed=1)
check_each_once(tokens, tokens.order)
assert not set(tokens.order) & set(labelled.seq_ids())
everything = TokenBatches("tokens", labelled.plan, [], B)
assert len(everything.order) == len(tokens.order) + 500

for source in [labelled, tokens]:
    for rank in range(WORLD_SIZE):
        whole = in_turn(source, rank, 0)
        for n_done in range(len(whole)):
            assert ids_of(in_turn(source, rank, n_done)) == ids_of(whole[n_done:]), n_done

# The rule of where a sequence lies: labels hold the same tokens.
for batch in labelled.of():
    assert batch["mask"].all() and batch["topk_ids"].shape == (B, 32, 8) == batch["topk_logprobs"].shape
    for row, seq_id in enumerate(batch["seq_ids"]):
        example = everything.example(seq_id)
        assert (batch["input_ids"][row] == example["input_ids"]).all()
        assert (batch["targets"][row] == example["targets"]).all()
    mass = np.exp(batch["topk_logprobs"].astype(np.float64)).sum(-1) + batch["tail_mass"]
    assert np.abs(mass - 1).max() < 2**-5  # log-probabilities are rounded to 5 mantissa bits

# Sequences of documents end where these do: padding is marked.
by_document = LabelledBatches("by-document", B)
n_targets = {}
for path in sorted({path for path, _ in by_document.row_groups}):
    table = pq.read_table(path, columns=["seq_id", "input_ids"]).to_pydict()
    n_targets |= {seq_id: len(ids) - 1 for seq_id, ids in zip(table["seq_id"], table["input_ids"])}
assert len(set(n_targets.values())) > 1
for batch in by_document.of():
    assert [n_targets[seq_id] for seq_id in batch["seq_ids"]] == list(batch["mask"].sum(-1))
    assert (batch["targets"][~batch["mask"]] == 0).all()

for wrong in [lambda: TokenBatches("tokens", by_document.plan, [], B), lambda: LabelledBatches("tokens", B)]:
    try:
        wrong()
    except ValueError:
        continue
    raise AssertionError("what cannot be read right must be refused")
