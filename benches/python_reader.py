"""How fast the Python package reads labels: tokens per CPU second compared with pyarrow alone, and a DataLoader by
wall clock.

    python benches/python_reader.py [--labels DIR] [--no-torch]

Without --labels it writes a set of synthetic labels of the group `topk` with `LabelWriter`: K = 64, T = 512, V =
32,000. Needs the program `saltworks` (or SALTWORKS_BIN) and, unless --no-torch, PyTorch.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from saltworks_lm import Engine, Labels, LabelWriter
from saltworks_lm.order import LANES, Order

T, K, V = 512, 64, 32_000
COLUMNS = ["seq_id", "input_ids", "topk_ids", "topk_logprobs", "tail_mass"]


def make(folder: Path, n_sequences: int, shard_bytes: int) -> Path:
    """A label set whose numbers compress as a teacher's do: falling log-probabilities, ids by frequency."""
    rng = np.random.default_rng(0)
    np.minimum(rng.zipf(1.2, n_sequences * T + 1), V - 1).astype(np.uint16).tofile(folder / "tokens.bin")
    engine = Engine("made up", "1", "benches/python_reader.py")
    groups = {"groups": ("topk",), "top_k": K, "tokens_format": "nanogpt", "shard_bytes": shard_bytes}
    with LabelWriter(folder / "labels", folder / "tokens.bin", engine, vocab_size=V, seq_len=T, **groups) as writer:
        for row in writer.todo():
            writer.write(row, **made_up(rng, row.n_targets))
    return folder / "labels"


def made_up(rng: np.random.Generator, n: int) -> dict:
    """One sequence: probabilities that fall with a power of the rank, of a sharpness of its own each."""
    power = rng.uniform(0.8, 2.5, (n, 1))
    p = np.arange(1, K + 1) ** -power * rng.uniform(0.9, 1.0, (n, K))
    p = -np.sort(-p / p.sum(1, keepdims=True) * rng.uniform(0.8, 0.99, (n, 1)), axis=1)
    ids = (rng.integers(0, V, (n, 1)) + np.cumsum(rng.integers(1, V // K, (n, K)), axis=1)) % V
    return {
        "target_logprob": np.log(p[:, 0]),
        "target_rank": np.zeros(n, np.int64),
        "entropy": np.full(n, 2.0),
        "topk_ids": ids,
        "topk_logprobs": np.log(p),
        "tail_mass": 1.0 - p.sum(1),
    }


def pyarrow_alone(root: Path) -> int:
    """Decodes the columns of every row group and nothing else."""
    n = 0
    for path in sorted((root / "positions").glob("*.parquet")):
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=COLUMNS, use_threads=False)
            n += len(table["tail_mass"].combine_chunks().values)
    return n


def in_file_order(root: Path) -> int:
    """Every row as arrays. Front to back, one decoded row group is enough to hold."""
    labels = Labels(root, groups=["topk"], use_threads=False, cache_bytes=1)
    return sum(len(row.tail_mass) for row in labels)


@functools.cache
def _held(root: Path) -> tuple[Labels, Iterator[int]]:
    """The same labels for all rounds, as a stream has them, with room for the lanes of the order and little more."""
    whole = Labels(root, groups=["topk"])
    n_bytes = whole.row_group(0).n_bytes
    return Labels(root, groups=["topk"], use_threads=False, cache_bytes=(LANES + 2) * n_bytes), itertools.count()


def in_seeded_order(root: Path) -> int:
    """Every row as arrays, in the order that a stream reads them, another epoch each time."""
    labels, epochs = _held(root)
    rows = Order(labels.group_sizes, 0, next(epochs)).rows(0, len(labels))
    return sum(len(labels[row].tail_mass) for row in rows.tolist())


WAYS = {
    "pyarrow alone": pyarrow_alone,
    "rows in the files' order": in_file_order,
    "rows in a seeded order": in_seeded_order,
}


def cpu_rates(root: Path, n_rounds: int = 9) -> dict[str, float]:
    """Tokens a CPU second of each way of reading, the best of several rounds in turn: the machine may be busy."""
    best: dict[str, float] = {}
    for _ in range(n_rounds):
        for name, read in WAYS.items():
            began = time.process_time()
            n = read(root)
            best[name] = max(best.get(name, 0.0), n / (time.process_time() - began))
    return best


def loader_rate(root: Path, workers: int, prefetch: int, step_seconds: float) -> float:
    """Tokens a second by the wall clock, with batches of 8 and a step of the trainer that takes so long.

    The first batches do not count: processes start there.
    """
    from torch.utils.data import DataLoader

    from saltworks_lm.torch import LabelStream

    labels = Labels(root, groups=["topk"])
    n_first = len(labels) // 8 // 4
    stream = LabelStream(labels, batch_size=8, n_epochs=2, prefetch=prefetch)
    n = 0
    for number, batch in enumerate(DataLoader(stream, batch_size=None, num_workers=workers), 1):
        if number > n_first:
            n += batch["tail_mass"].numel()
        # A trainer that computes on a device waits here.
        time.sleep(step_seconds)
        if number == n_first:
            began = time.perf_counter()
    return n / (time.perf_counter() - began)


LOADERS = {"nothing ahead": (0, 0), "a thread": (0, 2), "1 worker": (1, 0), "2 workers": (2, 0)}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, help="a set with the group topk, in place of a made-up one")
    parser.add_argument("--sequences", type=int, default=2048, help="of the made-up set")
    parser.add_argument("--shard-bytes", type=int, default=128 << 20, help="smaller ones make more, smaller row groups")
    parser.add_argument("--no-torch", action="store_true", help="leave out the DataLoader")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.labels or make(Path(folder), arguments.sequences, arguments.shard_bytes)
        labels = Labels(root)
        print(f"{labels}, {len(labels.places)} row groups")
        rates = cpu_rates(root)
        for name, rate in rates.items():
            ratio = rate / rates["pyarrow alone"]
            print(f"{name:24} {rate / 1e6:6.2f} M tokens a CPU second, {ratio:.2f} of pyarrow alone")
        if arguments.no_torch:
            return
        for step_seconds in (0.0, 0.005):
            for name, (workers, prefetch) in LOADERS.items():
                rate = max(loader_rate(root, workers, prefetch, step_seconds) for _ in range(3))
                what = f"{name}, {1000 * step_seconds:.0f} ms a step"
                print(f"DataLoader, {what:24} {rate / 1e6:6.2f} M tokens a second by wall clock")


if __name__ == "__main__":
    main()
