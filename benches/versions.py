"""Two builds of the programs on the same work in turn: wall-clock and CPU seconds, and whether they write the same
bytes.

    python benches/versions.py BEFORE AFTER TEXT [--rounds N] [--dir DIR]

BEFORE and AFTER are directories with `saltworks` and `saltworks-train`, such as target/release of two checkouts. A
model of 9.3M parameters labels TEXT (JSON lines, K = 64), then one is trained on it, with and without those labels.
Turns alternate, as does which build goes first; ratios are of medians. Needs ONNX Runtime (ORT_DYLIB_PATH). BEFORE
makes the inputs.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from support.runs import STUDENT, run_toml
from support.timed import Cost, run

T = 256
N_LABELLED = 512
#: Labelling so few is opening and checking the teacher, and little else.
N_FEW = 8
N_STEPS = 40


def train(programs: Path, at: Path, name: str, steps: int, data: dict[str, object], *more: str) -> Cost:
    """A run of `steps` steps into `at/name`."""
    file = at / f"{name}.toml"
    file.write_text(run_toml(at / name, STUDENT, steps, data))
    return run([programs / "saltworks-train", "run", "--config", file, *more])


def data_of(tokens: Path) -> dict[str, object]:
    """What a run reads without labels."""
    return {"tokens": str(tokens), "tokenizer": str(tokens.parent / "tokenizer.json"), "seq_len": T}


def works(teacher: Path, tokens: Path, labels: Path) -> dict[str, object]:
    """What is timed, by name: a function of the programs' directory and of where the output goes."""
    data = data_of(tokens)
    labelled = {**data, "labels": str(labels)}
    return {
        "label, 8 rows": lambda programs, at: label(programs, teacher, tokens, at / "labels", N_FEW),
        "label": lambda programs, at: label(programs, teacher, tokens, at / "labels"),
        "train, tokens": lambda programs, at: train(programs, at, "ce", N_STEPS, data),
        "train, labels": lambda programs, at: train(
            programs, at, "kd", N_STEPS, labelled, "--set", "kd.mode=salt", "--set", f"kd.n_kd={N_STEPS - 1}"
        ),
    }


def label(programs: Path, teacher: Path, tokens: Path, output: Path, n: int = N_LABELLED) -> Cost:
    """Labels of `n` sequences with scores, stats and the 64 most likely ids."""
    options = ["--seq-len", T, "--top-k", 64, "--max-sequences", n, "--device", "cpu", "--output", output]
    return run([programs / "saltworks", "label", "--teacher", teacher, "--tokens", tokens, *options])


def same(name: str, before: Path, after: Path) -> str:
    """Whether both builds wrote the same labels, or the same weights."""
    if name.startswith("label"):
        pairs = [(path, after / path.relative_to(before)) for path in sorted(before.glob("labels/positions/*.parquet"))]
    else:
        of = "ce" if name == "train, tokens" else "kd"
        pairs = [(before / of / "final/model.safetensors", after / of / "final/model.safetensors")]
    equal = bool(pairs) and all(ours.read_bytes() == theirs.read_bytes() for ours, theirs in pairs)
    return "same bytes" if equal else "other bytes"


def file_name(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-")


def compare(builds: list[Path], text: Path, n_rounds: int, at: Path) -> None:
    """Prints the table."""
    tokens, tokenizer = at / "tokens", at / "tokenizer.json"
    saltworks = builds[0] / "saltworks"
    run([saltworks, "tokenizer", "train", "--input", text, "--vocab-size", 8192, "--output", tokenizer])
    run([saltworks, "tokenize", "--input", text, "--tokenizer", tokenizer, "--output", tokens])
    train(builds[0], at, "teacher", 1, data_of(tokens))
    teacher, labels = at / "teacher/final/model.onnx", at / "of-both"
    label(builds[0], teacher, tokens, labels)
    print(f"{'':<16}{'clock':>8}{'processor':>11}   seconds of the clock, before and after")
    for name, work in works(teacher, tokens, labels).items():
        costs: list[list[Cost]] = [[], []]
        for turn in range(n_rounds):
            for idx in (0, 1) if turn % 2 == 0 else (1, 0):
                place = at / f"{file_name(name)}-{turn}-{idx}"
                place.mkdir()
                costs[idx].append(work(builds[idx], place))
        medians = [[statistics.median(column) for column in zip(*side, strict=True)] for side in costs]
        ratios = [after / before for before, after in zip(*medians, strict=True)]
        place = at / file_name(name)
        equal = same(name, Path(f"{place}-0-0"), Path(f"{place}-0-1"))
        seconds = ", ".join(f"{ours[0]:.2f}/{theirs[0]:.2f}" for ours, theirs in zip(*costs, strict=True))
        print(f"{name:<16}{ratios[0]:>8.3f}{ratios[1]:>11.3f}   {seconds}   {equal}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dir", help="where the work is done, some 200 MB; default: the system's temporary directory")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.dir) as at:
        compare([given.before.resolve(), given.after.resolve()], given.text, given.rounds, Path(at))


if __name__ == "__main__":
    main()
