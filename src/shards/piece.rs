//! The part of a document predicted in a sequence, and its sums.

use crate::signals::TargetSums;
use std::ops::Range;

/// Sums over the targets of one document in one sequence. A target belongs to the document of its token.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Piece {
    /// The document.
    pub doc_index: u64,
    /// Over its targets in the sequence, at least one.
    pub sums: TargetSums,
}

/// The documents with a target in a sequence, in order, each with its range of targets: `doc_starts` are offsets among
/// the `n_targets + 1` ids of the sequence at which the documents `doc_indices` start.
pub fn piece_ranges<'a>(
    doc_starts: &'a [u32],
    doc_indices: &'a [u64],
    n_targets: usize,
) -> impl Iterator<Item = (u64, Range<usize>)> + 'a {
    // Target t is id t + 1; id 0 is not a target.
    let first = |start: u32| (start as usize).saturating_sub(1);
    let ends = doc_starts[1.min(doc_starts.len())..].iter();
    let ends = ends.map(move |&start| first(start)).chain([n_targets]);
    let starts = doc_starts.iter().map(move |&start| first(start));
    let ranges = starts.zip(ends).map(|(start, end)| start..end);
    let pieces = doc_indices.iter().copied().zip(ranges);
    pieces.filter(|(_, range)| !range.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(doc_starts: &[u32], doc_indices: &[u64], n: usize) -> Vec<(u64, Range<usize>)> {
        piece_ranges(doc_starts, doc_indices, n).collect()
    }

    #[test]
    fn a_target_belongs_to_the_document_of_its_token() {
        assert_eq!(ranges(&[0], &[7], 5), [(7, 0..5)]);
        // Ids 0 to 2 belong to document 7, ids 3 to 5 to document 9.
        assert_eq!(ranges(&[0, 3], &[7, 9], 5), [(7, 0..2), (9, 2..5)]);
    }

    #[test]
    fn a_document_whose_only_id_is_the_first_has_no_target() {
        assert_eq!(ranges(&[0, 1, 5], &[7, 8, 9], 5), [(8, 0..4), (9, 4..5)]);
        assert_eq!(ranges(&[], &[], 5), []);
    }
}
