//! The differences of two label sets' scores, document by document.

use super::policy::Join;
use super::record::{Difference, Extent, Joining, NO_BYTES};
use super::summary::LeftOut;
use crate::select::SelectError;
use crate::shards::{DocumentRow, DocumentScore, DocumentsIndex, LabelSet, open_documents};
use crate::storage::{Record, Sorted, Sorter, words};
use std::iter::Peekable;
use std::path::{Path, PathBuf};

/// How two label sets are joined, and where rows are sorted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joiner<'a> {
    pub(super) ours: &'a LabelSet,
    pub(super) theirs: &'a LabelSet,
    pub(super) join: Join,
    pub(super) score: DocumentScore,
    /// Where sorters spill.
    pub(super) dir: &'a Path,
    /// Bytes of rows sorted in memory at a time.
    pub(super) run_bytes: usize,
}

/// How documents are matched: as requested, or by number within one corpus and by id across two.
pub(super) fn resolve(
    asked: Option<Join>,
    ours: &DocumentsIndex,
    theirs: &DocumentsIndex,
) -> Result<Join, SelectError> {
    let is_one_corpus = ours.corpus_fingerprint == theirs.corpus_fingerprint;
    match asked {
        None if is_one_corpus => Ok(Join::Index),
        None => Ok(Join::Id),
        Some(Join::Index) if !is_one_corpus => Err(SelectError::Policy {
            what: "--join",
            expected: "id or record, as the two label sets are of different corpora",
            got: "index".to_owned(),
        }),
        Some(join) => Ok(join),
    }
}

impl<'a> Joiner<'a> {
    /// Every document of `ours` by increasing `doc_index`, with the difference of its scores.
    pub(super) fn differences(&self) -> Result<Differences, SelectError> {
        let comparable = Comparable::of(self);
        let mut left_out = LeftOut::default();
        let mut theirs = Unique::of(self.sorted(self.theirs)?, self.theirs, self.join);
        let mut ours = Unique::of(self.sorted(self.ours)?, self.ours, self.join);
        let mut differences = self.sorter();
        let mut other = theirs.next_row()?;
        while let Some(row) = ours.next_row()? {
            while other.is_some_and(|other| other.key < row.key) {
                other = theirs.next_row()?;
            }
            let same = other.filter(|other| other.key == row.key);
            if let Some(same) = same {
                self.check_same_text(&row, &same)?;
            }
            let difference = match same {
                Some(same) => comparable.difference(&row, &same),
                None => Err(Reason::Absent),
            };
            differences.push(Difference {
                doc_index: row.doc_index,
                score: difference.unwrap_or_else(|reason| count(&mut left_out, reason)),
            })?;
        }
        // The remaining ones of `theirs` must have unique keys too.
        while theirs.next_row()?.is_some() {}
        Ok(Differences {
            rows: differences.into_sorted()?,
            left_out,
        })
    }

    fn sorter<R: Record>(&self) -> Sorter<R> {
        Sorter::new(self.dir, self.run_bytes / R::BYTES)
    }

    fn sorted(&self, set: &LabelSet) -> Result<Sorted<Joining>, SelectError> {
        let mut sorter = self.sorter();
        let (index, rows) = open_documents(set)?;
        for row in rows {
            let row = row?;
            sorter.push(Joining {
                key: self.key_of(set, &row)?,
                doc_index: row.doc_index,
                score: row.score(self.score).unwrap_or(f64::NAN),
                n_bytes: row.n_bytes.unwrap_or(NO_BYTES),
                n_targets: row.n_targets,
                extent: Extent::of(&row, index.has_sources),
            })?;
        }
        Ok(sorter.into_sorted()?)
    }

    fn key_of(&self, set: &LabelSet, row: &DocumentRow) -> Result<[u64; 2], SelectError> {
        let missing = |what| SelectError::NotJoinable {
            labels: set.dir.clone(),
            document: place_of(row),
            what,
            remedy: match self.join {
                Join::Id => "give every record an id, or pass --join record",
                _ => "run `saltworks finalize --tokens` with the labelled corpus",
            },
        };
        match self.join {
            Join::Index => Ok([0, row.doc_index]),
            Join::Id => match &row.id {
                Some(id) => Ok(hash(&[id.as_bytes()])),
                None => Err(missing("has no id")),
            },
            Join::Record => match (&row.source, row.record) {
                (Some(source), Some(record)) => {
                    Ok(hash(&[source.as_bytes(), b"\0", &record.to_le_bytes()]))
                }
                _ => Err(missing("has no source")),
            },
        }
    }

