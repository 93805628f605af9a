"""What tests of the trainer share: a tiny model to start from, and a configuration over the shared labels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from conftest import V, documents, label, write_megatron, write_teacher
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

# Tests of tensors are small: more threads than one only wait for each other.
torch.set_num_threads(1)
PYTHON = Path(__file__).parents[2]


def prepare(made: Path) -> Path:
    """The folder of the labels, with those of another teacher in `others`, a model in `llama` and other tokens in
    `valid`."""
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=V, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True, attention_bias=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, rms_norm_eps=1e-5,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(made / "llama")
    gpt2 = GPT2Config(vocab_size=V, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(gpt2).save_pretrained(made / "gpt2")
    write_megatron(made / "valid", documents(40, seed=9))
    write_teacher(made / "other.onnx", seed=6)
    # Of other shards and row groups than the first ones.
    of_other = ("--samples", "7", "--temperatures", "2", "--shard-bytes", "9000")
    label(made, "others", *of_other, teacher="other.onnx", top_k=5)
    return made


def write_config(folder: Path, name: str, **over: Any) -> Path:
    """A `run.toml` of salt over the labels; `over` has whole keys with `__` for the dot, None takes one out; `labels`
    are names of several sets."""
    over = dict(over)
    if "labels" in over:
        over["data__labels"] = [str(folder / name) for name in over.pop("labels")]
    keys: dict[str, Any] = {
        "output": str(folder / name), "init": str(folder / over.pop("init", "llama")),
        "data.labels": str(folder / "labels"),
        "data.tokens": str(folder / "tokens"), "data.validation": str(folder / "valid"), "train.steps": 12,
        "train.batch_size": 8, "train.micro_batch_size": 4, "train.threads": 1, "schedule.lr": 3e-3,
        "schedule.shape": "wsd", "kd.mode": "salt", "kd.n_kd": 7, "kd.omega": 0.7, "eval.every": 6,
        "eval.sequences": 20, "checkpoint.every": 4, "log.every": 1,
    }  # fmt: skip
    keys |= {key.replace("__", "."): value for key, value in over.items()}
    tables: dict[str, list[str]] = {"": []}
    for key, value in keys.items():
        if value is not None:
            table, _, last = key.rpartition(".")
            tables.setdefault(table, []).append(f"{last} = {json.dumps(value)}")
    text = "\n".join([*tables.pop(""), *(line for t, lines in tables.items() for line in (f"[{t}]", *lines))])
    path = folder / f"{name}.toml"
    path.write_text(text + "\n")
    return path


def command(*arguments: str, processes: int = 1) -> list[str]:
    """As a user starts the trainer, under torchrun where there are several processes."""
    launcher = [sys.executable]
    if processes > 1:
        # --standalone takes a free port.
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [*launcher, "-m", "saltworks_lm.train", "--device", "cpu", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PYTHON), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def trainer(*arguments: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    """Runs the trainer to its end."""
    line = command(*arguments, processes=processes)
    return subprocess.run(line, capture_output=True, text=True, env=environment(), check=False)


def launch(*arguments: str) -> subprocess.Popen[bytes]:
    """Starts the trainer."""
    return subprocess.Popen(command(*arguments), env=environment(), stderr=subprocess.DEVNULL)


def lines(run: Path, kind: str = "train") -> list[dict[str, Any]]:
    """The lines of a kind of `metrics.jsonl`."""
    every = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in every if line["kind"] == kind]
