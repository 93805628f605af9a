"""Labels of a real checkpoint by transformers' logits and by the program itself: the same numbers.

`make real-data-torch`, which says where the real data is ($SALTWORKS_SHARED_DATA).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from saltworks_lm import Engine, Labels, LabelWriter
from saltworks_lm.programs import run_saltworks

DATA = Path(os.environ["SALTWORKS_SHARED_DATA"])
MODEL = DATA / "models" / "stories260K"
#: Two f32 implementations of five layers, and two ways to take log-softmax over 512 ids: nats up to 1, and relative
#: past it, since rounding of a log-probability grows with it.
TOLERANCE = 1e-4
T, N, K = 256, 32, 16


#: Text that the model was trained for, and text that it was not.
TEXTS = ["tinystories.sample.txt", "books.valid.jsonl.zst"]


@pytest.fixture(params=TEXTS)
def tokens(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    folder, text = tmp_path, DATA / "corpus" / request.param
    run_saltworks(
        *("tokenize", "--input", str(text), "--tokenizer", str(MODEL / "tokenizer.json")),
        *("--output", str(folder / "tokens"), "--quiet"),
    )
    return folder / "tokens"


def test_labels_by_transformers_are_sound_and_those_of_the_program(tokens: Path) -> None:
    ours, theirs = tokens.with_name("by-transformers"), tokens.with_name("by-saltworks")
    run_saltworks(
        *("label", "--teacher", str(MODEL), "--tokens", str(tokens), "--output", str(theirs), "--seq-len", str(T)),
        *("--top-k", str(K), "--max-sequences", str(N), "--round", "f32", "--device", "cpu", "--quiet"),
    )
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    engine = Engine("transformers", transformers.__version__, "stories260K", files=(MODEL / "model.safetensors",))
    options = {"top_k": K, "max_sequences": N, "round": "f32"}
    vocab_size = Labels(theirs).vocab_size
    with LabelWriter(ours, tokens, engine, vocab_size=vocab_size, seq_len=T, **options) as writer, torch.no_grad():
        for sequence in writer.todo():
            inputs = torch.from_numpy(sequence.inputs.astype(np.int64))[None]
            writer.write_logits(sequence, model(input_ids=inputs).logits[0, :, :vocab_size].numpy())
    assert "sound" in Labels(ours).verify()
    print(difference(Labels(ours), Labels(theirs)))


def difference(ours: Labels, theirs: Labels) -> str:
    """Asserts that they agree; in words, how far."""
    assert (ours.seq_ids == theirs.seq_ids).all()
    most: dict[str, float] = {}
    n_ids = n_other = n_ranks = 0
    largest = 0.0
    for a, b in zip(ours, theirs, strict=True):
        assert (a.input_ids == b.input_ids).all()
        for name in ("target_logprob", "entropy", "logsumexp", "topk_logprobs", "tail_mass"):
            gaps = np.abs(getattr(a, name) - getattr(b, name))
            largest = max(largest, float((gaps / np.maximum(np.abs(getattr(b, name)), 1.0)).max()))
            most[name] = max(most.get(name, 0.0), float(gaps.max()))
        for name in ("score_mean_nll", "score_salt"):
            gap = abs(a.scores[name] - b.scores[name])
            most[name], largest = max(most.get(name, 0.0), gap), max(largest, gap)
        n_ids += a.topk_ids.size
        n_other += int((a.topk_ids != b.topk_ids).sum())
        n_ranks += int((a.target_rank != b.target_rank).sum())
    assert largest <= TOLERANCE, most
    # Ids and ranks can differ where two logits are as near as the arithmetics are.
    assert n_other <= n_ids // 1000
    assert n_ranks <= n_ids // K // 1000
    shown = ", ".join(f"{name} {gap:.1e}" for name, gap in most.items())
    return (
        f"{len(ours)} sequences of {T}: {shown}; "
        f"relative past 1 nat {largest:.1e}; {n_other} of {n_ids} ids and {n_ranks} of {n_ids // K} ranks in "
        "another place"
    )
