//! From scores to a selection, in three passes: read, rank, write.

use super::examples::{Example, Examples, Smallest};
use super::histogram::ScoreHistogram;
use super::output::check_replaceable;
use super::policy::{is_above_floor, limits, middle_rank};
use super::rows::{Scored, Source};
use super::sort::{Keyed, RUN_ROWS, Sorted, Sorter};
use super::{Order, Policy, SelectError};
use crate::shards::{
    LABELS_FINGERPRINT_KEY, LabelSet, POLICY_KEY, SelectionRow, SelectionWriter,
    VIEW_FINGERPRINT_KEY, ViewIdentity, labels_fingerprint,
};
use crate::storage::{self, Partial, scratch_beside};
use serde::Serialize;
use std::path::Path;

/// Metadata key of the labels whose scores were subtracted.
const MINUS_FINGERPRINT_KEY: &str = "saltworks.minus_fingerprint";
/// `extra` of a row that is not eligible.
const NO_RANK: u64 = u64::MAX;

/// The result of a selection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The policy.
    pub policy: Policy,
    /// Sequences of the labels.
    pub n_rows: u64,
    /// Eligible ones: they have a score and are above the minimum of the learnable fraction.
    pub n_eligible: u64,
    /// Those without a score; none of them is kept.
    pub n_null: u64,
    /// Those with a score, but below that minimum; none of them is kept.
    pub n_below_floor: u64,
    /// Kept sequences.
    pub n_kept: u64,
    /// Predicted positions of the labels.
    pub n_tokens: u64,
    /// Predicted positions of kept sequences.
    pub n_tokens_kept: u64,
    /// Bytes of the selection's file.
    pub n_bytes: u64,
    /// Scores of kept and of dropped sequences.
    pub scores: ScoreHistogram,
    /// A few sequences of each kind.
    pub examples: Examples,
}

/// Selects by `policy` from the scores of `labels`, minus those of `minus` if given, and writes the
/// selection to `output`, replacing an earlier one. `on_row_group` is called with the number of rows of
/// every row group.
///
/// # Errors
/// Labels that are unfinished or damaged; a `minus` with other sequences; a policy that is invalid or
/// keeps nothing; an `output` that is not a selection; failed writes, after which an earlier `output` still exists.
pub fn select(
    labels: &LabelSet,
    minus: Option<&LabelSet>,
    policy: &Policy,
    output: &Path,
    mut on_row_group: impl FnMut(u64),
) -> Result<Summary, SelectError> {
    check_replaceable(output)?;
    let job = Job {
        source: Source {
            labels,
            minus,
            score: policy.score,
        },
        policy,
        output,
        run_rows: RUN_ROWS,
    };
    job.run(&mut on_row_group)
}

/// One selection.
pub(super) struct Job<'a> {
    pub(super) source: Source<'a>,
    pub(super) policy: &'a Policy,
    pub(super) output: &'a Path,
    /// Rows sorted in memory at a time.
    pub(super) run_rows: usize,
}

/// Results of the first pass.
struct Read {
    /// Eligible sequences, by the policy's key.
    eligible: Sorter,
    /// All others, by `seq_id`.
    rest: Sorter,
    n_rows: u64,
    n_eligible: u64,
    n_null: u64,
    n_tokens: u64,
    /// Minimum and maximum score.
    range: (f64, f64),
    unlearnable: Smallest<Example>,
}

/// Results of the second pass.
struct Ranked {
    /// All sequences, by `seq_id`; `extra` is the rank.
    by_seq_id: Sorter,
    /// Ranks below this are kept.
    n_kept: u64,
    n_tokens_kept: u64,
    /// Scores of eligible sequences; the others are added in the third pass.
    scores: ScoreHistogram,
    hardest: Smallest<Example>,
}

