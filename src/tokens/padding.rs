//! Finds the padding in a row, from the columns that data sets for trainers have besides the ids.
//!
//! - `attention_mask`: 0 is padding, at the front or the end; anything else is text.
//! - `labels`, if there is no mask: -100 at the front or the end, over an id that is repeated there in some row.
//!   Other -100s mask the prompts of fine-tuning data; those ids are text, and are counted.
//! - `length` or `lengths`, if there is neither: ids beyond it, if that holds in every row and they are
//!   one repeated id. Otherwise it may count characters.

use std::collections::BTreeMap;
use std::ops::Range;

/// The label of a target that a trainer ignores.
const IGNORED: i64 = -100;

pub(super) const MASK: &str = "attention_mask";
pub(super) const LABELS: &str = "labels";
pub(super) const LENGTHS: [&str; 2] = ["length", "lengths"];

/// The columns of a row besides its ids.
#[derive(Debug, Default)]
pub(super) struct SideColumns {
    pub(super) mask: Option<Vec<i64>>,
    pub(super) labels: Option<Vec<i64>>,
    pub(super) length: Option<i64>,
}

/// How padding is recognized in a corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    /// There is none.
    None,
    Mask,
    /// The id that fills rows, and at which ends.
    Labels {
        id: i64,
        front: bool,
        back: bool,
    },
    Length(&'static str),
}

impl Rule {
    /// The column that marks it.
    pub(super) fn column(&self) -> Option<&'static str> {
        match self {
            Rule::None => None,
            Rule::Mask => Some(MASK),
            Rule::Labels { .. } => Some(LABELS),
            Rule::Length(name) => Some(name),
        }
    }

    /// The range of a row's ids that is text.
    ///
    /// # Errors
    /// What is wrong with the column, for "column X ...".
    pub(super) fn text_of(
        &self,
        ids: &[i64],
        columns: &SideColumns,
    ) -> Result<Range<usize>, String> {
        match (self, columns) {
            (
                Rule::Mask,
                SideColumns {
                    mask: Some(mask), ..
                },
            ) => text_by_mask(ids, mask),
            (
                Rule::Labels { id, front, back },
                SideColumns {
                    labels: Some(labels),
                    ..
                },
            ) => {
                let is_pad = |at: &usize| labels[*at] == IGNORED && ids[*at] == *id;
                let n_back = match back {
                    true => (0..ids.len()).rev().take_while(is_pad).count(),
                    false => 0,
                };
                let end = ids.len() - n_back;
                let start = match front {
                    true => (0..end).take_while(is_pad).count(),
                    false => 0,
                };
                Ok(start..end)
            }
            (
                Rule::Length(_),
                SideColumns {
                    length: Some(length),
                    ..
                },
            ) => Ok(0..usize::try_from(*length).unwrap_or(0).min(ids.len())),
            _ => Ok(0..ids.len()),
        }
    }
}

fn text_by_mask(ids: &[i64], mask: &[i64]) -> Result<Range<usize>, String> {
    if mask.len() != ids.len() {
        return Err(format!("has {} values for {} ids", mask.len(), ids.len()));
    }
    let Some(start) = mask.iter().position(|&value| value != 0) else {
        return Ok(0..0);
    };
    let end = mask.iter().rposition(|&value| value != 0).unwrap_or(start) + 1;
    match mask[start..end].iter().position(|&value| value == 0) {
        None => Ok(start..end),
        Some(hole) => Err(format!(
            "is 0 at position {} with text on both sides of it",
            start + hole
        )),
    }
}

/// Positions in the text whose label is excluded from the loss.
pub(super) fn n_ignored(text: Range<usize>, columns: &SideColumns) -> u64 {
    let labels = columns.labels.as_deref().unwrap_or_default();
    let of_text = labels.get(text).unwrap_or_default();
    of_text.iter().filter(|&&label| label == IGNORED).count() as u64
}

/// Equal ids in a row, at the end of a row of text, that look like padding.
const MIN_RUN: usize = 8;

/// Runs of one id at the ends of rows of one length, where no column tells padding.
#[derive(Debug, Default)]
pub(super) struct Runs {
    n_rows: u64,
    /// Of all rows; `None` once they differ.
    length: Option<usize>,
    /// By the id: rows, and ids in runs.
    by_id: BTreeMap<i64, (u64, u64)>,
}

