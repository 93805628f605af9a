"""`saltworks filter` beside `zstd -dc | jq -c | zstd`, which keep the same documents of the same file: MB/s of text and memory.

    python benches/filter.py TRAIN TOKENIZER [--copies N] [--dir DIR]

TRAIN is a .jsonl.zst, which is written N times into one file with a number `n` in every line; TOKENIZER the tokenizer.json that it
is tokenized with. Every other document is kept. The release build of this folder is run, and `zstd` and `jq` of the PATH.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
SALTWORKS = ROOT / "target/release/saltworks"
NULLABLE_SCORES = ["nll_sum", "bits_per_byte", "mean_nll", "nll_learnable_mean"]
SCORES = ["learnable_fraction", "mean_entropy", "mean_topk_mass"]


def write_corpus(train: Path, n_copies: int, corpus: Path) -> tuple[int, int]:
    """Lines and bytes that were written, before compression."""
    lines = subprocess.run(["zstd", "-dc", train], check=True, capture_output=True).stdout.splitlines()
    n_lines = n_bytes = 0
    with subprocess.Popen(["zstd", "-q", "-f", "-o", corpus], stdin=subprocess.PIPE) as zstd:
        for _ in range(n_copies):
            for line in lines:
                line = line.rstrip()[:-1] + b', "n": %d}\n' % n_lines
                zstd.stdin.write(line)
                n_lines, n_bytes = n_lines + 1, n_bytes + len(line)
    assert zstd.returncode == 0
    return n_lines, n_bytes


def write_selection(tokens: Path, fingerprint: str, path: Path) -> int:
    """A selection of every other document, as another tool would write it; the number that it keeps."""
    n = pq.read_metadata(tokens / "documents.parquet").num_rows
    kept = [i % 2 == 0 for i in range(n)]
    columns = {
        "doc_index": pa.array(range(n), pa.uint64()),
        "score": pa.array([float(i % 2) for i in range(n)]),
        "rank": pa.array(range(n), pa.uint64()),
        "kept": pa.array(kept),
        "id": pa.nulls(n, pa.string()),
        "source": pa.nulls(n, pa.string()),
        "record": pa.nulls(n, pa.uint64()),
        "n_tokens": pa.nulls(n, pa.uint64()),
        "n_targets": pa.array([1] * n, pa.uint64()),
        "n_bytes": pa.nulls(n, pa.uint64()),
    }
    columns |= {name: pa.nulls(n, pa.float64()) for name in NULLABLE_SCORES}
    columns |= {name: pa.array([0.5] * n, pa.float64()) for name in SCORES}
    fields = [pa.field(name, array.type, name in NULLABLE_SCORES or array.null_count > 0) for name, array in columns.items()]
    head = {
        "version": 1,
        "corpus_fingerprint": fingerprint,
        "labels_fingerprint": "none",
        "policy": "every other document",
        "n_documents": n,
        "n_kept": sum(kept),
        "n_tokens": 0,
        "n_tokens_kept": 0,
    }
    metadata = {
        "saltworks.file": "document-selection",
        "saltworks.format_version": "1",
        "saltworks.document_selection": json.dumps(head),
    }
    schema = pa.schema(fields, metadata=metadata)
    pq.write_table(pa.table(list(columns.values()), schema=schema), path)
    return sum(kept)


def measured(command: list) -> tuple[float, float]:
    """Seconds, and MiB of memory at most of its largest process."""
    began = time.monotonic()
    pid = os.spawnvp(os.P_NOWAIT, str(command[0]), [str(word) for word in command])
    _, status, usage = os.wait4(pid, 0)
    assert status == 0, command
    return time.monotonic() - began, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--copies", type=int, default=36)
    parser.add_argument("--dir", type=Path, help="where files are made; a temporary directory by default")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as made:
        compare(args, Path(made))


def compare(args: argparse.Namespace, made: Path) -> None:
    corpus, tokens, selection, kept = (made / name for name in ("corpus.jsonl.zst", "tokens", "selection.parquet", "kept"))
    n_lines, n_bytes = write_corpus(args.train, args.copies, corpus)
    tokenize = [SALTWORKS, "-q", "tokenize", "--input", corpus, "--tokenizer", args.tokenizer, "-o", tokens, "--json"]
    subprocess.run(tokenize, check=True, stdout=subprocess.DEVNULL)
    description = json.loads((tokens / "corpus.json").read_text())
    assert description["n_documents"] == n_lines, "every line is a document"
    # A selection of another corpus is refused with the fingerprint of this one.
    write_selection(tokens, "?", selection)
    command = [SALTWORKS, "-q", "filter", "--input", corpus, "--corpus", tokens, "--selection", selection, "-o", kept]
    refused = subprocess.run(command, capture_output=True, text=True).stderr
    n_kept = write_selection(tokens, "blake3:" + refused.rsplit("blake3:", 1)[1][:64], selection)
    print(f"{n_lines} documents, {n_bytes / 1e6:.0f} MB, {corpus.stat().st_size / 1e6:.0f} MB compressed; {n_kept} are kept")
    ours = measured(command)
    by_jq = made / "by-jq.jsonl.zst"
    pipeline = f"zstd -dc {corpus} | jq -c 'select(.n % 2 == 0)' | zstd -q -f -o {by_jq}"
    theirs = measured(["sh", "-c", pipeline])
    for name, (seconds, mebibytes) in [("saltworks filter", ours), ("zstd | jq | zstd", theirs)]:
        print(f"{name:<18} {seconds:6.1f} s  {n_bytes / 1e6 / seconds:6.1f} MB/s  {mebibytes:5.0f} MiB")
    decompress = "zstd -dc {} | wc -l"
    counts = [subprocess.run(["sh", "-c", decompress.format(path)], capture_output=True).stdout for path in (kept / corpus.name, by_jq)]
    assert [int(count) for count in counts] == [n_kept, n_kept], counts


if __name__ == "__main__":
    main()
