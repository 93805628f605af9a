//! The documents of a set: bits per byte of all and of each source, and the documents with the lowest and
//! highest.
//!
//! They are read twice, once for sums and the range of the axis and once for the bars, in memory that grows
//! only with the number of sources.

use crate::select::Smallest;
use crate::shards::{
    DocumentRow, DocumentRows, DocumentScore, DocumentsIndex, LabelSet, ShardsError, open_documents,
};
use crate::signals::Histogram;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Number of bars of a histogram.
const N_BARS: usize = 40;
/// Maximum number of sources with their own histogram.
pub(super) const N_DRAWN_SOURCES: usize = 6;
/// Documents listed at either end.
const N_EXAMPLES: usize = 20;
/// Fraction of the documents that may lie outside the axis on either side.
const MAX_OUTSIDE_FRACTION: f64 = 0.002;
/// Upper limit of the axis in bits per byte; it is found to a thousandth.
const MAX_BITS: f64 = 64.0;
const N_BINS: usize = 1 << 16;

/// What the page shows about documents.
#[derive(Debug, Clone)]
pub(super) struct DocumentNotes {
    pub(super) index: DocumentsIndex,
    /// Histogram of all documents; `None` if none has bits per byte.
    pub(super) all: Option<BitsBars>,
    /// By decreasing number of documents; empty if sources are unknown.
    pub(super) sources: Vec<SourceNotes>,
    /// Documents with the fewest bits per byte, lowest first.
    pub(super) lowest: Vec<DocumentRow>,
    /// Documents with the most, highest first.
    pub(super) highest: Vec<DocumentRow>,
}

/// The documents of one input file.
#[derive(Debug, Clone, Default)]
pub(super) struct SourceNotes {
    pub(super) source: Arc<str>,
    pub(super) n_documents: u64,
    pub(super) n_targets: u64,
    pub(super) n_whole: u64,
    pub(super) n_bytes_whole: u64,
    /// Total NLL of the documents that are labelled whole, nats.
    nll_whole: f64,
    /// Its histogram, if it is one of the largest sources.
    pub(super) bars: Option<BitsBars>,
}

impl SourceNotes {
    /// Of all documents labelled whole, taken together; `None` if there are none.
    pub(super) fn bits_per_byte(&self) -> Option<f64> {
        let bits = self.nll_whole / (self.n_bytes_whole as f64 * std::f64::consts::LN_2);
        Some(bits).filter(|bits| bits.is_finite())
    }

    fn add(&mut self, row: &DocumentRow) {
        self.n_documents += 1;
        self.n_targets += row.n_targets;
        if bits_of(row).is_some() {
            self.n_whole += 1;
            self.n_bytes_whole += row.n_bytes.unwrap_or(0);
            self.nll_whole += row.score(DocumentScore::NllSum).unwrap_or(f64::NAN);
        }
    }
}

/// A histogram of bits per byte.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BitsBars {
    /// Lower bound, upper bound, and number of documents.
    pub(super) bars: Vec<(f64, f64, u64)>,
    /// Documents within the axis.
    pub(super) n_inside: u64,
    /// Documents outside the axis.
    pub(super) n_outside: u64,
}