    /// Two records with the same name may be different texts.
    fn check_same_text(&self, ours: &Joining, theirs: &Joining) -> Result<(), SelectError> {
        let is_known = ours.n_bytes != NO_BYTES && theirs.n_bytes != NO_BYTES;
        if !is_known || ours.n_bytes == theirs.n_bytes {
            return Ok(());
        }
        Err(SelectError::OtherText {
            labels: self.ours.dir.clone(),
            minus: self.theirs.dir.clone(),
            ours: ours.doc_index,
            theirs: theirs.doc_index,
            n_bytes: ours.n_bytes,
            n_bytes_theirs: theirs.n_bytes,
        })
    }
}

/// Every document of `ours` with its difference, and how many have none.
pub(super) struct Differences {
    /// By increasing `doc_index`.
    pub(super) rows: Sorted<Difference>,
    pub(super) left_out: LeftOut,
}

/// Why a document has no difference.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Absent,
    WithoutScore,
    InPart,
}

/// Counts the document and returns NaN.
fn count(left_out: &mut LeftOut, reason: Reason) -> f64 {
    let n = match reason {
        Reason::Absent => &mut left_out.n_absent,
        Reason::WithoutScore => &mut left_out.n_without_score,
        Reason::InPart => &mut left_out.n_in_part,
    };
    *n += 1;
    f64::NAN
}

/// What the scores of two sets must have in common for their difference to say something about the
/// models.
#[derive(Debug)]
pub(super) struct Comparable {
    /// Whether the score is that of a whole text, so that all of it must be labelled.
    pub(super) needs_whole: bool,
    /// Whether both sets label the same sequences, so that equal numbers of targets are the same
    /// targets.
    pub(super) has_same_sequences: bool,
}

impl Comparable {
    fn of(joiner: &Joiner<'_>) -> Self {
        let tokenizer = |set: &LabelSet| {
            let tokenizer = set.segments[0].tokenizer.as_ref();
            tokenizer.map(|tokenizer| tokenizer.fingerprint.clone())
        };
        let sequences = |set: &LabelSet| -> Vec<_> {
            let plans = set.segments.iter();
            plans
                .map(|plan| (plan.corpus.fingerprint.clone(), plan.sequences.clone()))
                .collect()
        };
        let (ours, theirs) = (joiner.ours, joiner.theirs);
        Comparable {
            needs_whole: joiner.score == DocumentScore::BitsPerByte
                || joiner.join != Join::Index && tokenizer(ours) != tokenizer(theirs),
            has_same_sequences: sequences(ours) == sequences(theirs),
        }
    }

    pub(super) fn difference(&self, ours: &Joining, theirs: &Joining) -> Result<f64, Reason> {
        let are_in_part = [ours, theirs].map(|of| of.extent == Extent::Part);
        let is_comparable = match self.needs_whole {
            true => are_in_part == [false, false],
            // If both are partial and equally long, they may still be different halves of the text.
            false => {
                let is_one_extent = are_in_part == [false, false] || self.has_same_sequences;
                ours.n_targets == theirs.n_targets && is_one_extent
            }
        };
        if !is_comparable {
            return Err(Reason::InPart);
        }
        let difference = ours.score - theirs.score;
        match difference.is_nan() {
            true => Err(Reason::WithoutScore),
            false => Ok(difference),
        }
    }
}

/// 128 bits of a BLAKE3, so that even among 10^12 documents no two are confused.
fn hash(parts: &[&[u8]]) -> [u64; 2] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    words(hasher.finalize().as_bytes())
}

/// A document's name in messages.
fn place_of(row: &DocumentRow) -> String {
    match (&row.source, row.record) {
        (Some(source), Some(record)) => {
            format!("document {} ({source}, record {record})", row.doc_index)
        }
        _ => format!("document {}", row.doc_index),
    }
}

/// Rows by increasing key; no two may have the same key.
struct Unique {
    rows: Peekable<Sorted<Joining>>,
    dir: PathBuf,
    join: Join,
}

impl Unique {
    fn of(rows: Sorted<Joining>, set: &LabelSet, join: Join) -> Self {
        Unique {
            rows: rows.peekable(),
            dir: set.dir.clone(),
            join,
        }
    }

    fn next_row(&mut self) -> Result<Option<Joining>, SelectError> {
        let Some(row) = self.rows.next().transpose()? else {
            return Ok(None);
        };
        if let Some(Ok(next)) = self.rows.peek()
            && next.key == row.key
        {
            return Err(SelectError::RepeatedName {
                labels: self.dir.clone(),
                first: row.doc_index,
                second: next.doc_index,
                what: match self.join {
                    Join::Id => "id",
                    _ => "source and record",
                },
            });
        }
        Ok(Some(row))
    }
}
