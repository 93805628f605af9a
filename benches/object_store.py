"""Compares labelling to an S3 server on this machine, and training from it, with a local directory.

    python benches/object_store.py CORPUS [--rounds N] [--dir DIR]

CORPUS is a directory of `saltworks tokenize`. Runs the release build of this repository. A teacher with random weights
(50M parameters at V = 8,192) labels CORPUS with K = 64 into both places in turn, then a model of 9.3M parameters trains
on labels from both. The server is moto's (`moto_server` in .venv-scale, or SALTWORKS_MOTO_SERVER), over loopback;
unlike a real store it shares the CPU with the work. Ratios are of medians; steps per second exclude the first step.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from support.runs import STUDENT, run_toml
from support.timed import run

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "target/release"
T = 256
N_LABELLED = 64
N_STEPS = 40
LARGE = {"d_model": 576, "n_layers": 13, "n_heads": 9, "n_kv_heads": 3, "d_ff": 1536, "tie_embeddings": True}
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}


@contextlib.contextmanager
def server() -> Iterator[dict[str, str]]:
    """An S3 server with the bucket `bucket`; the environment that reaches it."""
    program = os.environ.get("SALTWORKS_MOTO_SERVER", ROOT / ".venv-scale/bin/moto_server")
    port = 18_453
    process = subprocess.Popen(
        [program, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    endpoint = f"http://127.0.0.1:{port}"
    credential = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    request = urllib.request.Request(f"{endpoint}/bucket", method="PUT", headers={"Authorization": credential})
    try:
        for _ in range(200):
            with contextlib.suppress(urllib.error.URLError):
                urllib.request.urlopen(request).close()
                break
            time.sleep(0.1)
        else:
            raise SystemExit(f"{program} does not answer")
        yield {**os.environ, **KEYS, "AWS_ENDPOINT_URL": endpoint}
    finally:
        process.terminate()
        process.wait()


def train(at: Path, name: str, model: dict[str, object], steps: int, data: dict[str, object], *, env: dict[str, str]) -> Path:
    """A run into `at/name`."""
    file = at / f"{name}.toml"
    file.write_text(run_toml(at / name, model, steps, data, log={"every": 1}))
    more = ["--set", "kd.mode=salt", "--set", f"kd.n_kd={steps - 1}"] if "labels" in data else []
    run([PROGRAMS / "saltworks-train", "run", "--config", file, *more], env)
    return at / name


def labelled(teacher: Path, corpus: Path, n: int, output: str | Path, *, env: dict[str, str]) -> float:
    """Seconds that labels of `n` sequences take."""
    options = ["--seq-len", T, "--top-k", 64, "--max-sequences", n, "--device", "cpu", "--output", output]
    return run([PROGRAMS / "saltworks", "label", "--teacher", teacher, "--tokens", corpus, *options], env).clock


def steps_per_second(metrics: Path) -> float:
    """Over all steps but the first."""
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    steps = [line for line in lines if line["kind"] == "train"]
    return (steps[-1]["step"] - steps[0]["step"]) / (steps[-1]["seconds"] - steps[0]["seconds"])


def print_ratio(what: str, unit: str, local: list[float], store: list[float]) -> None:
    """The store's rate over that of the directory."""
    each = ", ".join(f"{theirs / ours:.3f}" for ours, theirs in zip(local, store, strict=True))
    ours, theirs = statistics.median(local), statistics.median(store)
    print(f"{what}: {theirs:.2f} {unit} over {ours:.2f}: {theirs / ours:.3f} (by round {each})", flush=True)


def compare(corpus: Path, n_rounds: int, at: Path, env: dict[str, str]) -> None:
    """Prints both ratios."""
    tokenizer = {"tokens": str(corpus), "tokenizer": str(corpus / "tokenizer.json"), "seq_len": T}
    large = train(at, "large", LARGE, 1, tokenizer, env=env) / "final"
    small = train(at, "small", STUDENT, 1, tokenizer, env=env) / "final"
    rates: list[list[float]] = [[], []]
    for turn in range(n_rounds):
        places = [at / f"labels-{turn}", f"s3://bucket/labels-{turn}"]
        for idx in (0, 1) if turn % 2 == 0 else (1, 0):
            rates[idx].append(N_LABELLED * T / labelled(large, corpus, N_LABELLED, places[idx], env=env))
    print_ratio("label, S3 over local", "tokens/s", *rates)
    sets = [at / "labels", "s3://bucket/labels"]
    for place in sets:
        labelled(small, corpus, N_STEPS * 8, place, env=env)
    rates = [[], []]
    for turn in range(n_rounds):
        for idx in (0, 1) if turn % 2 == 0 else (1, 0):
            data = {**tokenizer, "labels": str(sets[idx])}
            output = train(at, f"run-{turn}-{idx}", STUDENT, N_STEPS, data, env=env)
            rates[idx].append(steps_per_second(output / "metrics.jsonl"))
    print_ratio("train, S3 over local", "steps/s", *rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", help="where the work is done; default: the system's temporary directory")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.dir) as at, server() as env:
        compare(given.corpus.resolve(), given.rounds, Path(at), env)


if __name__ == "__main__":
    main()
