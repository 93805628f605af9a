"""Time and memory of the commands that look at a whole label set, with 100,000 shards.

    python benches/many_shards.py PROGRAMS TEACHER TEXT [--shards N] [--dir DIR]

PROGRAMS is a directory with `saltworks` and `saltworks-train`, such as target/release. The model TEACHER labels the first N sequences
of TEXT (JSON lines), each a shard of its own: N times a scores file, a positions file and a sidecar. TEXT needs 16 tokens for each
sequence. Needs ONNX Runtime (ORT_DYLIB_PATH), and saltworks_lm in this Python. Each command runs three times, those that read every file
once; the fastest run counts, by the clock and by processor time, and the largest memory.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from support.runs import run_toml
from support.timed import run

T = 16
N_VERIFIED_AGAIN = 64
STUDENT = {"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ff": 32}
OPENED = "import sys; from saltworks_lm import Labels; print(len(Labels(sys.argv[1])))"


def report(name: str, command: list[object], n_runs: int = 3) -> None:
    runs = [run(command) for _ in range(n_runs)]
    clock, processor = min(cost.clock for cost in runs), min(cost.processor for cost in runs)
    mib = max(cost.mib for cost in runs)
    print(f"| {name} | {clock:.2f} s | {processor:.2f} s | {mib:.0f} MiB |", flush=True)


def trainer_config(at: Path, tokens: Path, labels: Path) -> Path:
    """One step of `rkd` with a tiny student: nearly all of its time is the opening."""
    data = {"labels": str(labels), "validation": str(tokens), "tokenizer": str(at / "tokenizer.json"), "seq_len": T}
    config = at / "run.toml"
    config.write_text(run_toml(at / "run", STUDENT, 1, data))
    return config


def compare(programs: Path, teacher: Path, text: Path, n_shards: int, at: Path) -> None:
    """Prints the table."""
    saltworks, train = programs / "saltworks", programs / "saltworks-train"
    tokenizer, tokens, labels = at / "tokenizer.json", at / "tokens", at / "labels"
    tokenizer.write_bytes((teacher / "tokenizer.json").read_bytes())
    tokenize = [saltworks, "tokenize", "--input", text, "--tokenizer", tokenizer, "--output", tokens]
    inputs = ["--teacher", teacher, "--tokens", tokens, "--seq-len", T, "--max-sequences", n_shards]
    sizes = ["--top-k", 4, "--shard-bytes", 1]
    print(f"{n_shards} shards\n\n| | by the clock | processor | memory |\n| --- | --- | --- | --- |", flush=True)
    run(tokenize)
    report("`plan`", [saltworks, "plan", *inputs, *sizes, "--output", at / "planned"], 1)
    report("`label`", [saltworks, "label", *inputs, *sizes, "--output", labels], 1)
    report("`label`, all shards done", [saltworks, "label", *inputs, *sizes, "--output", labels])
    report("`status`", [saltworks, "status", labels, "--json"])
    (labels / "manifest.json").unlink()
    report("`finalize`", [saltworks, "finalize", labels], 1)
    report("`finalize`, finished", [saltworks, "finalize", labels])
    report("`select --fraction 0.5`", [saltworks, "select", labels, "--fraction", 0.5, "--output", at / "half.parquet"], 1)
    report("`verify`", [saltworks, "verify", labels], 1)
    again = ["--teacher", teacher, "--tokens", tokens, "--sample", N_VERIFIED_AGAIN]
    report(f"`verify --sample {N_VERIFIED_AGAIN}`", [saltworks, "verify", labels, *again], 1)
    report("`saltworks-train run`, 1 step", [train, "run", "--config", trainer_config(at, tokens, labels), "--set", "kd.mode=rkd"], 1)
    report("`Labels(...)` in Python", [sys.executable, "-c", OPENED, labels])
    print(f"\nmanifest.json: {(labels / 'manifest.json').stat().st_size / 2**20:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", type=Path)
    parser.add_argument("teacher", type=Path, help="a checkpoint directory with its tokenizer.json")
    parser.add_argument("text", type=Path)
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--dir", help="where the work is done, some 2 GB; default: the system's temporary directory")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.dir) as at:
        compare(given.programs.resolve(), given.teacher.resolve(), given.text.resolve(), given.shards, Path(at))


if __name__ == "__main__":
    main()
