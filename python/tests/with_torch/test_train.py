"""Runs of the trainer: against saltworks-train, resumed, on several processes, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch
from conftest import V, label
from safetensors.torch import load_file
from torch import Tensor
from training import launch, lines, prepare, trainer, write_config

from saltworks_lm.programs import find_program
from saltworks_lm.train.__main__ import main
from saltworks_lm.train.config import UNSUPPORTED_KEYS, RunConfig
from saltworks_lm.train.metrics import _masked_crc
from saltworks_lm.train.order import Permutation

#: Two f32 trainers with sums in another order, over a dozen steps at a high learning rate.
BOTH_TRAINERS = 2e-5


#: Labels of two teachers over the same tokens.
BOTH = ["labels", "others"]


@pytest.fixture(scope="module")
def start(made: Path) -> Path:
    return prepare(made)


def run(folder: Path, name: str, *arguments: str, processes: int = 1, **over: Any) -> Path:
    config = write_config(folder, name, **over)
    if processes == 1:
        assert in_process("--config", str(config), "--device", "cpu", *arguments) == 0
    else:
        done = trainer("--config", str(config), *arguments, processes=processes)
        assert done.returncode == 0, done.stderr
    return folder / name


@pytest.mark.parametrize(
    ("name", "over"),
    [
        ("baseline", {"kd__mode": "baseline"}),
        ("sampled", {}),
        ("tail-bucket", {"kd__loss": "tail-bucket", "kd__tau": 2.0, "kd__temperature_mode": "both"}),
        ("linear", {"kd__loss": "drop", "kd__transition": "linear", "kd__decay_steps": 3, "kd__gate": "learnable"}),
        ("lr-factor", {"kd__transition": "linear", "kd__decay_steps": 3, "kd__lr_factor": 2.0}),
        ("rkd", {"kd__mode": "rkd", "kd__n_kd": None, "data__tokens": None, "kd__gate": "agreement"}),
        ("auto", {"kd__transition": "auto", "kd__auto_margin": 4.0, "kd__gate": "entropy", "kd__loss": "renormalize"}),
        ("masked", {"data__mask_document_borders": True, "data__label_epochs": 2, "train__seed": 5}),
        ("excess", {"kd__gate": "excess", "data__mask_document_borders": True}),
        ("ce-excess", {"kd__gate": "excess", "kd__gate_fraction": 0.3, "kd__omega": 0.0}),
        ("weight", {"kd__gate": "excess", "kd__gate_excess": "weight", "data__mask_document_borders": True}),
        ("ce-weight", {"kd__gate": "excess", "kd__gate_excess": "weight", "kd__omega": 0.0}),
        ("mix", {"labels": BOTH, "kd__teacher_weights": [3.0, 1.0], "kd__gate": "excess"}),
        ("mix-tail", {"labels": BOTH, "kd__loss": "tail-bucket", "kd__tau": 2.0, "kd__temperature_mode": "both"}),
        ("lower-nll", {"labels": BOTH, "kd__teachers": "lower-nll", "kd__loss": "tail-bucket", "kd__gate": "entropy"}),
        ("lower-draws", {"labels": BOTH, "kd__teachers": "lower-nll", "kd__gate": "agreement"}),
    ],
)
def test_both_trainers_make_the_same_steps(start: Path, name: str, over: dict[str, Any]) -> None:
    ours = run(start, f"{name}-torch", **over)
    config = write_config(start, f"{name}-rust", **over)
    subprocess.run([find_program("saltworks-train"), "run", "--config", config], check=True, capture_output=True)
    theirs = start / f"{name}-rust"
    for kind in ("train", "valid", "stage"):
        mine, rust = lines(ours, kind), lines(theirs, kind)
        assert len(mine) == len(rust)
        for a, b in zip(mine, rust, strict=True):
            assert_same(a, b)


def assert_same(a: Any, b: Any, key: str = "") -> None:
    if isinstance(b, dict):
        assert a.keys() == b.keys()
        for name in b:
            if name not in ("seconds", "tokens_per_s", "mfu"):
                assert_same(a[name], b[name], name)
    elif isinstance(b, list):
        for x, y in zip(a, b, strict=True):
            assert_same(x, y, key)
    elif isinstance(b, float) and isinstance(a, float):
        assert abs(a - b) <= BOTH_TRAINERS * max(1.0, abs(b)), (key, a, b)
    else:
        assert a == b, key


def weights(run: Path) -> dict[str, Tensor]:
    return load_file(run / "final" / "model.safetensors")


def assert_equal_weights(a: Path, b: Path, tolerance: float = 0.0) -> None:
    ours, theirs = weights(a), weights(b)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=0.0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture(scope="module")
def whole(start: Path) -> Path:
    """A run that nothing stopped, with dropout."""
    return run(start, "whole", **WITH_DROPOUT)


#: A second stage, and random numbers in every step.
WITH_DROPOUT: dict[str, Any] = {"init": "gpt2", "data__mask_document_borders": True}


def test_a_killed_run_resumes_to_the_same_weights_bit_for_bit(start: Path, whole: Path) -> None:
    config = write_config(start, "killed", **WITH_DROPOUT)
    process = launch("--config", str(config))
    while not (start / "killed" / "checkpoints" / "step-8").is_dir():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (start / "killed" / "final").exists()
    done = trainer("--config", str(config), "--resume")
    assert done.returncode == 0, done.stderr
    assert "resuming from" in done.stderr
    assert_equal_weights(start / "killed", whole)
    for kind in ("train", "valid", "stage"):
        ours, theirs = lines(start / "killed", kind), lines(whole, kind)
        assert [without_times(line) for line in ours] == [without_times(line) for line in theirs]


def without_times(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in ("seconds", "tokens_per_s")}


def test_a_run_of_two_teachers_resumes_with_the_same_excess_threshold(
    start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    over: dict[str, Any] = {"labels": BOTH, "kd__gate": "excess", "checkpoint__keep_last": 9}
    whole = run(start, "two-whole", **over)
    cut = [line["learnt_fraction"] for line in lines(whole) if line["stage"] == 1]
    assert cut[0] == 1.0, "the first step has no border"
    assert all(0.3 < fraction < 0.9 for fraction in cut[1:]), cut
    copy = shutil.copytree(whole, start / "two-again")
    shutil.rmtree(copy / "final")
    given = ("--config", str(whole.with_suffix(".toml")), "--device", "cpu", "--output", str(copy))
    assert in_process(*given, "--resume-from", "step-4") == 0
    assert_equal_weights(copy, whole)
    sets = f'data.labels=["{start / "labels"}", "{start / "moved-labels"}"]'
    shutil.copytree(start / "others", start / "moved-labels")
    assert in_process(*given, "--resume", "--set", sets) == 0, "contents decide"
    capsys.readouterr()
    assert in_process(*given, "--resume", "--set", f'data.labels=["{start / "labels"}"]') == 2
    assert "kd.teacher_weights is missing, expected [1.0, 1.0]" in capsys.readouterr().err


def test_a_run_that_is_asked_to_stop_saves_and_goes_on(start: Path, whole: Path) -> None:
    config = write_config(start, "stopped", checkpoint__every=0, **WITH_DROPOUT)
    process = launch("--config", str(config))
    while not (start / "stopped" / "metrics.jsonl").is_file() or not lines(start / "stopped"):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 75
    assert len(list((start / "stopped" / "checkpoints").glob("step-*"))) == 1
    done = trainer("--config", str(config), "--resume")
    assert done.returncode == 0, done.stderr
    assert_equal_weights(start / "stopped", whole)


#: Sums over two processes are in another order; over a dozen steps of a high learning rate.
TWO_PROCESSES = 5e-5


@pytest.mark.parametrize(("parallel", "gate"), [("ddp", "entropy"), ("fsdp", "entropy"), ("ddp", "excess")])
def test_two_processes_make_the_steps_of_one(start: Path, parallel: str, gate: str) -> None:
    over = {"kd__gate": gate, "data__mask_document_borders": True, "train__micro_batch_size": 2, "train__steps": 8}
    name = f"one-{gate}"
    one = run(start, name, **over) if not (start / name).exists() else start / name
    two = run(start, f"two-{parallel}-{gate}", "--parallel", parallel, processes=2, **over)
    assert_equal_weights(one, two, TWO_PROCESSES)
    for kind in ("train", "valid", "stage"):
        for a, b in zip(lines(two, kind), lines(one, kind), strict=True):
            assert_same(a, b)


def test_a_run_goes_on_with_another_number_of_processes(start: Path) -> None:
    over = {"train__steps": 8, "train__micro_batch_size": 2, "checkpoint__keep_last": 9}
    one = run(start, "alone", **over)
    config = write_config(start, "moved", **over)
    first = trainer("--config", str(config), "--parallel", "fsdp", processes=2)
    assert first.returncode == 0, first.stderr
    shutil.rmtree(start / "moved" / "final")
    again = trainer("--config", str(config), "--resume-from", "step-4")
    assert again.returncode == 0, again.stderr
    assert "step-8.abandoned" in again.stderr
    assert_equal_weights(one, start / "moved", TWO_PROCESSES)


def test_bf16_and_checkpointed_activations_learn_too(start: Path) -> None:
    over = {"train__steps": 6, "kd__n_kd": 4}
    plain = lines(run(start, "plain", **over))
    remade = lines(run(start, "remade", train__recompute=True, **over))
    for a, b in zip(remade, plain, strict=True):
        assert_same(a, b)
    narrow = lines(run(start, "bf16", "--precision", "bf16", **over))
    assert abs(narrow[-1]["ce"] - plain[-1]["ce"]) < 0.05
    assert narrow[-1]["ce"] != plain[-1]["ce"]


REFUSED = [
    ({"kd__mode": "salty"}, 2, "kd.mode is salty, expected one of baseline"),
    ({"kd__tua": 2.0}, 2, "kd.tua is 2.0, expected one of mode"),
    ({"branch_from": "x"}, 2, ", expected no such key: only saltworks-train has it"),
    ({"train__memory_limit": 5}, 2, "only saltworks-train has it"),
    ({"data__seq_len": 16}, 2, "data.seq_len is 16, expected the labels' 32"),
    ({"kd__tau": 3.0, "kd__loss": "drop"}, 2, "kd.tau is 3.0, expected 1 or one of the labels'"),
    ({"kd__tau": 2.0}, 2, "the temperature of the samples"),
    ({"train__steps": 400, "kd__n_kd": 390}, 3, "are missing"),
    ({"init": "nowhere"}, 2, "init is"),
    ({"data__labels": "nowhere"}, 3, "data.labels"),
    ({"train__micro_batch_size": 3}, 2, "a divisor of train.batch_size, 8"),
    ({"kd__gate_fraction": 1.0}, 2, "kd.gate_fraction is 1.0, expected above 0 and below 1"),
    ({"labels": []}, 2, "expected a path, or a list of 1 to 8 paths"),
    ({"labels": ["labels", "labels"]}, 3, "the same labels twice"),
    ({"kd__teachers": "lower-nll"}, 2, 'which belongs to data.labels = ["...", "..."]'),
    ({"kd__teacher_weights": [1.0]}, 2, 'which belongs to data.labels = ["...", "..."]'),
    ({"labels": BOTH, "kd__teacher_weights": [1.0]}, 2, "expected a weight for each of the 2 in data.labels"),
    ({"labels": BOTH, "kd__teacher_weights": [1.0, -1.0]}, 2, "expected finite numbers of at least 0"),
    ({"labels": BOTH, "kd__teacher_weights": [0.0, 0.0]}, 2, "at least one is above 0"),
    ({"labels": BOTH, "kd__teachers": "both"}, 2, "kd.teachers is both, expected one of mix, lower-nll"),
    ({"labels": BOTH, "kd__tau": 0.5, "kd__loss": "drop"}, 2, "kd.tau is 0.5, expected 1 or one of the labels'"),
]


@pytest.mark.parametrize(("over", "code", "message"), REFUSED, ids=lambda x: str(x)[:40])
def test_invalid_settings_are_refused_by_key_before_the_first_step(
    start: Path, capsys: pytest.CaptureFixture[str], over: dict[str, Any], code: int, message: str
) -> None:
    config = write_config(start, "refused", **over)
    assert in_process("--config", str(config), "--device", "cpu") == code
    said = capsys.readouterr().err
    assert message in said, said
    assert not (start / "refused" / "metrics.jsonl").exists()


def in_process(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train", *arguments])
        return main()


def test_a_resumed_run_of_another_configuration_is_refused_by_key(
    start: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(whole.with_suffix(".toml"))
    given = ("--config", config, "--device", "cpu")
    assert in_process(*given) == 2
    assert "add --resume" in capsys.readouterr().err
    for change, key in (("kd.omega=0.5", "kd.omega is 0.5, expected 0.7"), ("schedule.lr=1", "schedule.lr is 1.0")):
        assert in_process(*given, "--resume", "--set", change) == 2
        assert key in capsys.readouterr().err
    assert in_process(*given, "--resume", "--precision", "bf16") == 2
    assert "--precision is bf16, expected f32" in capsys.readouterr().err
    assert in_process(*given, "--resume", "--set", "log.every=5") == 0


def test_a_damaged_checkpoint_is_refused_and_another_named(
    start: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(whole, start / "damaged")
    shutil.rmtree(copy / "final")
    (file,) = (copy / "checkpoints" / "step-12").glob("*.distcp")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    given = ("--config", str(whole.with_suffix(".toml")), "--device", "cpu", "--output", str(copy))
    assert in_process(*given, "--resume") == 3
    said = capsys.readouterr().err
    assert "has changed since it was written" in said
    assert "step-8" in said
    assert in_process(*given, "--resume-from", "step-8") == 0
    assert_equal_weights(copy, whole)


def test_a_nonfinite_loss_stops_the_run_and_keeps_the_steps_done(
    start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(start, "diverged", schedule__lr=1e30, optimizer__grad_clip=0.0, checkpoint__every=0)
    assert in_process("--config", str(config), "--device", "cpu") == 3
    said = capsys.readouterr().err
    assert "expected a finite number" in said
    assert "lower schedule.lr," in said
    assert list((start / "diverged" / "checkpoints").glob("step-*"))
    config = write_config(start, "too-fast", schedule__lr=1e29, kd__lr_factor=10.0, optimizer__grad_clip=0.0)
    assert in_process("--config", str(config), "--device", "cpu") == 3
    assert "lower kd.lr_factor or schedule.lr" in capsys.readouterr().err


def test_a_damaged_shard_in_the_middle_is_named_with_the_position_to_resume_from(
    start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = shutil.copytree(start / "labels", start / "damaged-labels")
    for file in sorted((labels / "positions").glob("*.parquet"))[2:]:
        content = bytearray(file.read_bytes())
        content[40:200] = bytes(160)
        file.write_bytes(content)
    over = {"kd__mode": "rkd", "kd__n_kd": None, "data__tokens": None, "data__labels": str(labels)}
    config = write_config(start, "shard", **over, data__shuffle_row_groups=1, data__prefetch=1)
    assert in_process("--config", str(config), "--device", "cpu") == 3
    said = capsys.readouterr().err
    assert "damaged-labels/positions/part-" in said
    assert "of stage 1" in said


def test_the_program_reads_the_runs(start: Path, whole: Path) -> None:
    program = find_program("saltworks-train")
    done = subprocess.run([program, "plot", whole, "--output", start / "curves"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (start / "curves.svg").stat().st_size > 1000
    events = list(whole.glob("events.out.tfevents.*"))
    assert events
    # A run that was resumed has a file for each time.
    tags = set().union(*(read_events(path.read_bytes()) for path in events))
    assert {"train/loss", "train/kd", "valid/nll", "train/stage", "variance/soft"} <= tags


def test_a_run_records_its_sources_and_seals_its_model_as_the_program_does(start: Path) -> None:
    over = {"train__steps": 4, "kd__n_kd": 2}
    ours = run(start, "sealed-torch", **over)
    config = write_config(start, "sealed-rust", **over)
    subprocess.run([find_program("saltworks-train"), "run", "--config", config], check=True, capture_output=True)
    sources = (json.loads((start / name / "sources.json").read_text()) for name in ("sealed-torch", "sealed-rust"))
    mine, theirs = sources
    assert mine == theirs
    assert all(mine[key] is not None for key in ("labels", "tokens", "validation", "init", "labelled_tokens"))
    evaluated = [find_program("saltworks-train"), "eval", "--model", ours, "--tokens", str(start / "tokens")]
    done = subprocess.run(evaluated, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "text that the model was trained on" in done.stdout + done.stderr
    weights = ours / "final" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    done = subprocess.run(evaluated, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "model.safetensors" in done.stderr


def test_runs_of_both_trainers_are_compared_and_reported(start: Path) -> None:
    arms = {"baseline": {"kd__mode": "baseline"}, "salt": {}}
    over = {"eval__every": 2, "train__steps": 12}
    runs = [run(start, f"{name}-compared", **over, **set_) for name, set_ in arms.items()]
    config = write_config(start, "salt-by-rust", **over, train__seed=0)
    subprocess.run([find_program("saltworks-train"), "run", "--config", config], check=True, capture_output=True)
    output = start / "compared"
    named = [*zip(arms, runs, strict=True), ("salt-by-rust", start / "salt-by-rust")]
    given = [x for name, path in named for x in ("--runs", f"{name}={path}")]
    command = [find_program("saltworks-train"), "compare", *given, "--output", output]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads((output / "results.json").read_text())
    assert [arm["name"] for arm in results["arms"]] == ["baseline", "salt", "salt-by-rust"]
    for arm, (_, path) in zip(results["arms"], named, strict=True):
        validations = [(line["step"], line["val_nll"]) for line in lines(path, "valid")]
        shown = [(v["n_steps"], v["scores"][0]["nll"]) for v in arm["runs"][0]["validations"]]
        assert shown == validations
        assert len(shown) == 6
    # The arms of the two trainers are the same run.
    of_torch, of_rust = (arm["runs"][0]["branches"][0]["scores"][0]["nll"] for arm in results["arms"][1:])
    assert abs(of_torch - of_rust) < BOTH_TRAINERS
    assert results["arms"][1]["n_labelled_tokens"] == results["arms"][2]["n_labelled_tokens"] > 0
    table = (output / "results.md").read_text()
    assert "reaches the baseline's final NLL" in table
    assert "By the validations of the runs" in table
    page = (output / "report.html").read_text()
    assert "torch.json: precision" in page
    subprocess.run([find_program("saltworks-train"), "report", output], check=True, capture_output=True)


def write_tokenizer(path: Path, words: int) -> None:
    """A tokenizer.json of words w0, w1, ..."""
    vocab = {f"w{i}": i for i in range(words)}
    model = {"type": "WordLevel", "vocab": vocab, "unk_token": "w0"}
    parts = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None}
    parts |= {"pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None, "model": model}
    path.write_text(json.dumps(parts))


def test_a_tokenizer_beside_init_that_is_not_the_labels_is_refused(
    start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same, other = start / "same.json", start / "other.json"
    write_tokenizer(same, V)
    write_tokenizer(other, V - 1)
    label(start, "of-tokenizer", "--samples", "12", "--tokenizer", str(same))
    model = shutil.copytree(start / "llama", start / "llama-with-tokenizer")
    over = {"init": model.name, "data__labels": str(start / "of-tokenizer"), "train__steps": 3, "kd__n_kd": 2}
    for number, tokenizer in enumerate((other, same)):
        shutil.copy(tokenizer, model / "tokenizer.json")
        config = write_config(start, f"tokenizer-{number}", **over)
        assert in_process("--config", str(config), "--device", "cpu") == (2 if tokenizer == other else 0)
        assert ("init is of blake3:" in capsys.readouterr().err) == (tokenizer == other)
    config = write_config(start, "tokenizer-named", **{**over, "init": "llama"}, data__tokenizer=str(other))
    assert in_process("--config", str(config), "--device", "cpu") == 2
    assert "data.tokenizer is of blake3:" in capsys.readouterr().err


def read_events(content: bytes) -> set[str]:
    """Tags of all records, whose lengths and checksums are right."""
    tags, at = set(), 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        event = content[at + 12 : at + 12 + length]
        assert content[at + 8 : at + 12] == _masked_crc(content[at : at + 8])
        assert content[at + 12 + length : at + 16 + length] == _masked_crc(event)
        tags |= {tag.decode() for tag in re.findall(rb"(?:train|valid|perf|labels|variance)/[a-z_]+", event)}
        at += 16 + length
    return tags


def test_the_permutation_is_that_of_the_program() -> None:
    # Slots of 0, 1, 2, ... as the tests of the program freeze them.
    assert Permutation(5, 0).index_at([0, 3, 1, 2, 4]).tolist() == list(range(5))
    slots = [899, 754, 631, 534, 148, 897, 634, 156]
    assert Permutation(1000, 42).index_at(slots).tolist() == list(range(8))
    assert sorted(Permutation(1000, 3).index_at(range(1000))) == list(range(1000))
    assert Permutation(1, 3).index_at([0]).tolist() == [0]


def test_every_key_of_the_program_is_known_here_or_refused_by_name() -> None:
    schema = json.loads((Path(__file__).parents[3] / "schemas" / "run-config.schema.json").read_text())
    theirs = set(keys_of_schema(schema, schema))
    assert set(keys_of(RunConfig)) == theirs
    assert set(UNSUPPORTED_KEYS) <= theirs


def keys_of_schema(schema: dict[str, Any], table: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in table["properties"].items():
        parts = [value, *value.get("anyOf", []), *value.get("allOf", [])]
        names = [part["$ref"].rpartition("/")[2] for part in parts if "$ref" in part]
        inner = [schema["$defs"][name] for name in names if "properties" in schema["$defs"][name]]
        yield from keys_of_schema(schema, inner[0], f"{prefix}{key}.") if inner else [prefix + key]


def keys_of(kind: Any, prefix: str = "") -> Iterator[str]:
    for name, hint in get_type_hints(kind).items():
        tables = [part for part in (hint, *get_args(hint)) if is_dataclass(part)]
        yield from keys_of(tables[0], f"{prefix}{name}.") if tables else [prefix + name]
