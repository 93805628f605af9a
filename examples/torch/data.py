"""Reads labels and tokens for a trainer, with NumPy and pyarrow only.

Batches are dictionaries of arrays: `input_ids` and `targets` [B, T], `mask` [B, T] (False where a shorter sequence is
padded), `seq_ids` [B], and of labelled ones `topk_ids` and `topk_logprobs` [B, T, K] and `tail_mass` [B, T].
"""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

COLUMNS = ["seq_id", "input_ids", "topk_ids", "topk_logprobs", "tail_mass"]


def reader_of(rank, world_size, worker, n_workers):
    """Index of a reader among all ranks and their workers, and the number of readers."""
    return rank * n_workers + worker, world_size * n_workers


def resumed(n_done, worker, n_workers):
    """Which worker of an uninterrupted run this one continues, and how many batches that one had returned.

    Workers give a batch each in turn, and a DataLoader begins with worker 0, whoever's turn it was.
    """
    was = (worker + n_done) % n_workers
    return was, max(0, -(-(n_done - was) // n_workers))


def collate(examples):
    """Stacks sequences; shorter ones are padded at their end."""
    batch = {"seq_ids": np.array([example.pop("seq_id") for example in examples])}
    longest = max(len(example["input_ids"]) for example in examples)
    for name in examples[0]:
        first = examples[0][name]
        batch[name] = np.zeros((len(examples), longest, *first.shape[1:]), first.dtype)
        for row, example in enumerate(examples):
            batch[name][row, : len(example[name])] = example[name]
    lengths = np.array([len(example["input_ids"]) for example in examples])
    batch["mask"] = np.arange(longest) < lengths[:, None]
    return batch


class LabelledBatches:
    """Stage 1: sequences with the teacher's labels, one epoch in a seeded order of row groups.

    Row groups are dealt out to the readers, so that each is read once. A last batch that is not full is left out.
    """

    def __init__(self, root, batch_size, seed=0):
        root = Path(root)
        if not (root / "manifest.json").exists():
            raise ValueError(f"{root} is not finished: it has no manifest.json (saltworks finalize {root})")
        self.plan = json.loads((root / "plan.json").read_text())
        known = {"samples", "selection", "impossible-targets"}
        unknown = set(self.plan["required_features"]) - known
        if unknown or "topk" not in self.plan["signals"]["groups"]:
            raise ValueError(f"{root}: needs the group topk and knows the features {known}, not {unknown}")
        self.top_k = self.plan["signals"]["top_k"]
        self.batch_size = batch_size
        paths = sorted((root / "positions").glob("part-*.parquet"))
        self.row_groups = [(path, group) for path in paths for group in range(pq.read_metadata(path).num_row_groups)]
        np.random.default_rng(seed).shuffle(self.row_groups)

    def seq_ids(self):
        """Ids of all labelled sequences; stage 2 leaves them out."""
        tables = [pq.read_table(path, columns=["seq_id"]) for path in sorted({path for path, _ in self.row_groups})]
        return np.concatenate([table["seq_id"].to_numpy() for table in tables])

    def n_batches(self, reader, n_readers):
        """Number of batches of a reader; readers differ."""
        groups = self.row_groups[reader::n_readers]
        n_rows = sum(pq.read_metadata(path).row_group(group).num_rows for path, group in groups)
        return n_rows // self.batch_size

    def of(self, reader=0, n_readers=1, n_done=0):
        """Batches of one reader, without its first `n_done`; row groups that were read completely are not opened again."""
        waiting, to_skip = [], n_done * self.batch_size
        for path, group in self.row_groups[reader::n_readers]:
            file = pq.ParquetFile(path)
            n_rows = file.metadata.row_group(group).num_rows
            if to_skip >= n_rows:
                to_skip -= n_rows
                continue
            table = file.read_row_group(group, columns=COLUMNS)
            for row in range(to_skip, n_rows):
                waiting.append(self.example(table, row))
                if len(waiting) == self.batch_size:
                    yield collate(waiting)
                    waiting = []
            to_skip = 0

    def example(self, table, row):
        # The list of a row is a slice of one array, without a Python object per value.
        values = {name: table[name].chunk(0)[row].values.to_numpy() for name in COLUMNS[1:]}
        tokens = values["input_ids"].astype(np.int64)
        return {
            "seq_id": table["seq_id"][row].as_py(),
            "input_ids": tokens[:-1],
            "targets": tokens[1:],
            "topk_ids": values["topk_ids"].reshape(-1, self.top_k).astype(np.int64),
            "topk_logprobs": values["topk_logprobs"].reshape(-1, self.top_k),
            "tail_mass": values["tail_mass"],
        }


class TokenBatches:
    """Stage 2: the sequences of a directory of `saltworks tokenize` that are not in `leave_out`, in a seeded order.

    Sequence i is tokens iT to (i + 1)T, both ends included, as labels made with `--packing concat` have it.
    """

    def __init__(self, tokens, plan, leave_out, batch_size, seed=0):
        corpus = json.loads((Path(tokens) / "corpus.json").read_text())
        made_with = (plan.get("tokenizer") or {}).get("fingerprint")
        if made_with != corpus["tokenizer_fingerprint"]:
            raise ValueError(f"{tokens} is of the tokenizer {corpus['tokenizer_fingerprint']}, the labels are of {made_with}")
        sequences = plan["sequences"]
        if sequences["packing"] != "concat" or sequences["sequence_bos"] is not None:
            raise ValueError("sequences are cut here as --packing concat without --sequence-bos cuts them")
        self.seq_len, self.batch_size = sequences["seq_len"], batch_size
        dtype = {"u16": np.uint16, "i32": np.int32}[corpus["dtype"]]
        self.tokens = np.memmap(Path(tokens) / "tokens.bin", dtype, mode="r")
        n_whole = (len(self.tokens) - 1) // self.seq_len
        self.order = np.setdiff1d(np.arange(n_whole), leave_out)
        np.random.default_rng(seed).shuffle(self.order)

    def of(self, reader=0, n_readers=1, n_done=0):
        """Batches of one reader, without its first `n_done`."""
        order = self.order[reader::n_readers]
        for start in range(n_done * self.batch_size, len(order) - self.batch_size + 1, self.batch_size):
            yield collate([self.example(seq_id) for seq_id in order[start : start + self.batch_size]])

    def example(self, seq_id):
        start = seq_id * self.seq_len
        tokens = self.tokens[start : start + self.seq_len + 1].astype(np.int64)
        return {"seq_id": seq_id, "input_ids": tokens[:-1], "targets": tokens[1:]}