impl Job<'_> {
    pub(super) fn run(&self, on_row_group: &mut dyn FnMut(u64)) -> Result<Summary, SelectError> {
        self.policy.validate()?;
        self.source.check()?;
        // Checked and opened before the long work, so that a path that cannot be written fails early.
        if let Some(dir) = self.output.parent() {
            storage::check_writable(dir)?;
        }
        let partial = Partial::create(self.output)?;
        let mut read = self.read(on_row_group)?;
        let ranked = self.rank(&mut read)?;
        if ranked.n_kept == 0 {
            return Err(SelectError::KeepsNothing {
                what: "sequences",
                n_rows: read.n_rows,
                n_eligible: read.n_eligible,
                n_null: read.n_null,
                n_below_floor: read.n_below_floor(),
                score: self.policy.score.name(),
                why: String::new(),
            });
        }
        self.write(partial, read, ranked)
    }

    fn sorter(&self) -> Sorter {
        Sorter::new(&scratch_beside(self.output), self.run_rows)
    }

    fn read(&self, on_row_group: &mut dyn FnMut(u64)) -> Result<Read, SelectError> {
        let mut read = Read {
            eligible: self.sorter(),
            rest: self.sorter(),
            n_rows: 0,
            n_eligible: 0,
            n_null: 0,
            n_tokens: 0,
            range: (f64::INFINITY, f64::NEG_INFINITY),
            unlearnable: Smallest::default(),
        };
        let sorter = || self.sorter();
        self.source
            .each(&sorter, on_row_group, &mut |row| read.add(row, self.policy))?;
        Ok(read)
    }

    /// Gives each eligible sequence its rank, and finds how many to keep.
    fn rank(&self, read: &mut Read) -> Result<Ranked, SelectError> {
        let eligible = std::mem::replace(&mut read.eligible, self.sorter()).into_sorted()?;
        let wanted = match self.policy.order {
            Order::Middle => self.by_middle_rank(eligible, read.n_eligible)?,
            _ => eligible,
        };
        let (max_rows, max_tokens) = limits(self.policy.amount, read.n_rows);
        let mut ranked = Ranked {
            by_seq_id: std::mem::replace(&mut read.rest, self.sorter()),
            n_kept: 0,
            n_tokens_kept: 0,
            scores: ScoreHistogram::new(read.range.0, read.range.1),
            hardest: Smallest::default(),
        };
        let mut is_open = true;
        for (rank, row) in (0..).zip(wanted) {
            let row = row?;
            let n_tokens = ranked.n_tokens_kept + u64::from(row.n_targets);
            // After the first that exceeds the amount, no more are kept.
            is_open &= rank < max_rows && n_tokens <= max_tokens;
            if is_open {
                ranked.n_kept += 1;
                ranked.n_tokens_kept = n_tokens;
            }
            ranked.push(row, rank, is_open)?;
        }
        Ok(ranked)
    }

    fn by_middle_rank(&self, by_score: Sorted, n: u64) -> Result<Sorted, SelectError> {
        let mut sorter = self.sorter();
        for (place, row) in (0..).zip(by_score) {
            let key = middle_rank(place, n);
            sorter.push(Keyed { key, ..row? })?;
        }
        Ok(sorter.into_sorted()?)
    }

    fn write(&self, partial: Partial, read: Read, ranked: Ranked) -> Result<Summary, SelectError> {
        let metadata = self.metadata(&read, &ranked);
        let mut writer = SelectionWriter::create(self.output, partial, metadata)?;
        let mut scores = ranked.scores;
        let median = scores.median().unwrap_or(0.0);
        let mut nearest: Smallest<Example> = Smallest::default();
        let n_kept = ranked.n_kept;
        let mut unlearnable = read.unlearnable.into_items();
        for row in ranked.by_seq_id.into_sorted()? {
            let example = example(&row?, n_kept);
            match (example.score, example.rank) {
                (Some(score), Some(_)) => {
                    nearest.offer((score - median).abs(), example.seq_id, || example)
                }
                (Some(score), None) => scores.add(score, false),
                (None, _) => {}
            }
            for entry in unlearnable
                .iter_mut()
                .filter(|e| e.seq_id == example.seq_id)
            {
                *entry = example;
            }
            let row = SelectionRow {
                seq_id: example.seq_id,
                kept: example.kept,
                score: example.score,
            };
            writer.push(row, example.rank)?;
        }
        let hash = writer.publish()?;
        Ok(Summary {
            policy: *self.policy,
            n_rows: read.n_rows,
            n_eligible: read.n_eligible,
            n_null: read.n_null,
            n_below_floor: read.n_rows - read.n_eligible - read.n_null,
            n_kept,
            n_tokens: read.n_tokens,
            n_tokens_kept: ranked.n_tokens_kept,
            n_bytes: hash.bytes,
            scores,
            examples: Examples {
                hardest_kept: ranked.hardest.into_items(),
                median: nearest.into_items(),
                unlearnable,
            },
        })
    }

    /// The metadata of the file.
    fn metadata(&self, read: &Read, ranked: &Ranked) -> Vec<(String, String)> {
        let labels = self.source.labels;
        let policy = serde_json::to_string(self.policy).expect("plain fields with string keys");
        let minus = self.source.minus.map(labels_fingerprint);
        let view = ViewIdentity::of(&labels.segments[0]).fingerprint();
        [
            (POLICY_KEY, policy),
            (LABELS_FINGERPRINT_KEY, labels_fingerprint(labels)),
            (VIEW_FINGERPRINT_KEY, view),
            ("saltworks.n_rows", read.n_rows.to_string()),
            ("saltworks.n_null", read.n_null.to_string()),
            ("saltworks.n_below_floor", read.n_below_floor().to_string()),
            ("saltworks.n_kept", ranked.n_kept.to_string()),
            ("saltworks.n_tokens", read.n_tokens.to_string()),
            ("saltworks.n_tokens_kept", ranked.n_tokens_kept.to_string()),
        ]
        .into_iter()
        .chain(minus.map(|minus| (MINUS_FINGERPRINT_KEY, minus)))
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }
}

