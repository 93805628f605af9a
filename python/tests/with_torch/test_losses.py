"""Losses against their definitions, dense KD and finite differences."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from saltworks_lm.losses import (
    Draws,
    Head,
    Kd,
    KdPolicy,
    Stats,
    TopK,
    chosen_stats,
    chosen_targets,
    draws_targets,
    excess_targets,
    head_loss,
    head_scores,
    logprobs_at,
    min_entropy,
    min_excess,
    mixed_stats,
    mixed_targets,
    topk_targets,
)

N, V, D, K = 7, 13, 5, 4
HEADS = {
    "plain": {},
    "scaled": {"scale": 0.25},
    "capped": {"softcap": 3.0},
    "biased": {"with_bias": True},
    "padded": {"vocab_size": V - 2},
    "all of it": {"scale": 1.7, "softcap": 2.5, "with_bias": True, "vocab_size": V - 2},
}


def tensors(dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    hidden = torch.randn(N, D, generator=g, dtype=torch.float64)
    weight = torch.randn(V, D, generator=g, dtype=torch.float64)
    bias = torch.randn(V, generator=g, dtype=torch.float64)
    return tuple(x.to(dtype).requires_grad_() for x in (hidden, weight, bias))  # type: ignore[return-value]


def head_of(name: str, weight: Tensor, bias: Tensor) -> Head:
    options = dict(HEADS[name])
    with_bias = options.pop("with_bias", False)
    return Head.of_weight(weight, bias if with_bias else None, **options)


def inputs(n_ids: int, k: int = K, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Targets, and distinct ids of each position."""
    g = torch.Generator().manual_seed(seed)
    target = torch.randint(n_ids, (N,), generator=g)
    ids = torch.stack([torch.randperm(n_ids, generator=g)[:k] for _ in range(N)])
    return target, ids


def teacher(n_ids: int, seed: int = 2) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(N, n_ids, generator=g, dtype=torch.float64).log_softmax(1)


def top_k(logprobs: Tensor, k: int, tau: float = 1.0) -> TopK:
    values, ids = logprobs.topk(k)
    tail = (1.0 - values.exp().sum(1)) if k < logprobs.shape[1] else torch.zeros(len(logprobs))
    partition = (logprobs / tau).logsumexp(1).float() if tau != 1.0 else None
    return TopK(ids, values.float(), tail.float(), partition)


def dense_logprobs(head: Head, hidden: Tensor, tau: float = 1.0) -> Tensor:
    return (head.logits(hidden) / tau).log_softmax(1)


def reference(hidden: Tensor, head: Head, target: Tensor, kd: Kd | None, weight: Tensor | None = None) -> Tensor:
    """The mean loss, by the definitions, over [N, V]."""
    w = torch.ones(N, dtype=hidden.dtype) if weight is None else weight.to(hidden.dtype)
    ce = -dense_logprobs(head, hidden).gather(1, target[:, None])[:, 0]
    if kd is None:
        return (w * ce).sum() / w.sum()
    log_q = dense_logprobs(head, hidden, kd.student_tau)
    losses = []
    for n in range(N):
        loss = torch.zeros((), dtype=hidden.dtype)
        others = torch.ones(log_q.shape[1], dtype=torch.bool)
        for i, p in zip(kd.ids[n].tolist(), kd.probs[n].tolist(), strict=True):
            if i < 0:
                continue
            others[i] = False
            if p > 0.0:
                loss = loss + p * (math.log(p) - log_q[n, i])
        if kd.tail is not None and float(kd.tail[n]) > 0.0:
            t = float(kd.tail[n])
            loss = loss + t * (math.log(t) - log_q[n, others].logsumexp(0))
        omega = float(kd.omega[n])
        losses.append((1.0 - omega) * ce[n] + omega * kd.student_tau**2 * loss)
    return (w * torch.stack(losses)).sum() / w.sum()


