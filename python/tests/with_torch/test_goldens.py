"""Losses and gradients against fixtures/losses.json, which saltworks-train is held to as well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from saltworks_lm.losses import (
    GATES,
    KD_LOSSES,
    TEACHERS,
    Draws,
    Head,
    Kd,
    KdPolicy,
    Stats,
    TopK,
    chosen_stats,
    chosen_targets,
    draws_targets,
    head_loss,
    logits_loss,
    min_entropy,
    mixed_stats,
    mixed_targets,
    topk_targets,
)

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[3] / "fixtures" / "losses.json").read_text())
#: f32 against the reference in f64: absolute up to 1, relative past it.
TOLERANCE = 1e-5
POSITIONS: list[dict[str, Any]] = GOLDEN["positions"]
K = 3


def name_of(case: dict[str, Any]) -> str:
    gate = case["gate"] + ("-weight" if case.get("gate_excess") == "weight" else "")
    parts = (case["loss"], f"{case['tau']:g}", case["temperature_mode"], gate, f"{case['omega']:g}")
    return "-".join(map(str, (*parts, case["teachers"] or "one")))


def lists(key: str, missing: float, width: int, teacher: str = "labels") -> list[list[float]]:
    """One list a position; what is not there, and null, is ``missing``."""
    rows = [[] if p[teacher] is None else p[teacher][key] for p in POSITIONS]
    return [row + [missing] * (width - len(row)) for row in rows]


def numbers(key: str, teacher: str = "labels") -> list[float]:
    # A position without labels is as one of a teacher that never cuts.
    missing = float("inf") if key == "target_logprob" else 0
    return [missing if p[teacher] is None else p[teacher][key] for p in POSITIONS]


def stats_of(teacher: str) -> Stats:
    names = ("target_logprob", "target_rank", "entropy")
    return Stats(*(torch.tensor(numbers(name, teacher)) for name in names))


def kd_of(case: dict[str, Any]) -> Kd | None:
    if case["loss"] is None:
        return None
    names = ("loss", "tau", "temperature_mode", "gate", "gate_k", "gate_fraction")
    policy = KdPolicy(*(case[name] for name in names), gate_excess=case.get("gate_excess", "cut"))
    weights, chosen = case["teacher_weights"], None
    stats = stats_of("labels")
    if case["teachers"] == "mix":
        stats = mixed_stats([stats, stats_of("other")], weights)
    elif case["teachers"] == "lower-nll":
        stats, chosen = chosen_stats([stats, stats_of("other")])
    is_counted = torch.tensor([p["labels"] is not None and p["weight"] > 0 for p in POSITIONS])
    least = min_entropy(stats.entropy[is_counted], policy.gate_fraction)
    of = [of_teacher(policy, case, stats, least, teacher) for teacher in ("labels", "other")]
    if case["teachers"] == "mix":
        return mixed_targets(of, weights)
    return of[0] if chosen is None else chosen_targets(of, chosen)


def of_teacher(policy: KdPolicy, case: dict[str, Any], stats: Stats, least: float | None, teacher: str) -> Kd:
    of_step = (case["omega"], stats, least, case["least_excess"])
    if policy.loss == "sampled":
        ids = torch.tensor(lists("sampled_ids", -1, K, teacher), dtype=torch.int64)
        counts = torch.tensor(lists("sampled_counts", 0, K, teacher), dtype=torch.int64)
        return draws_targets(policy, Draws(ids, counts), *of_step)
    k = max(len(p[teacher]["topk_ids"]) for p in POSITIONS if p[teacher] is not None)
    rows = lists("topk_logprobs", float("-inf"), k, teacher)
    topk = TopK(
        torch.tensor(lists("topk_ids", -1, k, teacher), dtype=torch.int64),
        torch.tensor([[float("-inf") if x is None else x for x in row] for row in rows]),
        torch.tensor(numbers("tail_mass", teacher)),
        torch.tensor(numbers("log_partition", teacher)) if policy.tau != 1.0 else None,
    )
    return topk_targets(policy, topk, *of_step)


def tensor(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def assert_near(got: Tensor, expected: Tensor) -> None:
    error = (got.double().flatten() - expected).abs() / expected.abs().clamp_min(1.0)
    assert error.max() <= TOLERANCE, error.max()


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=name_of)
def test_losses_and_gradients_are_those_of_the_file_that_the_trainer_is_held_to(case: dict[str, Any]) -> None:
    hidden = torch.tensor([p["hidden"] for p in POSITIONS]).requires_grad_()
    rows = torch.tensor(GOLDEN["weight"]).reshape(GOLDEN["n_ids"], GOLDEN["d_model"]).requires_grad_()
    target = torch.tensor([p["target"] for p in POSITIONS])
    weight = torch.tensor([p["weight"] for p in POSITIONS])
    kd, expected = kd_of(case), case["expected"]
    out = head_loss(hidden, Head.of_weight(rows), target, kd=kd, weight=weight, piece=4)
    assert_near(out.loss.detach(), tensor([expected["loss"]]))
    assert_near((weight * out.gate_weight).sum(), tensor([expected["n_learnt"]]))
    assert out.is_learnt.equal((weight * out.gate_weight > 0.0) if kd is None or not kd.is_weighted else weight > 0.0)
    assert_near((weight * out.ce).sum() / weight.sum(), tensor([expected["ce"]]))
    assert float(weight.sum()) == expected["n"]
    taught = weight * (out.omega > 0)
    assert float(taught.sum()) == expected["n_kd"]
    if expected["kd"] is not None:
        assert_near((taught * out.kd).sum() / taught.sum(), tensor([expected["kd"]]))
    dhidden, dweight = torch.autograd.grad(out.loss, (hidden, rows))
    assert_near(dhidden, tensor(expected["dhidden"]))
    assert_near(dweight, tensor(expected["dweight"]))


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=name_of)
def test_losses_of_given_logits_are_those_of_the_file(case: dict[str, Any]) -> None:
    hidden = torch.tensor([p["hidden"] for p in POSITIONS]).requires_grad_()
    rows = torch.tensor(GOLDEN["weight"]).reshape(GOLDEN["n_ids"], GOLDEN["d_model"]).requires_grad_()
    target = torch.tensor([p["target"] for p in POSITIONS])
    weight = torch.tensor([p["weight"] for p in POSITIONS])
    out = logits_loss(hidden @ rows.T, target, kd=kd_of(case), weight=weight)
    expected = case["expected"]
    assert_near(out.loss.detach(), tensor([expected["loss"]]))
    assert_near((weight * out.ce).sum() / weight.sum(), tensor([expected["ce"]]))
    dhidden, dweight = torch.autograd.grad(out.loss, (hidden, rows))
    assert_near(dhidden, tensor(expected["dhidden"]))
    assert_near(dweight, tensor(expected["dweight"]))


def test_the_file_has_every_loss_at_every_tempering_and_what_is_hard_about_labels() -> None:
    kinds = {(c["loss"], c["tau"], c["temperature_mode"]) for c in GOLDEN["cases"]}
    assert len(kinds) == 4 * 3 + 1
    weighted = {(c["loss"], c["teachers"]) for c in GOLDEN["cases"] if c.get("gate_excess") == "weight"}
    assert {teachers for _, teachers in weighted} == {None, *TEACHERS}
    assert {loss for loss, _ in weighted} == set(KD_LOSSES)
    gates = {(c["gate"], c["teachers"]) for c in GOLDEN["cases"]}
    assert gates == {(gate, teachers) for gate in GATES for teachers in (None, *TEACHERS)}
    labels = [p["labels"] for p in POSITIONS if p["labels"] is not None]
    masses = [sum(torch.tensor([x for x in row["topk_logprobs"] if x is not None]).exp()) for row in labels]
    assert any(mass + row["tail_mass"] > 1.001 for mass, row in zip(masses, labels, strict=True))
    assert any(row["tail_mass"] == 0.0 for row in labels)
    assert any(None in row["topk_logprobs"] for row in labels)