impl Read {
    fn add(&mut self, row: Scored, policy: &Policy) -> Result<(), SelectError> {
        self.n_rows += 1;
        self.n_tokens += u64::from(row.n_targets);
        let mut keyed = Keyed {
            key: row.seq_id,
            seq_id: row.seq_id,
            score: row.score.unwrap_or(f64::NAN),
            extra: NO_RANK,
            n_targets: row.n_targets,
            learnable_fraction: row.learnable_fraction as f32,
        };
        self.unlearnable
            .offer(row.learnable_fraction, keyed.seq_id, || example(&keyed, 0));
        let Some(score) = row.score else {
            self.n_null += 1;
            return Ok(self.rest.push(keyed)?);
        };
        self.range = (self.range.0.min(score), self.range.1.max(score));
        if !is_above_floor(policy.min_learnable, row.learnable_fraction) {
            return Ok(self.rest.push(keyed)?);
        }
        self.n_eligible += 1;
        keyed.key = policy.order.key(row.seq_id, score);
        Ok(self.eligible.push(keyed)?)
    }

    fn n_below_floor(&self) -> u64 {
        self.n_rows - self.n_eligible - self.n_null
    }
}

impl Ranked {
    fn push(&mut self, row: Keyed, rank: u64, is_kept: bool) -> Result<(), SelectError> {
        self.scores.add(row.score, is_kept);
        let row = Keyed {
            key: row.seq_id,
            extra: rank,
            ..row
        };
        if is_kept {
            self.hardest
                .offer(-row.score, row.seq_id, || example(&row, rank + 1));
        }
        Ok(self.by_seq_id.push(row)?)
    }
}

/// The row as it will be in the file: ranks below `n_kept` are kept.
fn example(row: &Keyed, n_kept: u64) -> Example {
    let rank = Some(row.extra).filter(|&rank| rank != NO_RANK);
    Example {
        seq_id: row.seq_id,
        score: Some(row.score).filter(|score| !score.is_nan()),
        learnable_fraction: row.learnable_fraction,
        rank,
        kept: rank.is_some_and(|rank| rank < n_kept),
    }
}
