"""Compares the NumPy losses of docs/your-trainer.md with one step of `saltworks-train`.

    python check_losses.py SNIPPET LABELS LOSS RUN

SNIPPET is the page's Python with the losses. RUN made one step at a learning rate too small to move a weight,
over all sequences of LABELS as one batch, so final/model.onnx is the model that its first line of metrics.jsonl is of.
Prints the largest difference, and checks each gradient against differences of its loss.
"""

import json
import pathlib
import sys

import numpy as np
import onnxruntime
import pyarrow.parquet as pq

# The trainer sums in f32, and so does ONNX Runtime.
TOLERANCE = 2e-5


def rows_of(labels):
    for path in sorted(pathlib.Path(labels, "positions").glob("*.parquet")):
        yield from pq.read_table(path).to_pylist()


def divergence(losses, name, log_q, row, top_k):
    array = {key: np.array(value) for key, value in row.items() if isinstance(value, list)}
    if name == "sampled":
        return losses["sampled"](log_q, array["sampled_ids"], array["sampled_counts"], array["sample_offsets"])
    ids = array["topk_ids"].reshape(-1, top_k)
    logprobs = array["topk_logprobs"].reshape(-1, top_k)
    return losses["tail_bucket"](log_q, ids, logprobs, array["tail_mass"])


def check_gradient(losses, loss, logits):
    """Of the mean loss, along a direction that no structure of the logits favours."""
    direction = np.cos(np.arange(logits.size) * 1.7).reshape(logits.shape)
    value = lambda step: loss(losses["log_softmax"](logits + step * direction))[0].sum()
    expected = (value(1e-5) - value(-1e-5)) / 2e-5
    got = (loss(losses["log_softmax"](logits))[1] * direction).sum()
    assert abs(got - expected) < 1e-6 * max(1.0, abs(expected)), (got, expected)


def main(snippet, labels, name, run):
    losses = {}
    exec(compile(pathlib.Path(snippet).read_text(), snippet, "exec"), losses)
    session = onnxruntime.InferenceSession(str(pathlib.Path(run, "final", "model.onnx")))
    inputs = {entry.name for entry in session.get_inputs()}
    top_k = json.loads(pathlib.Path(labels, "plan.json").read_text())["signals"]["top_k"]
    ce, kd = [], []
    for row in rows_of(labels):
        ids = np.array(row["input_ids"], np.int64)
        feeds = {"input_ids": ids[None, :-1], "attention_mask": np.ones((1, len(ids) - 1), np.int64)}
        logits = session.run(["logits"], {key: feeds[key] for key in inputs})[0][0].astype(np.float64)
        of_target = lambda log_q: losses["cross_entropy"](log_q, ids[1:])
        of_teacher = lambda log_q: divergence(losses, name, log_q, row, top_k)
        log_q = losses["log_softmax"](logits)
        ce.append(of_target(log_q)[0])
        kd.append(of_teacher(log_q)[0])
        check_gradient(losses, of_target, logits)
        check_gradient(losses, of_teacher, logits)
    first = json.loads(pathlib.Path(run, "metrics.jsonl").read_text().splitlines()[0])
    got = {"ce": np.concatenate(ce).mean(), "kd": np.concatenate(kd).mean()}
    got["loss"] = (1.0 - first["omega"]) * got["ce"] + first["omega"] * got["kd"]
    for key, value in got.items():
        assert abs(value - first[key]) < TOLERANCE * max(1.0, abs(value)), (key, value, first[key])
    print(json.dumps({key: abs(value - first[key]) for key, value in got.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
