"""Compares `saltworks filter` with `zstd -dc | jq -c | zstd`, which keep the same documents of the same file: MB/s of
text, and memory.

    pip install blake3
    python benches/filter.py TRAIN [--copies N] [--dir DIR]

TRAIN is a .jsonl.zst, which is repeated N times in one file with a number `n` in every line. Every other document is
kept. Runs the release build of this repository, and `zstd`, `jq` and GNU `time` from PATH. `filter` reads no tokens, so
there is only a description of the token corpus, as `tokenize` would write it.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3

ROOT = Path(__file__).resolve().parent.parent
SALTWORKS = ROOT / "target/release/saltworks"
NULLABLE_SCORES = ["nll_sum", "bits_per_byte", "mean_nll", "nll_learnable_mean"]
SCORES = ["learnable_fraction", "mean_entropy", "mean_topk_mass"]


def write_input(train: Path, n_copies: int, path: Path) -> tuple[int, int]:
    """Lines and bytes that were written, before compression."""
    lines = subprocess.run(["zstd", "-dc", train], check=True, capture_output=True).stdout.splitlines()
    n_lines = n_bytes = 0
    with subprocess.Popen(["zstd", "-q", "-f", "-o", path], stdin=subprocess.PIPE) as zstd:
        for _ in range(n_copies):
            for line in lines:
                line = line.rstrip()[:-1] + b', "n": %d}\n' % n_lines
                zstd.stdin.write(line)
                n_lines, n_bytes = n_lines + 1, n_bytes + len(line)
    assert zstd.returncode == 0
    return n_lines, n_bytes


def stamp(path: Path) -> dict:
    """Size and hash of a file."""
    return {"bytes": path.stat().st_size, "blake3": blake3(path.read_bytes()).hexdigest()}


def write_corpus(path: Path, n: int, tokens: Path) -> str:
    """Describes a corpus of the `n` lines of `path`; its fingerprint."""
    tokens.mkdir()
    numbers = pa.array(range(n), pa.uint64())
    columns = {
        "doc_index": numbers,
        "id": pa.nulls(n, pa.string()),
        "source": pa.array([str(path)] * n).dictionary_encode(),
        "record": pa.array(range(1, n + 1), pa.uint64()),
        "n_tokens": pa.array([1] * n, pa.uint64()),
        "n_bytes": pa.array([1] * n, pa.uint64()),
    }
    fields = [pa.field(name, array.type, name == "id") for name, array in columns.items()]
    documents = tokens / "documents.parquet"
    pq.write_table(pa.table(list(columns.values()), schema=pa.schema(fields)), documents)
    token_hashes = [blake3(name.encode()).hexdigest() for name in ("tokens.bin", "tokens.idx")]
    description = {
        "format_version": 1,
        "tokenizer_fingerprint": "none",
        "vocab_size": 1,
        "bos": None,
        "eod": None,
        "dtype": "u16",
        "n_documents": n,
        "n_tokens": n,
        "n_text_bytes": n,
        "n_empty_documents": 0,
        "n_bad_lines": 0,
        "bin": {"bytes": 0, "blake3": token_hashes[0]},
        "idx": {"bytes": 0, "blake3": token_hashes[1]},
        "documents": stamp(documents) | {"n_without_id": n, "n_other_ids": 0, "n_repeated_ids": 0},
        "inputs": [{"path": str(path)} | stamp(path)],
    }
    (tokens / "corpus.json").write_text(json.dumps(description))
    return "blake3:" + blake3("".join(f"{hash}\n" for hash in token_hashes).encode()).hexdigest()


def write_selection(n: int, fingerprint: str, path: Path) -> int:
    """A selection of every other document, as another tool would write it; the number that it keeps."""
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


def measured(command: list, made: Path) -> tuple[float, float, float]:
    """Seconds, seconds of processors, and MiB of memory at most of its largest process, as GNU time has them."""
    figures = made / "figures"
    subprocess.run(["time", "-f", "%e %U %S %M", "-o", figures, *command], check=True, stdout=subprocess.DEVNULL)
    elapsed, user, system, kibibytes = map(float, figures.read_text().split())
    return elapsed, user + system, kibibytes / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("--copies", type=int, default=36)
    parser.add_argument("--dir", type=Path, help="where files are made; a temporary directory by default")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as made:
        compare(args, Path(made))


def compare(args: argparse.Namespace, made: Path) -> None:
    corpus, tokens, selection, kept = (made / name for name in ("corpus.jsonl.zst", "tokens", "selection.parquet", "kept"))
    n_lines, n_bytes = write_input(args.train, args.copies, corpus)
    n_kept = write_selection(n_lines, write_corpus(corpus, n_lines, tokens), selection)
    command = [SALTWORKS, "-q", "filter", "--input", corpus, "--corpus", tokens, "--selection", selection, "-o", kept]
    print(f"{n_lines} documents, {n_bytes / 1e6:.0f} MB, {corpus.stat().st_size / 1e6:.0f} MB compressed; {n_kept} are kept")
    ours = measured(command, made)
    by_jq = made / "by-jq.jsonl.zst"
    pipeline = f"zstd -dc {corpus} | jq -c 'select(.n % 2 == 0)' | zstd -q -f -o {by_jq}"
    theirs = measured(["sh", "-c", pipeline], made)
    for name, (seconds, processor, mebibytes) in [("saltworks filter", ours), ("zstd | jq | zstd", theirs)]:
        print(f"{name:<18} {seconds:6.1f} s  {n_bytes / 1e6 / seconds:6.1f} MB/s  processors {processor:6.1f} s  {mebibytes:5.0f} MiB")
    decompress = "zstd -dc {} | wc -l"
    counts = [subprocess.run(["sh", "-c", decompress.format(path)], capture_output=True).stdout for path in (kept / corpus.name, by_jq)]
    assert [int(count) for count in counts] == [n_kept, n_kept], counts


if __name__ == "__main__":
    main()
