"""One labelled sequence as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .columns import Array


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled sequence of T' <= T predicted positions; fields that were not read are None.

    Index t of every field except `input_ids` and those of documents is about the prediction of
    `input_ids[t + 1]` from `input_ids[: t + 1]`. Arrays are read-only views of a decoded row group.

    Attributes
    ----------
    seq_id
        Number of the sequence in the view of the corpus.
    input_ids : [T' + 1] uint32
        The sequence.
    doc_starts : [documents] uint32
        Offsets in the sequence at which documents start; the first is 0.
    doc_indices : [documents] uint64
        Indices of these documents; the first may have started earlier.
    target_logprob, entropy, logsumexp : [T'] float32, nats
        Under the full softmax.
    target_rank : [T'] uint16
        Ids that the teacher ranks above the target.
    topk_ids : [T', K] uint32; topk_logprobs : [T', K] float32, nats
        The K top ids and their log-probabilities, rounded according to the plan.
    tail_mass : [T'] float32
        Probability outside the K, before any rounding.
    log_partitions : of each extra temperature, [T'] float32, nats
        log of the sum over the vocabulary of p^(1 / temperature).
    sampled_ids : [draws] uint32; sampled_counts : [draws] uint16; sample_offsets : [T' + 1] uint32
        Distinct ids drawn at t are `sampled_ids[sample_offsets[t]:sample_offsets[t + 1]]`.
    scores
        `n_targets`, `first_doc_index` and the `score_*` columns; empty if the group `scores` was not requested.
    """

    seq_id: int
    input_ids: Array
    doc_starts: Array
    doc_indices: Array
    target_logprob: Array | None = None
    target_rank: Array | None = None
    entropy: Array | None = None
    logsumexp: Array | None = None
    topk_ids: Array | None = None
    topk_logprobs: Array | None = None
    tail_mass: Array | None = None
    log_partitions: Mapping[float, Array] = field(default_factory=dict)
    sampled_ids: Array | None = None
    sampled_counts: Array | None = None
    sample_offsets: Array | None = None
    scores: Mapping[str, float | int | None] = field(default_factory=dict)

    @property
    def n_targets(self) -> int:
        """T': predicted positions."""
        return max(len(self.input_ids) - 1, 0)

    @property
    def inputs(self) -> Array:
        """[T'] uint32: the model's inputs."""
        return self.input_ids[:-1]

    @property
    def targets(self) -> Array:
        """[T'] uint32: the tokens to predict."""
        return self.input_ids[1:]

    def document_ids(self) -> Array:
        """[T' + 1] int32: for each token, the index of its document within the sequence, from 0."""
        marks = np.zeros(len(self.input_ids), np.int32)
        if len(self.input_ids):
            marks[self.doc_starts[1:]] = 1
        return marks.cumsum(dtype=np.int32)

    def within_documents(self) -> Array:
        """[T'] bool: False where the target is the first token of a new document."""
        of = self.document_ids()
        return np.asarray(of[1:] == of[:-1])

    def position_ids(self, restart: bool = False) -> Array:
        """[T' + 1] int32: positions from 0, optionally restarting at every document."""
        positions = np.arange(len(self.input_ids), dtype=np.int32)
        if not restart or not len(positions):
            return positions
        return positions - np.asarray(self.doc_starts, np.int32)[self.document_ids()]
