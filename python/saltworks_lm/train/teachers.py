"""Several sets of labels over the same sequences: checks that they match, and joins their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..columns import Array
from ..labels import Labels
from ..plan import Plan
from ..row import Row
from .errors import DataError


@dataclass(frozen=True, slots=True)
class JoinedRow(Row):
    """The first teacher's row, with statistics of all teachers in the group ``stats``.

    Attributes
    ----------
    others
        Rows of the other teachers.
    chosen : [T'] int64
        Index of the teacher that each position learns from; None if it learns from all.
    """

    others: tuple[Row, ...] = ()
    chosen: Array | None = None


def joined(rows: Sequence[Row], how: str, weights: Sequence[float]) -> JoinedRow:
    """Joins the rows of one sequence, one per teacher.

    ``mix`` has the mixture's log-probability of the target, the lowest rank and the weighted mean of the entropies;
    ``lower-nll`` those of the teacher that gives the target the highest probability, of equal ones the first. If any
    lacks the group ``stats``, the result has none.
    """
    first, *others = rows
    parts: dict[str, Any] = {item.name: getattr(first, item.name) for item in fields(Row)}
    stats, chosen = _stats(rows, how, weights)
    parts |= {"target_logprob": None, "target_rank": None, "entropy": None, "logsumexp": None, **stats}
    return JoinedRow(**parts, others=tuple(others), chosen=chosen)


def _stats(rows: Sequence[Row], how: str, weights: Sequence[float]) -> tuple[dict[str, Array], Array | None]:
    names = ("target_logprob", "target_rank", "entropy")
    lists = {name: [getattr(row, name) for row in rows] for name in names}
    if any(values is None for of in lists.values() for values in of):
        return {}, None
    logprobs, ranks, entropies = (np.stack(lists[name]) for name in names)
    if how == "lower-nll":
        chosen = logprobs.argmax(0)
        picked = {name: np.take_along_axis(np.stack(lists[name]), chosen[None], 0)[0] for name in names}
        return picked, chosen
    shares = np.asarray(weights, np.float64)[:, None] / sum(weights)
    with np.errstate(divide="ignore"):
        mixed = np.log((shares * np.exp(logprobs.astype(np.float64))).sum(0))
    entropy = (shares * entropies.astype(np.float64)).sum(0)
    found = {"target_logprob": mixed.astype(np.float32), "entropy": entropy.astype(np.float32)}
    return {**found, "target_rank": ranks.min(0)}, None


def check_joins(teachers: Sequence[Labels]) -> None:
    """Refuses sets of labels that are not of the same sequences in the same order, and duplicate sets.

    Raises
    ------
    DataError
        The first difference, by name.
    """
    for number, other in enumerate(teachers[1:], 1):
        first, known = teachers[0], teachers[:number]
        same = next((labels for labels in known if _identity(labels) == _identity(other)), None)
        if same is not None:
            raise DataError(
                f"data.labels names the same labels twice, {same.path} and {other.path}: name each once, with the "
                "weight of both in kd.teacher_weights"
            )
        for what, ours, theirs in _differences(first, other):
            raise DataError(
                f"{other.path} cannot be joined with {first.path}: {what} is {theirs}, expected {ours} as there; label "
                "the same sequences of the same tokens with each teacher, with the same --seq-len, --packing, "
                "--sequences and --order-seed"
            )


def _identity(labels: Labels) -> tuple[str, ...]:
    return tuple(labels.manifest.plan_fingerprints)


def _differences(first: Labels, other: Labels) -> list[tuple[str, object, object]]:
    ours, theirs = first.plan, other.plan
    a, b = ours.sequences, theirs.sequences
    pairs: list[tuple[str, object, object]] = [
        ("corpus of the sequences", ours.corpus_fingerprint, theirs.corpus_fingerprint),
        ("eod of the sequences", ours.raw["corpus"].get("eod"), theirs.raw["corpus"].get("eod")),
        ("n_total of the sequences", a.n_total, b.n_total),
        ("packing of the sequences", a.packing, b.packing),
        ("seq_len of the sequences", a.seq_len, b.seq_len),
        ("sequence_bos of the sequences", a.sequence_bos, b.sequence_bos),
        ("the vocabulary", ours.vocab_size, theirs.vocab_size),
        ("the order seed", ours.layout.order_seed, theirs.layout.order_seed),
        ("what is labelled", _labelled(first.plans), _labelled(other.plans)),
    ]
    if ours.tokenizer_fingerprint is not None and theirs.tokenizer_fingerprint is not None:
        pairs.insert(7, ("the tokenizer", ours.tokenizer_fingerprint, theirs.tokenizer_fingerprint))
    return [(what, x, y) for what, x, y in pairs if x != y]


def _labelled(plans: Sequence[Plan]) -> str:
    """Ranges and selections, as text."""
    parts = []
    for plan in plans:
        selection = plan.raw["sequences"].get("selection")
        of = f" of the selection {selection['fingerprint']}" if selection else ""
        parts.append(f"{plan.sequences.start}..{plan.sequences.end}{of}")
    return ", ".join(parts)