impl Runs {
    pub(super) fn add(&mut self, ids: &[i64]) {
        let is_first = self.n_rows == 0;
        self.n_rows += 1;
        self.length = match self.length {
            _ if is_first => Some(ids.len()),
            length => length.filter(|&length| length == ids.len()),
        };
        if self.length.is_none() {
            self.by_id.clear();
            return;
        }
        let ends = [ids.first(), ids.last()].into_iter().flatten();
        let longest = ends.enumerate().map(|(end, &id)| {
            let is_it = |known: &&i64| **known == id;
            let n = match end {
                0 => ids.iter().take_while(is_it).count(),
                _ => ids.iter().rev().take_while(is_it).count(),
            };
            (n, id)
        });
        if let Some((n, id)) = longest.max().filter(|&(n, _)| n >= MIN_RUN) {
            let (n_rows, n_ids) = self.by_id.entry(id).or_default();
            *n_rows += 1;
            *n_ids += n as u64;
        }
    }

    /// Given if rows have one length and at least two, and a tenth of them, begin or end with a run of one id.
    pub(super) fn note(&self) -> Option<String> {
        let (id, (n_rows, n_ids)) = self.by_id.iter().max_by_key(|(_, found)| **found)?;
        let is_usual = *n_rows >= 2 && *n_rows * 10 >= self.n_rows;
        is_usual.then(|| {
            format!(
                "{n_rows} of {} rows, all of one length, begin or end with a run of id {id} ({n_ids} ids), as padding does, but there is no column `{MASK}`: they are used like the others; if they are padding, write that column, or rows without it",
                self.n_rows
            )
        })
    }
}

/// What a first pass over all rows finds, if there is no mask.
#[derive(Debug)]
pub(super) struct Survey {
    /// Ids in constant runs of two or more at the front and at the back, with their counts.
    front: BTreeMap<i64, u64>,
    back: BTreeMap<i64, u64>,
    labels_fit: bool,
    n_rows: u64,
    lengths_fit: bool,
    n_shorter: u64,
}

impl Default for Survey {
    fn default() -> Self {
        Self {
            front: BTreeMap::new(),
            back: BTreeMap::new(),
            labels_fit: true,
            n_rows: 0,
            lengths_fit: true,
            n_shorter: 0,
        }
    }
}

impl Survey {
    pub(super) fn add(&mut self, ids: &[i64], columns: &SideColumns) {
        self.n_rows += 1;
        match &columns.labels {
            Some(labels) if labels.len() == ids.len() => self.add_labels(ids, labels),
            Some(_) => self.labels_fit = false,
            None => {}
        }
        if let Some(length) = columns.length {
            let rest = usize::try_from(length).ok().and_then(|n| ids.get(n..));
            let repeats = |rest: &[i64]| rest.windows(2).all(|pair| pair[0] == pair[1]);
            self.lengths_fit &= rest.is_some_and(repeats);
            self.n_shorter += u64::from(rest.is_some_and(|rest| !rest.is_empty()));
        }
    }

    fn add_labels(&mut self, ids: &[i64], labels: &[i64]) {
        let run = |from: &[i64], masked: usize| {
            let run = &from[..masked];
            let first = *run.first()?;
            (masked > 1 && run.iter().all(|&id| id == first)).then_some((first, masked as u64))
        };
        let is_ignored = |label: &&i64| **label == IGNORED;
        let n_back = labels.iter().rev().take_while(is_ignored).count();
        if n_back == ids.len() && !ids.is_empty() {
            // The whole row: it does not tell the side.
            return;
        }
        let reversed: Vec<i64> = ids.iter().rev().take(n_back).copied().collect();
        if let Some((id, n)) = run(&reversed, n_back) {
            *self.back.entry(id).or_default() += n;
        }
        let n_front = labels.iter().take_while(is_ignored).count();
        if let Some((id, n)) = run(ids, n_front) {
            *self.front.entry(id).or_default() += n;
        }
    }

    /// The rule that applies, and a note on columns that were not used.
    pub(super) fn rule(
        &self,
        has_labels: bool,
        length: Option<&'static str>,
    ) -> (Rule, Option<String>) {
        if has_labels && self.labels_fit {
            let most = |runs: &BTreeMap<i64, u64>| {
                let most = runs.iter().max_by_key(|&(_, n)| n);
                most.map_or((None, 0), |(&id, &n)| (Some(id), n))
            };
            let ((front, n_front), (back, n_back)) = (most(&self.front), most(&self.back));
            let id = if n_front > n_back { front } else { back };
            if let Some(id) = id {
                let rule = Rule::Labels {
                    id,
                    front: front == Some(id),
                    back: back == Some(id),
                };
                return (rule, None);
            }
        }
        let of_labels = (has_labels && !self.labels_fit).then(|| {
            "column `labels` has other lengths than `input_ids`, so it was not used to find padding".to_owned()
        });
        match length {
            Some(name) if self.lengths_fit && self.n_shorter > 0 => (Rule::Length(name), of_labels),
            Some(name) if !self.lengths_fit => {
                let note = format!(
                    "column `{name}` is not the number of ids in every row, so it was not used to find padding"
                );
                (Rule::None, of_labels.or(Some(note)))
            }
            _ => (Rule::None, of_labels),
        }
    }
}
