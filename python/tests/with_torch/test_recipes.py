"""The recipes: transformers' Trainer and Megatron's batch, against the losses themselves."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader
from training import prepare
from transformers import AutoModelForCausalLM, TrainingArguments

from saltworks_lm import Labels
from saltworks_lm.losses import Head, KdPolicy, head_loss, logits_loss, min_entropy
from saltworks_lm.losses.head import base_model_of
from saltworks_lm.recipes.hf_trainer import KdTrainer
from saltworks_lm.recipes.megatron import kd_loss_func
from saltworks_lm.recipes.teacher import kd_of_fields
from saltworks_lm.torch import LabelDataset, LabelStream, hf, megatron
from saltworks_lm.train.batch import batch_of, entropies

#: Two ways to sum the same f32 numbers.
TOLERANCE = 1e-5
POLICIES = [
    (KdPolicy("tail-bucket"), ["topk"]),
    (KdPolicy("tail-bucket", tau=2.0, temperature_mode="both"), ["topk"]),
    (KdPolicy("sampled"), ["samples"]),
    (KdPolicy("drop", gate="learnable"), ["topk", "stats"]),
    (KdPolicy("renormalize", gate="entropy"), ["topk", "stats"]),
    (KdPolicy("tail-bucket", gate="agreement"), ["topk", "stats"]),
]


@pytest.fixture(scope="module")
def start(made: Path) -> Path:
    return prepare(made)


def trainer_of(start: Path, output: Path, policy: KdPolicy, groups: list[str], **arguments) -> KdTrainer:
    model = AutoModelForCausalLM.from_pretrained(start / "llama", dtype=torch.float32)
    data = LabelDataset(Labels(start / "labels", groups=groups), seed=0)
    given = {"remove_unused_columns": False, "per_device_train_batch_size": 8, "learning_rate": 3e-3, "max_steps": 12}
    given |= {"logging_steps": 1, "save_strategy": "no", "report_to": [], "use_cpu": True, "disable_tqdm": True}
    given |= {"lr_scheduler_type": "constant", "max_grad_norm": 0.0}
    return KdTrainer(
        model, TrainingArguments(str(output), **{**given, **arguments}), policy=policy, omega=0.7, train_dataset=data
    )


@pytest.mark.parametrize(("policy", "groups"), POLICIES, ids=str)
def test_the_loss_of_the_trainer_is_ours(start: Path, tmp_path: Path, policy: KdPolicy, groups: list[str]) -> None:
    trainer = trainer_of(start, tmp_path, policy, groups)
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["seq_ids"].tolist() == [trainer.train_dataset[i].seq_id for i in range(8)]
    n = int((batch["labels"] != -100).sum())
    got = trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=torch.tensor(n))
    mean = trainer.compute_loss(trainer.model, dict(batch))
    model = AutoModelForCausalLM.from_pretrained(start / "llama", dtype=torch.float32)
    hidden = base_model_of(model)(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    kd = kd_of_fields(policy, batch, batch["labels"][:, 1:] != -100, 0.7)
    target = batch["labels"][:, 1:].flatten()
    expected = head_loss(hidden.last_hidden_state[:, :-1].flatten(0, 1), Head.of(model), target, kd=kd)
    assert abs(float(got) - float(expected.loss)) < TOLERANCE
    assert abs(float(mean) - float(expected.loss)) < TOLERANCE
    assert float(expected.kd.sum()) > 0
    expected.loss.backward()
    got.backward()
    for ours, theirs in zip(model.parameters(), trainer.model.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0.0, atol=TOLERANCE)


@pytest.mark.parametrize(("policy", "groups"), POLICIES, ids=str)
def test_targets_of_a_batch_are_those_of_the_trainer(start: Path, policy: KdPolicy, groups: list[str]) -> None:
    labels = Labels(start / "labels", groups=groups)
    rows = [labels[i] for i in range(12)]
    fields = hf(rows)
    ours = kd_of_fields(policy, fields, fields["labels"][:, 1:] != -100, 0.7)
    least = min_entropy(entropies(rows, False), policy.gate_fraction) if policy.gate == "entropy" else None
    theirs = batch_of(rows, max(row.n_targets for row in rows), False, policy, 0.7, least).kd
    assert theirs is not None
    assert torch.equal(ours.ids, theirs.ids)
    assert torch.equal(ours.probs, theirs.probs)
    assert torch.equal(ours.omega, theirs.omega)
    assert (ours.tail is None) == (theirs.tail is None)
    assert ours.tail is None or torch.equal(ours.tail, theirs.tail)


def test_a_tiny_llama_learns_from_labels_and_is_saved_as_transformers_saves(start: Path, tmp_path: Path) -> None:
    trainer = trainer_of(start, tmp_path / "run", KdPolicy("tail-bucket"), ["topk"], max_steps=20)
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert len(losses) == 20
    assert losses[-1] < losses[0] - 0.1
    trainer.save_model(tmp_path / "saved")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", dtype=torch.float32)
    batch = hf([trainer.train_dataset[i] for i in range(2)])
    inputs = {name: batch[name] for name in ("input_ids", "labels", "attention_mask")}
    # Without fields of a teacher a model's own loss is as it was.
    assert float(again(**inputs).loss) == pytest.approx(float(trainer.model(**inputs).loss), abs=TOLERANCE)


def test_accumulated_micro_batches_are_the_step_of_one_batch(start: Path, tmp_path: Path) -> None:
    policy = KdPolicy("tail-bucket")
    whole = trainer_of(start, tmp_path / "whole", policy, ["topk"], max_steps=3)
    parts = trainer_of(
        start, tmp_path / "parts", policy, ["topk"], max_steps=3, per_device_train_batch_size=2,
        gradient_accumulation_steps=4,
    )  # fmt: skip
    for trainer in (whole, parts):
        trainer.train()
    of_whole, of_parts = ([x["loss"] for x in t.state.log_history if "loss" in x] for t in (whole, parts))
    assert of_parts == pytest.approx(of_whole, abs=1e-4)


def test_columns_that_would_be_dropped_are_refused(start: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="remove_unused_columns is True, which drops"):
        trainer_of(start, tmp_path, KdPolicy("tail-bucket"), ["topk"], remove_unused_columns=True)


def test_a_batch_without_what_the_loss_reads_is_refused(start: Path) -> None:
    labels = Labels(start / "labels", groups=["samples"])
    batch = hf([labels[0], labels[1]])
    with pytest.raises(
        ValueError, match="the batch has no topk_ids, topk_logprobs, tail_mass, which kd.loss tail-bucket"
    ):
        kd_of_fields(KdPolicy("tail-bucket"), batch, batch["labels"][:, 1:] != -100, 0.5)


@pytest.mark.parametrize(("policy", "groups"), POLICIES, ids=str)
@pytest.mark.parametrize("across", [True, False])
def test_the_loss_of_a_megatron_batch_is_ours(start: Path, policy: KdPolicy, groups: list[str], across: bool) -> None:
    labels = Labels(start / "labels", groups=groups)
    stream = LabelStream(labels, 6, partial(megatron, pad_to=labels.seq_len + 8, across_documents=across), seed=3)
    batch = next(iter(DataLoader(stream, batch_size=None)))
    model = AutoModelForCausalLM.from_pretrained(start / "llama", dtype=torch.float32)
    # As Megatron calls its model: tokens and positions in, logits [B, T, V] out.
    logits = model(input_ids=batch["tokens"], position_ids=batch["position_ids"]).logits
    total, n, report = kd_loss_func(batch, logits, policy=policy, omega=0.7)
    hidden = base_model_of(model)(input_ids=batch["tokens"]).last_hidden_state.flatten(0, 1)
    mask = batch["loss_mask"].flatten()
    kd = kd_of_fields(policy, batch, batch["loss_mask"] > 0, 0.7)
    expected = head_loss(hidden, Head.of(model), batch["labels"].flatten(), kd=kd, weight=mask)
    assert int(n) == int(mask.sum())
    assert float(total / n) == pytest.approx(float(expected.loss), abs=TOLERANCE)
    assert float(report["lm loss"] / n) == pytest.approx(float((mask * expected.ce).sum() / n), abs=TOLERANCE)
    assert float(report["kd loss"]) > 0
    ours = torch.autograd.grad(expected.loss, model.parameters(), retain_graph=True)
    theirs = torch.autograd.grad(total / n, model.parameters())
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0.0, atol=TOLERANCE)


def test_logits_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"logits \[2, 3, 4\] and target \[6\]: expected \[N, V\] and \[N\]"):
        logits_loss(torch.zeros(2, 3, 4), torch.zeros(6, dtype=torch.int64))