/// Reads the documents of `set`; `None` if it has none, or they belong to other shards.
pub(super) fn document_notes(set: &LabelSet) -> Result<Option<DocumentNotes>, ShardsError> {
    let (index, rows) = match open_documents(set) {
        Ok(opened) => opened,
        Err(ShardsError::NoDocuments { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let first = FirstPass::of(rows)?;
    let mut sources = first.sources;
    sources.sort_by(|a, b| (b.n_documents, &a.source).cmp(&(a.n_documents, &b.source)));
    let all = match axis_of(&first.bits) {
        Some(axis) => Some(draw(open_documents(set)?.1, &axis, &mut sources)?),
        None => None,
    };
    Ok(Some(DocumentNotes {
        index,
        all,
        sources,
        lowest: first.lowest.into_items(),
        highest: first.highest.into_items(),
    }))
}

fn bits_of(row: &DocumentRow) -> Option<f64> {
    row.score(DocumentScore::BitsPerByte)
}

/// Results of the first pass.
struct FirstPass {
    bits: Histogram,
    sources: Vec<SourceNotes>,
    lowest: Smallest<DocumentRow>,
    highest: Smallest<DocumentRow>,
}

impl FirstPass {
    fn of(rows: DocumentRows) -> Result<Self, ShardsError> {
        let mut pass = FirstPass {
            bits: Histogram::new(0.0..MAX_BITS, N_BINS),
            sources: Vec::new(),
            lowest: Smallest::new(N_EXAMPLES),
            highest: Smallest::new(N_EXAMPLES),
        };
        let mut places: HashMap<Arc<str>, usize> = HashMap::new();
        for row in rows {
            let row = row?;
            if let Some(source) = &row.source {
                let next = pass.sources.len();
                let place = *places.entry(Arc::clone(source)).or_insert(next);
                if place == next {
                    pass.sources.push(SourceNotes {
                        source: Arc::clone(source),
                        ..SourceNotes::default()
                    });
                }
                pass.sources[place].add(&row);
            }
            if let Some(bits) = bits_of(&row) {
                pass.bits.add(bits);
                pass.lowest.offer(bits, row.doc_index, || row.clone());
                pass.highest.offer(-bits, row.doc_index, || row.clone());
            }
        }
        Ok(pass)
    }
}

/// The range of nearly all values; `None` without values.
fn axis_of(bits: &Histogram) -> Option<RangeInclusive<f64>> {
    if bits.n_values() == 0 {
        return None;
    }
    let bin = MAX_BITS / N_BINS as f64;
    let low = (bits.quantile(MAX_OUTSIDE_FRACTION) - bin).max(bits.min());
    let high = bits.quantile(1.0 - MAX_OUTSIDE_FRACTION);
    Some(low..=high.max(low + bin))
}

/// Returns the histogram of all documents, and gives the largest sources theirs.
fn draw(
    rows: DocumentRows,
    axis: &RangeInclusive<f64>,
    sources: &mut [SourceNotes],
) -> Result<BitsBars, ShardsError> {
    let n_drawn = match sources.len() {
        // Its histogram would be that of all documents.
        1 => 0,
        n => n.min(N_DRAWN_SOURCES),
    };
    let drawn = &mut sources[..n_drawn];
    let mut all = Bins::new(axis);
    let mut bins: Vec<Bins> = drawn.iter().map(|_| Bins::new(axis)).collect();
    for row in rows {
        let row = row?;
        let Some(bits) = bits_of(&row) else { continue };
        all.add(bits);
        let place = |each: &SourceNotes| row.source.as_ref() == Some(&each.source);
        if let Some(place) = drawn.iter().position(place) {
            bins[place].add(bits);
        }
    }
    for (source, bins) in drawn.iter_mut().zip(bins) {
        source.bars = Some(bins.bars());
    }
    Ok(all.bars())
}

/// A histogram being filled.
struct Bins {
    axis: RangeInclusive<f64>,
    inside: Histogram,
    n_outside: u64,
}

impl Bins {
    fn new(axis: &RangeInclusive<f64>) -> Self {
        Bins {
            axis: axis.clone(),
            inside: Histogram::new(*axis.start()..*axis.end(), N_BARS),
            n_outside: 0,
        }
    }

    fn add(&mut self, bits: f64) {
        match self.axis.contains(&bits) {
            true => self.inside.add(bits),
            false => self.n_outside += 1,
        }
    }

    fn bars(&self) -> BitsBars {
        let bar = |i| {
            let n = self.inside.within(i..i + 1);
            (self.inside.edge(i), self.inside.edge(i + 1), n)
        };
        BitsBars {
            bars: (0..N_BARS).map(bar).collect(),
            n_inside: self.inside.n_values(),
            n_outside: self.n_outside,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shards::testing::{
        concat_plan, entries, with_targets, write_documents_of, write_set_with_pieces,
    };
    use crate::tokens::DocumentEntry;

    /// If `is_whole`, every document with a target is labelled whole.
    fn labelled(dir: &std::path::Path, is_whole: bool) -> LabelSet {
        write_set_with_pieces(dir, &with_targets(concat_plan()));
        write_documents_of(dir, None).unwrap();
        let set = LabelSet::open(dir).unwrap();
        let mut listed: Vec<DocumentEntry> = entries(90);
        for row in open_documents(&set).unwrap().1 {
            let row = row.unwrap();
            let n_unpredicted = u64::from(row.doc_index == 0) + u64::from(!is_whole);
            listed[row.doc_index as usize].n_tokens = row.n_targets + n_unpredicted;
        }
        write_documents_of(dir, Some(listed)).unwrap();
        set
    }

    #[test]
    fn notes_are_those_of_all_documents_read_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let set = labelled(dir.path(), true);
        let notes = document_notes(&set).unwrap().unwrap();
        let mut rows: Vec<DocumentRow> = open_documents(&set)
            .unwrap()
            .1
            .map(Result::unwrap)
            .collect();
        assert_eq!(notes.index.n_whole, rows.len() as u64);
        for source in &notes.sources {
            let of_source: Vec<&DocumentRow> = rows
                .iter()
                .filter(|row| row.source.as_ref() == Some(&source.source))
                .collect();
            let n_bytes: u64 = of_source.iter().filter_map(|row| row.n_bytes).sum();
            let nll: f64 = of_source
                .iter()
                .filter_map(|row| row.score(DocumentScore::NllSum))
                .sum();
            assert_eq!(source.n_documents, of_source.len() as u64);
            assert_eq!(
                (source.n_whole, source.n_bytes_whole),
                (source.n_documents, n_bytes)
            );
            let bits = nll / n_bytes as f64 / 2f64.ln();
            assert!((source.bits_per_byte().unwrap() - bits).abs() < 1e-12);
            let bars = source.bars.as_ref().unwrap();
            assert_eq!(bars.n_inside + bars.n_outside, source.n_documents);
        }
        assert_eq!(notes.sources.len(), 4);
        assert!(
            notes
                .sources
                .is_sorted_by(|a, b| a.n_documents >= b.n_documents)
        );
        let all = notes.all.unwrap();
        assert_eq!((all.n_inside, all.n_outside), (rows.len() as u64, 0));
        assert_eq!(all.bars.iter().map(|bar| bar.2).sum::<u64>(), all.n_inside);
        rows.sort_by(|a, b| bits_of(a).unwrap().total_cmp(&bits_of(b).unwrap()));
        let indices = |rows: &[DocumentRow]| rows.iter().map(|r| r.doc_index).collect::<Vec<_>>();
        assert_eq!(indices(&notes.lowest), indices(&rows[..20]));
        rows.reverse();
        assert_eq!(indices(&notes.highest), indices(&rows[..20]));
    }

    #[test]
    fn without_bytes_or_documents_there_is_no_histogram() {
        let dir = tempfile::tempdir().unwrap();
        let set = labelled(dir.path(), false);
        let notes = document_notes(&set).unwrap().unwrap();
        assert!(notes.all.is_none() && notes.lowest.is_empty());
        assert!(
            notes
                .sources
                .iter()
                .all(|source| source.bits_per_byte().is_none())
        );
        std::fs::remove_dir_all(dir.path().join("documents")).unwrap();
        assert!(document_notes(&set).unwrap().is_none());
    }

    #[test]
    fn one_document_and_many_equal_ones_have_an_axis() {
        for n in [1, 1000] {
            let mut bits = Histogram::new(0.0..MAX_BITS, N_BINS);
            (0..n).for_each(|_| bits.add(1.5));
            let axis = axis_of(&bits).unwrap();
            assert!(axis.contains(&1.5) && axis.end() > axis.start());
        }
    }
}