def kd_of(loss: str, n_ids: int, tau: float = 1.0, mode: str = "teacher", omega: float = 0.7) -> Kd:
    policy = KdPolicy(loss, tau, mode)
    if loss != "sampled":
        return topk_targets(policy, top_k(teacher(n_ids), K, tau), omega)
    _, ids = inputs(n_ids)
    counts = torch.randint(1, 5, (N, K), generator=torch.Generator().manual_seed(3))
    ids[2, 2:], counts[2, 2:] = -1, 0
    return draws_targets(policy, Draws(ids, counts), omega)


LOSSES = ("tail-bucket", "sampled", "renormalize", "drop")


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("tau", [1.0, 2.0])
def test_log_probabilities_have_the_gradient_of_finite_differences(name: str, tau: float) -> None:
    hidden, weight, bias = tensors()
    target, ids = inputs(V - 2)
    ids[3, 2:] = -1

    def found(hidden: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
        at = logprobs_at(hidden, head_of(name, weight, bias), target, ids, with_tail=True, tau=tau, piece=3)
        assert at.ids is not None
        assert at.tail is not None
        return at.target, at.ids.masked_fill(ids < 0, 0.0), at.tail

    assert torch.autograd.gradcheck(found, (hidden, weight, bias), fast_mode=True)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("loss", [None, *LOSSES])
@pytest.mark.parametrize(("tau", "mode"), [(1.0, "teacher"), (2.0, "teacher"), (2.0, "both")])
def test_a_loss_has_the_gradient_of_finite_differences(name: str, loss: str | None, tau: float, mode: str) -> None:
    hidden, weight, bias = tensors()
    target, _ = inputs(V - 2)
    target[1] = -100
    weights = torch.tensor([1.0, 1.0, 0.0, 2.0, 1.0, 1.0, 1.0])

    def found(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        kd = None if loss is None else kd_of(loss, V - 2, tau, mode)
        return head_loss(hidden, head_of(name, weight, bias), target, kd=kd, weight=weights, piece=2).loss

    assert torch.autograd.gradcheck(found, (hidden, weight, bias), fast_mode=True)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("loss", [None, *LOSSES])
@pytest.mark.parametrize(("tau", "mode"), [(1.0, "teacher"), (2.0, "teacher"), (2.0, "both")])
def test_losses_are_their_definitions_whatever_the_piece(name: str, loss: str | None, tau: float, mode: str) -> None:
    target, _ = inputs(V - 2)
    kd = None if loss is None else kd_of(loss, V - 2, tau, mode)
    hidden, weight, bias = tensors()
    head = head_of(name, weight, bias)
    expected = torch.autograd.grad(reference(hidden, head, target, kd), (hidden, weight, bias), allow_unused=True)
    for piece in (1, 3, N, 100):
        out = head_loss(hidden, head, target, kd=kd, piece=piece)
        torch.testing.assert_close(out.loss, reference(hidden, head, target, kd), rtol=1e-7, atol=1e-7)
        got = torch.autograd.grad(out.loss, (hidden, weight, bias), allow_unused=True)
        for a, b in zip(got, expected, strict=True):
            assert (a is None) == (b is None)
            if a is not None and b is not None:
                torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("loss", ["tail-bucket", "renormalize", "drop"])
@pytest.mark.parametrize("tau", [1.0, 1.5])
def test_with_the_whole_vocabulary_kept_a_loss_is_dense_kd(loss: str, tau: float) -> None:
    hidden, weight, bias = tensors()
    target, _ = inputs(V)
    head = head_of("biased", weight, bias)
    log_p = teacher(V)
    kd = topk_targets(KdPolicy(loss, tau, "both"), top_k(log_p, V, tau), 1.0)
    tempered = (log_p / tau).log_softmax(1)
    dense = tau**2 * (tempered.exp() * (tempered - dense_logprobs(head, hidden, tau))).sum(1).mean()
    expected = torch.autograd.grad(dense, (hidden, weight, bias))
    out = head_loss(hidden, head, target, kd=kd, piece=4)
    torch.testing.assert_close(out.loss, dense, rtol=2e-6, atol=2e-6)
    for a, b in zip(torch.autograd.grad(out.loss, (hidden, weight, bias)), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-6, atol=2e-6)


def test_the_gradient_of_sampled_is_unbiased_within_its_standard_error() -> None:
    hidden, weight, bias = tensors()
    target, _ = inputs(V)
    head = head_of("plain", weight, bias)
    p = teacher(V).exp()
    dense = -(p * dense_logprobs(head, hidden)).sum(1).mean()
    expected = torch.autograd.grad(dense, hidden)[0]
    g = torch.Generator().manual_seed(5)
    found = []
    for _ in range(400):
        drawn = torch.multinomial(p, 8, replacement=True, generator=g)
        counts = torch.zeros(N, V, dtype=torch.int64).scatter_add_(1, drawn, torch.ones_like(drawn))
        values, ids = counts.topk(8)
        ids = ids.masked_fill(values == 0, -1)
        kd = draws_targets(KdPolicy("sampled"), Draws(ids, values), 1.0)
        found.append(torch.autograd.grad(head_loss(hidden, head, target, kd=kd).loss, hidden)[0])
    gradients = torch.stack(found)
    error = gradients.std(0) / math.sqrt(len(found))
    z = (gradients.mean(0) - expected) / error
    assert z.abs().max() < 4.5
    assert z.square().mean().sqrt() < 1.6
    assert error.max() < 0.05 * expected.abs().max() + 0.02, "the test would see no bias"


def test_kept_mass_rounded_past_1_leaves_the_stored_tail() -> None:
    logprobs = torch.tensor([[0.62, 0.3, 0.08]]).double().log().float()
    rounded = torch.tensor([[0.64, 0.296, 0.08]]).log()
    assert rounded.exp().sum() > 1.015
    kd = topk_targets(KdPolicy("tail-bucket"), TopK(torch.tensor([[4, 2, 0]]), rounded, torch.tensor([1e-3])), 1.0)
    assert kd.tail is not None
    assert float(kd.tail[0]) == pytest.approx(1e-3)
    assert float(kd.probs.sum() + kd.tail[0]) == pytest.approx(1.0, abs=1e-6)
    out = head_loss(torch.zeros(1, 2), Head.of_weight(torch.zeros(6, 2)), torch.tensor([1]), kd=kd)
    assert math.isfinite(float(out.loss))
    assert logprobs.shape == rounded.shape


def test_a_closed_gate_and_a_position_without_labels_learn_by_cross_entropy_alone() -> None:
    hidden, weight, bias = tensors(torch.float32)
    target, _ = inputs(V)
    head = head_of("plain", weight, bias)
    topk = top_k(teacher(V), K)
    topk.ids[0] = -1
    rank = torch.tensor([0, 9, 0, 10, 0, 0, 30])
    stats = Stats(torch.zeros(N), rank, torch.zeros(N))
    policy = KdPolicy("tail-bucket", gate="learnable", gate_k=10)
    kd = topk_targets(policy, topk, 1.0, stats)
    assert kd.omega.tolist() == [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0]
    out = head_loss(hidden, head, target, kd=kd)
    closed = kd.omega == 0.0
    assert (out.kd[closed] == 0.0).all()
    assert (out.kd[~closed] > 0.0).all()
    plain = head_loss(hidden, head, target)
    torch.testing.assert_close(out.ce, plain.ce)
    mixed = torch.where(closed, out.ce, out.kd).mean()
    torch.testing.assert_close(out.loss, mixed)


def test_the_gate_agreement_is_open_where_the_student_is_worse_than_the_teacher() -> None:
    hidden, weight, bias = tensors()
    target, _ = inputs(V)
    head = head_of("all of it", weight, bias)
    plain = head_loss(hidden, head, target % (V - 2)).ce
    offsets = torch.tensor([0.1, -0.1, 0.1, -0.1, 0.5, -0.5, 2.0])
    stats = Stats((offsets - plain).float(), torch.zeros(N), torch.zeros(N))
    policy = KdPolicy("tail-bucket", 2.0, "both", gate="agreement")
    kd = topk_targets(policy, top_k(teacher(V - 2), K, 2.0), 0.7, stats)
    is_open = offsets > 0.0
    expected = topk_targets(KdPolicy("tail-bucket", 2.0, "both"), top_k(teacher(V - 2), K, 2.0), 0.7)
    expected = replace(expected, omega=torch.where(is_open, 0.7, 0.0))
    out = head_loss(hidden, head, target % (V - 2), kd=kd, piece=3)
    other = head_loss(hidden, head, target % (V - 2), kd=expected)
    torch.testing.assert_close(out.omega, expected.omega.double())
    torch.testing.assert_close((out.loss, out.kd), (other.loss, other.kd))
    parts = (hidden, weight, bias)
    found = torch.autograd.grad(out.loss, parts)
    for a, b in zip(found, torch.autograd.grad(other.loss, parts), strict=True):
        torch.testing.assert_close(a, b)


def test_the_gate_entropy_closes_at_most_its_fraction() -> None:
    entropy = torch.tensor([3.0, 1.0, 2.0, 1.0, 5.0])
    assert min_entropy(entropy, 0.4) == 2.0
    assert min_entropy(entropy, 0.39) == 1.0, "of equal ones all are open"
    assert min_entropy(entropy[:0], 0.4) is None
    stats = Stats(torch.zeros(N), torch.zeros(N), torch.arange(N).float())
    kd = topk_targets(KdPolicy("drop", gate="entropy"), top_k(teacher(V), K), 0.5, stats, 2.0)
    assert kd.omega.tolist() == [0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5]


def test_the_gate_excess_leaves_nothing_of_what_it_cuts() -> None:
    hidden, weight, bias = tensors()
    target, _ = inputs(V - 2)
    head = head_of("all of it", weight, bias)
    plain = head_loss(hidden, head, target).ce
    excess = torch.tensor([0.3, -0.2, 0.9, 0.1, -1.0, 0.5, float("-inf")])
    stats = Stats((excess - plain).float(), torch.zeros(N), torch.zeros(N))
    policy = KdPolicy("tail-bucket", 2.0, "both", gate="excess")
    topk = top_k(teacher(V - 2), K, 2.0)
    kept = excess >= 0.2
    out = head_loss(hidden, head, target, kd=topk_targets(policy, topk, 0.7, stats, None, 0.2), piece=3)
    ungated = topk_targets(KdPolicy("tail-bucket", 2.0, "both"), topk, 0.7)
    other = head_loss(hidden, head, target, kd=ungated, weight=kept.double(), scale=1.0 / N)
    assert out.is_learnt.tolist() == kept.tolist()
    torch.testing.assert_close(out.omega, 0.7 * kept.double())
    torch.testing.assert_close(out.ce, plain)
    torch.testing.assert_close((out.loss, out.kd), (other.loss, other.kd))
    for a, b in zip(*(torch.autograd.grad(x.loss, (hidden, weight, bias)) for x in (out, other)), strict=True):
        torch.testing.assert_close(a, b)
    first = topk_targets(policy, topk, 0.7, stats)
    assert first.teacher_nll is None, "without a border nothing is cut"
    assert min_excess(excess, 0.5) == pytest.approx(0.1)
    assert min_excess(excess[-1:], 0.5) is None


def test_the_gate_excess_weights_by_the_teachers_share_of_the_targets_probability() -> None:
    hidden, weight, bias = tensors()
    target, _ = inputs(V - 2)
    head = head_of("all of it", weight, bias)
    nll = head_loss(hidden, head, target).ce
    excess = torch.tensor([0.3, -0.2, 0.9, 0.1, -1.0, 0.0, float("inf")])
    logprob = (excess - nll).float()
    share = logprob.double().exp() / (logprob.double().exp() + (-nll).exp())
    share[-1] = 1.0  # of a position without labels
    policy = KdPolicy("tail-bucket", 2.0, "both", gate="excess", gate_excess="weight")
    topk, stats = top_k(teacher(V - 2), K, 2.0), Stats(logprob, torch.zeros(N), torch.zeros(N))
    # A border is of the gate that cuts.
    out = head_loss(hidden, head, target, kd=topk_targets(policy, topk, 0.7, stats, None, 0.2), piece=3)
    ungated = topk_targets(KdPolicy("tail-bucket", 2.0, "both"), topk, 0.7)
    other = head_loss(hidden, head, target, kd=ungated, weight=share, scale=1.0 / N)
    assert out.is_learnt.all()
    torch.testing.assert_close(out.gate_weight, share, rtol=0.0, atol=1e-6)
    torch.testing.assert_close((out.omega, out.ce, out.kd), (other.omega, nll, other.kd))
    torch.testing.assert_close(out.loss, other.loss, rtol=1e-6, atol=1e-6)
    for a, b in zip(*(torch.autograd.grad(x.loss, (hidden, weight, bias)) for x in (out, other)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    alone = head_loss(hidden, head, target, kd=excess_targets(policy, stats))
    assert float(alone.loss.detach()) == pytest.approx(float((share * nll).detach().mean()), rel=1e-6)


def test_a_nan_nll_is_not_cut() -> None:
    weight = torch.zeros(4, 2)
    weight[1] = float("nan")
    stats = Stats(torch.zeros(1), torch.zeros(1), torch.zeros(1))
    topk = TopK(torch.tensor([[0, 2]]), torch.tensor([[-0.5, -1.5]]), torch.tensor([0.1]))
    kd = topk_targets(KdPolicy("drop", gate="excess"), topk, 0.5, stats, None, 3.0)
    out = head_loss(torch.ones(1, 2), Head.of_weight(weight), torch.tensor([0]), kd=kd)
    assert math.isnan(float(out.loss))
    assert out.is_learnt.all()


def of_two(loss: str, tau: float = 1.0, mode: str = "teacher") -> list[Kd]:
    """By teachers that keep other ids, and not as many; one position has no labels."""
    first = kd_of(loss, V - 2, tau, mode)
    policy = KdPolicy(loss, tau, mode)
    if loss == "sampled":
        _, ids = inputs(V - 2, 3, seed=8)
        other = draws_targets(policy, Draws(ids, torch.ones(N, 3, dtype=torch.int64)), 0.7)
    else:
        other = topk_targets(policy, top_k(teacher(V - 2, seed=9), 2, tau), 0.7)
    omega = torch.where(torch.arange(N) == 5, 0.0, 0.7)
    return [replace(one, omega=omega) for one in (first, other)]


@pytest.mark.parametrize("loss", ["tail-bucket", "sampled", "renormalize", "drop"])
@pytest.mark.parametrize(("tau", "mode"), [(1.0, "teacher"), (2.0, "teacher"), (2.0, "both")])
def test_mixed_teachers_have_the_weighted_sum_of_their_losses_and_gradients(loss: str, tau: float, mode: str) -> None:
    parts = tensors()
    head, (target, _) = head_of("all of it", parts[1], parts[2]), inputs(V - 2)
    each = of_two(loss, tau, mode)
    mixed = mixed_targets(each, [3.0, 1.0])
    is_real = mixed.ids >= 0
    assert all(len(set(row[real].tolist())) == int(real.sum()) for row, real in zip(mixed.ids, is_real, strict=True))
    assert not (is_real[:, 1:] & ~is_real[:, :-1]).any(), "padding is behind"
    out = head_loss(parts[0], head, target, kd=mixed, piece=4)
    alone = [head_loss(parts[0], head, target, kd=kd) for kd in each]
    sums = [sum(w * getattr(x, name) for w, x in zip((0.75, 0.25), alone, strict=True)) for name in ("loss", "kd")]
    torch.testing.assert_close([out.loss, out.kd], sums, rtol=1e-6, atol=1e-6)
    slopes = [torch.autograd.grad(x.loss, parts) for x in alone]
    for got, a, b in zip(torch.autograd.grad(out.loss, parts), *slopes, strict=True):
        torch.testing.assert_close(got, 0.75 * a + 0.25 * b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("loss", ["tail-bucket", "sampled"])
def test_a_chosen_teacher_has_its_own_loss_at_its_positions(loss: str) -> None:
    parts = tensors()
    head, (target, _) = head_of("plain", parts[1], parts[2]), inputs(V - 2)
    each, chosen = of_two(loss), torch.tensor([0, 1, 1, 0, 1, 0, 1])
    out = head_loss(parts[0], head, target, kd=chosen_targets(each, chosen))
    alone = [head_loss(parts[0], head, target, kd=kd) for kd in each]
    torch.testing.assert_close(out.kd, torch.where(chosen == 0, alone[0].kd, alone[1].kd))


def test_stats_of_several_teachers_are_mixed_or_chosen() -> None:
    log = torch.tensor([[0.5, 0.1, 0.0], [0.5, 0.4, 0.0]]).log()
    ranks, entropies = torch.tensor([[0, 9, 40], [3, 1, 90]]), torch.tensor([[1.0, 2.0, 3.0], [5.0, 6.0, 8.0]])
    each = [Stats(log[i], ranks[i], entropies[i]) for i in (0, 1)]
    mixed = mixed_stats(each, [3.0, 1.0])
    torch.testing.assert_close(mixed.target_logprob.exp(), torch.tensor([0.5, 0.175, 0.0]))
    assert mixed.target_rank.tolist() == [0, 1, 40]
    assert mixed.entropy.tolist() == [2.0, 3.0, 4.25]
    stats, chosen = chosen_stats(each)
    assert chosen.tolist() == [0, 1, 0], "of equal ones the first"
    assert stats.target_rank.tolist() == [0, 1, 40]
    assert stats.entropy.tolist() == [1.0, 6.0, 3.0]


def test_a_student_that_is_the_teacher_has_no_tail_bucket_loss_and_no_gradient() -> None:
    hidden, weight, bias = tensors()
    target, _ = inputs(V)
    head = head_of("all of it", weight, bias)
    log_p = dense_logprobs(head, hidden).detach()
    kd = topk_targets(KdPolicy("tail-bucket"), top_k(log_p, K), 1.0)
    out = head_loss(hidden, head, target, kd=kd)
    assert abs(out.loss.item()) < 1e-6
    assert torch.autograd.grad(out.loss, hidden)[0].abs().max() < 1e-6
    soft_minus_kd = out.soft - out.kd
    entropy = -torch.xlogy(kd.probs, kd.probs).sum(1) - torch.xlogy(kd.tail, kd.tail)
    torch.testing.assert_close(soft_minus_kd, entropy.double(), rtol=1e-6, atol=1e-6)


def test_sums_are_in_f32_under_autocast() -> None:
    g = torch.Generator().manual_seed(0)
    hidden = torch.randn(64, 32, generator=g).requires_grad_()
    weight = torch.randn(500, 32, generator=g).requires_grad_()
    target = torch.randint(500, (64,), generator=g)
    head = Head.of_weight(weight)
    expected = head_loss(hidden, head, target)
    exact = torch.autograd.grad(expected.loss, (hidden, weight))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = head_loss(hidden, head, target, piece=16)
        at = logprobs_at(hidden, head, target, piece=16)
    assert out.loss.dtype == torch.float32
    assert at.target.dtype == torch.float32
    torch.testing.assert_close(out.loss, expected.loss, rtol=2e-2, atol=0)
    torch.testing.assert_close(out.ce, -at.target)
    for a, b in zip(torch.autograd.grad(out.loss, (hidden, weight)), exact, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).norm() < 0.03 * b.norm()


def test_scores_are_the_negative_log_probabilities_of_the_targets() -> None:
    hidden, weight, bias = tensors(torch.float32)
    target, _ = inputs(V - 2)
    head = head_of("all of it", weight, bias)
    expected = -dense_logprobs(head, hidden).gather(1, target[:, None])[:, 0].detach()
    torch.testing.assert_close(head_scores(hidden, head, target, piece=2), expected)


def test_impossible_loss_inputs_are_refused_with_what_was_found() -> None:
    head = Head.of_weight(torch.zeros(V, D))
    hidden, target = torch.zeros(N, D), torch.zeros(N, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"hidden \[N, D\]"):
        head_loss(hidden[None], head, target)
    with pytest.raises(ValueError, match="width 5, found 4"):
        head_loss(torch.zeros(N, D - 1), head, target)
    with pytest.raises(TypeError, match="int64, found torch.int32"):
        head_loss(hidden, head, target.int())
    with pytest.raises(ValueError, match="from 0 to 12, found 0 to 13"):
        head_loss(hidden, head, target + torch.tensor([V] + [0] * (N - 1)))
    with pytest.raises(ValueError, match="tail-bucket"):
        KdPolicy("tail_bucket")


@pytest.mark.parametrize("wrong", [-1, -7])
def test_only_the_ignored_target_may_be_negative(wrong: int) -> None:
    hidden, weight, _ = tensors(torch.float32)
    target = torch.full((len(hidden),), 1)
    target[0] = wrong
    with pytest.raises(ValueError, match=f"from 0 to 12, found {wrong}"):
        head_loss(hidden, Head.of_weight(weight), target)


def test_half_precision_that_would_underflow_is_refused() -> None:
    hidden, weight, _ = (tensor.half() for tensor in tensors(torch.float32))
    with pytest.raises(TypeError, match="bfloat16"):
        head_loss(hidden, Head.of_weight(weight), torch.ones(len(hidden), dtype=torch.int64))


def test_an_upstream_factor_and_a_second_use_of_the_weight_add_up() -> None:
    hidden, weight, bias = tensors()
    target, _ = inputs(V)
    head = head_of("plain", weight, bias)
    (3.0 * head_loss(hidden, head, target).loss + weight.sum()).backward()
    expected = torch.autograd.grad(3.0 * reference(hidden, head, target, None) + weight.sum(), (hidden, weight))
    assert hidden.grad is not None
    assert weight.grad is not None
    torch.testing.assert_close(hidden.grad, expected[0])
    torch.testing.assert_close(weight.grad, expected[1])


def test_a_second_backward_pass_gives_the_same_gradient() -> None:
    hidden, weight, bias = tensors()
    target, _ = inputs(V)
    out = head_loss(hidden, head_of("all of it", weight, bias), target % (V - 2), kd=kd_of("sampled", V - 2))
    first = torch.autograd.grad(out.loss, (hidden, weight, bias), retain_graph=True)
    for a, b in zip(first, torch.autograd.grad(out.loss, (hidden, weight, bias)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_compiled_model_around_a_loss_gives_the_same_gradients() -> None:
    torch.manual_seed(0)
    body, out = torch.nn.Linear(D, D), torch.nn.Linear(D, V, bias=False)
    target, _ = inputs(V)
    x = torch.randn(N, D)
    kd = kd_of("tail-bucket", V)

    def loss(x: Tensor) -> Tensor:
        return head_loss(torch.tanh(body(x)), Head(out), target, kd=kd).loss

    parameters = [*body.parameters(), *out.parameters()]
    expected = torch.autograd.grad(loss(x), parameters)
    compiled = torch.compile(loss, backend="aot_eager")
    for a, b in zip(torch.autograd.grad(compiled(x), parameters), expected, strict=True):
        torch.testing.assert_close(a, b)
