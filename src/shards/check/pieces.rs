//! The sums of a row's documents, checked by themselves and against its scores and lists.

use super::lists::{Checked, NATS_TOLERANCE};
use super::scores::agrees;
use crate::shards::piece::{Piece, piece_ranges};
use crate::shards::row::Row;
use crate::shards::row_fault::RowFault;

/// Sums are finite, at least 0 and add up to the row's scores. In a row without pieces, none were stored.
pub(super) fn check_pieces(row: &Row, one_document: bool, impossible_targets: bool) -> Checked {
    let Some(first) = row.pieces.first() else {
        return Ok(());
    };
    let fault = |what| Err(RowFault::Pieces { what });
    if one_document && row.pieces.len() > 1 {
        return fault("more than one document, in a set with one document per sequence");
    }
    if first.doc_index < row.first_doc_index {
        return fault("a document comes before first_doc_index");
    }
    let pairs = row.pieces.windows(2);
    if !pairs.into_iter().all(|p| p[0].doc_index < p[1].doc_index) {
        return fault("piece_doc_indices do not increase");
    }
    for piece in &row.pieces {
        check_piece(piece, impossible_targets)?;
    }
    let sum = |value: fn(&Piece) -> u64| row.pieces.iter().map(value).sum::<u64>();
    if sum(|p| p.sums.n_targets) != u64::from(row.n_targets) {
        return fault("piece_n_targets do not add up to n_targets");
    }
    check_against_scores(row)
}

fn check_piece(piece: &Piece, impossible_targets: bool) -> Checked {
    let sums = &piece.sums;
    let fault = |what| Err(RowFault::Pieces { what });
    if sums.n_targets == 0 {
        return fault("a document has no target");
    }
    if sums.n_learnable > sums.n_targets {
        return fault("piece_n_learnable is above piece_n_targets");
    }
    let slack = NATS_TOLERANCE * sums.n_targets as f64;
    let is_sum = |x: f64| x.is_finite() && x >= -slack;
    let is_nll = |x: f64| is_sum(x) || (impossible_targets && x == f64::INFINITY);
    if !is_nll(sums.nll) || !is_nll(sums.nll_learnable) {
        return fault("a sum of NLL is not a finite number of nats, at least 0");
    }
    if sums.nll_learnable > sums.nll + slack {
        return fault("piece_nll_learnable_sum is above piece_nll_sum");
    }
    if !is_sum(sums.entropy) {
        return fault("piece_entropy_sum is not a finite number of nats, at least 0");
    }
    let most = sums.n_targets as f64 * (1.0 + 1e-6);
    if !(0.0..=most).contains(&sums.topk_mass) {
        return fault("piece_topk_mass_sum is not between 0 and piece_n_targets");
    }
    Ok(())
}

fn check_against_scores(row: &Row) -> Checked {
    let n = f64::from(row.n_targets);
    let mean = |value: fn(&Piece) -> f64| row.pieces.iter().map(value).sum::<f64>() / n;
    let s = &row.scores;
    for (column, value, other, expected) in [
        (
            "score_mean_nll",
            s.mean_nll,
            "piece_nll_sum",
            mean(|p| p.sums.nll),
        ),
        (
            "score_mean_entropy",
            s.mean_entropy,
            "piece_entropy_sum",
            mean(|p| p.sums.entropy),
        ),
        (
            "score_mean_topk_mass",
            s.mean_topk_mass,
            "piece_topk_mass_sum",
            mean(|p| p.sums.topk_mass),
        ),
        (
            "score_learnable_fraction",
            s.learnable_fraction,
            "piece_n_learnable",
            mean(|p| p.sums.n_learnable as f64),
        ),
    ] {
        agrees(column, value, other, expected)?;
    }
    Ok(())
}

/// Documents are the same as in the lists, and so are their numbers of targets, and their NLL if it is stored.
pub(super) fn check_against_positions(row: &Row, has_stats: bool) -> Checked {
    if row.pieces.is_empty() {
        return Ok(());
    }
    let n_targets = row.n_targets as usize;
    let ranges: Vec<_> = piece_ranges(&row.doc_starts, &row.doc_indices, n_targets).collect();
    let of_piece = |piece: &Piece| (piece.doc_index, piece.sums.n_targets as usize);
    let expected = ranges.iter().map(|(doc, range)| (*doc, range.len()));
    if !row.pieces.iter().map(of_piece).eq(expected) {
        return Err(RowFault::Pieces {
            what: "they are not the documents of doc_starts and doc_indices",
        });
    }
    if !has_stats {
        return Ok(());
    }
    for (piece, (_, range)) in row.pieces.iter().zip(ranges) {
        let n = range.len() as f64;
        let logprobs = row.signals.target_logprob_t[range].iter();
        let nll = -logprobs.map(|&x| f64::from(x)).sum::<f64>();
        agrees(
            "piece_nll_sum",
            piece.sums.nll / n,
            "target_logprob",
            nll / n,
        )?;
    }
    Ok(())
}
