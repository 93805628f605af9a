//! From documents to a selection, in three passes: read, rank, write.

use super::policy::DocumentPolicy;
use super::record::{NO_RANK, Ranked};
use super::rows::Source;
use super::summary::{DocumentExample, DocumentSummary, LeftOut, SourceSummary};
use crate::select::SelectError;
use crate::select::examples::Smallest;
use crate::select::histogram::ScoreHistogram;
use crate::select::output::check_replaceable;
use crate::select::policy::{Amount, Order, is_above_floor, limits, middle_rank};
use crate::shards::{
    DOCUMENT_SELECTION_VERSION, DocumentRow, DocumentScore, DocumentSelectionHead,
    DocumentSelectionWriter, LabelSet, SelectedDocument, labels_fingerprint,
};
use crate::storage::{Partial, Record, Sorted, Sorter, scratch_beside};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Bytes of rows sorted in memory at a time.
pub(super) const RUN_BYTES: usize = 20 << 20;
/// How many documents with the lowest and the highest scores are shown.
const N_EXAMPLES: usize = 10;

/// Selects documents by `policy` from the scores of `labels`, minus those of `minus` if given, and writes
/// the selection to `output`, replacing an earlier one. `on_documents` is called with numbers of documents
/// that were read.
///
/// # Errors
/// Labels without documents; two label sets whose documents cannot be joined; a policy that is invalid or
/// keeps nothing, or asks for more than there is; an `output` that is not a selection; failed writes, after
/// which an earlier `output` still exists.
pub fn select_documents(
    labels: &LabelSet,
    minus: Option<&LabelSet>,
    policy: &DocumentPolicy,
    output: &Path,
    mut on_documents: impl FnMut(u64),
) -> Result<DocumentSummary, SelectError> {
    check_replaceable(output)?;
    policy.validate()?;
    let job = Job {
        source: Source::open(labels, minus, policy)?,
        policy,
        output,
        run_bytes: RUN_BYTES,
    };
    let minus = minus.map(labels_fingerprint);
    job.run(minus, &mut on_documents)
}

/// One selection.
pub(super) struct Job<'a> {
    pub(super) source: Source<'a>,
    pub(super) policy: &'a DocumentPolicy,
    pub(super) output: &'a Path,
    pub(super) run_bytes: usize,
}

/// Documents with their own ranking.
#[derive(Debug, Clone, Default)]
struct Group {
    source: Option<Arc<str>>,
    n_documents: u64,
    n_eligible: u64,
    n_kept: u64,
    n_tokens_kept: u64,
}

/// Groups by source; without `per` all documents are one group.
struct Groups {
    all: Vec<Group>,
    by_source: Option<HashMap<Arc<str>, u64>>,
}

impl Groups {
    fn new(is_per_source: bool) -> Self {
        Groups {
            all: match is_per_source {
                true => Vec::new(),
                false => vec![Group::default()],
            },
            by_source: is_per_source.then(HashMap::new),
        }
    }

    /// The number of a document's group.
    fn of(&mut self, row: &DocumentRow) -> u64 {
        let (Some(by_source), Some(source)) = (&mut self.by_source, &row.source) else {
            return 0;
        };
        if let Some(&group) = by_source.get(source) {
            return group;
        }
        let group = self.all.len() as u64;
        by_source.insert(Arc::clone(source), group);
        self.all.push(Group {
            source: Some(Arc::clone(source)),
            ..Group::default()
        });
        group
    }

    fn get(&mut self, group: u64) -> &mut Group {
        &mut self.all[group as usize]
    }
}

/// Results of the first pass.
struct Read {
    /// Eligible documents, by group and the policy's key.
    eligible: Sorter<Ranked>,
    /// All others.
    rest: Sorter<Ranked>,
    groups: Groups,
    n_documents: u64,
    n_eligible: u64,
    n_null: u64,
    /// Why others have no score, if it is a difference.
    left_out: Option<LeftOut>,
    n_tokens: u64,
    /// Minimum and maximum score.
    range: (f64, f64),
}

/// Results of the second pass.
struct Placed {
    /// All documents, by `doc_index`.
    by_doc_index: Sorter<Ranked>,
    n_kept: u64,
    n_tokens_kept: u64,
}

impl Job<'_> {
    pub(super) fn run(
        &self,
        minus: Option<String>,
        on_documents: &mut dyn FnMut(u64),
    ) -> Result<DocumentSummary, SelectError> {
        // Opened before the long work, so that a path that cannot be written fails early.
        let partial = Partial::create(self.output)?;
        let mut read = self.read(on_documents)?;
        self.check_amount(&read)?;
        let placed = self.place(&mut read)?;
        if placed.n_kept == 0 {
            return Err(SelectError::KeepsNothing {
                what: "documents",
                n_rows: read.n_documents,
                n_eligible: read.n_eligible,
                n_null: read.n_null,
                n_below_floor: read.n_below_floor(),
                score: self.policy.score.name(),
                why: read.why_null(),
            });
        }
        self.write(partial, read, placed, minus)
    }

    fn sorter<R: Record>(&self) -> Sorter<R> {
        Sorter::new(&scratch_beside(self.output), self.run_bytes / R::BYTES)
    }

    fn read(&self, on_documents: &mut dyn FnMut(u64)) -> Result<Read, SelectError> {
        let mut read = Read {
            eligible: self.sorter(),
            rest: self.sorter(),
            groups: Groups::new(self.policy.per.is_some()),
            n_documents: 0,
            n_eligible: 0,
            n_null: 0,
            left_out: None,
            n_tokens: 0,
            range: (f64::INFINITY, f64::NEG_INFINITY),
        };
        let scored = self
            .source
            .scored(&scratch_beside(self.output), self.run_bytes)?;
        read.left_out = scored.left_out;
        for next in scored {
            let (row, score) = next?;
            read.add(&row, score, self.policy)?;
            on_documents(1);
        }
        Ok(read)
    }

    /// An amount that exceeds the labels was meant for another corpus.
    fn check_amount(&self, read: &Read) -> Result<(), SelectError> {
        let (wanted, got, what) = match self.policy.amount {
            Amount::Fraction(_) => return Ok(()),
            Amount::Rows(n) => (n, read.n_documents, "documents"),
            Amount::Tokens(n) => (n, read.n_tokens, "tokens"),
        };
        match wanted > got {
            false => Ok(()),
            true => Err(SelectError::MoreThanThereIs { wanted, got, what }),
        }
    }

    /// Gives each eligible document its rank, and finds which are kept.
    fn place(&self, read: &mut Read) -> Result<Placed, SelectError> {
        let eligible = std::mem::replace(&mut read.eligible, self.sorter()).into_sorted()?;
        let wanted = match self.policy.order {
            Order::Middle => self.by_middle_rank(eligible, &mut read.groups)?,
            _ => eligible,
        };
        let mut placed = Placed {
            by_doc_index: std::mem::replace(&mut read.rest, self.sorter()),
            n_kept: 0,
            n_tokens_kept: 0,
        };
        let mut places = Places::default();
        for row in wanted {
            let mut row = row?;
            row.rank = places.next_of(row.group);
            let group = read.groups.get(row.group);
            let (max_documents, max_tokens) = limits(self.policy.amount, group.n_documents);
            let n_tokens = group.n_tokens_kept.saturating_add(row.n_tokens);
            // After the first that exceeds the amount, no more of the group are kept.
            row.kept =
                row.rank == group.n_kept && row.rank < max_documents && n_tokens <= max_tokens;
            if row.kept {
                group.n_kept += 1;
                group.n_tokens_kept = n_tokens;
                placed.n_kept += 1;
                placed.n_tokens_kept += row.n_tokens;
            }
            placed.by_doc_index.push(by_doc_index(row))?;
        }
        Ok(placed)
    }

    fn by_middle_rank(
        &self,
        by_score: Sorted<Ranked>,
        groups: &mut Groups,
    ) -> Result<Sorted<Ranked>, SelectError> {
        let mut sorter = self.sorter();
        let mut places = Places::default();
        for row in by_score {
            let row = row?;
            let place = places.next_of(row.group);
            let key = middle_rank(place, groups.get(row.group).n_eligible);
            sorter.push(Ranked { key, ..row })?;
        }
        Ok(sorter.into_sorted()?)
    }

    fn write(
        &self,
        partial: Partial,
        read: Read,
        placed: Placed,
        minus: Option<String>,
    ) -> Result<DocumentSummary, SelectError> {
        let head = self.head(&read, &placed, minus);
        let mut writer = DocumentSelectionWriter::create(self.output, partial, &head)?;
        let mut scores = ScoreHistogram::new(read.range.0, read.range.1);
        let (mut lowest, mut highest) = (Smallest::new(N_EXAMPLES), Smallest::new(N_EXAMPLES));
        let places = placed.by_doc_index.into_sorted()?;
        for (document, place) in self.source.rows()?.zip(places) {
            let (document, place) = (document?, place?);
            let row = SelectedDocument {
                score: Some(place.score).filter(|score| !score.is_nan()),
                rank: Some(place.rank).filter(|&rank| rank != NO_RANK),
                kept: place.kept,
                document,
            };
            if let Some(score) = row.score {
                scores.add(score, row.kept);
                let doc_index = row.document.doc_index;
                lowest.offer(score, doc_index, || DocumentExample::of(&row, score));
                highest.offer(-score, doc_index, || DocumentExample::of(&row, score));
            }
            writer.push(row)?;
        }
        let hash = writer.publish()?;
        Ok(DocumentSummary {
            policy: DocumentPolicy {
                join: self.source.join(),
                ..*self.policy
            },
            n_documents: read.n_documents,
            n_eligible: read.n_eligible,
            n_null: read.n_null,
            left_out: read.left_out,
            spelling: self.source.spelling,
            n_below_floor: read.n_below_floor(),
            n_kept: placed.n_kept,
            n_tokens: read.n_tokens,
            n_tokens_kept: placed.n_tokens_kept,
            n_bytes: hash.bytes,
            sources: sources_of(read.groups),
            scores,
            lowest: lowest.into_items(),
            highest: highest.into_items(),
        })
    }

    /// The header of the file.
    fn head(
        &self,
        read: &Read,
        placed: &Placed,
        minus_fingerprint: Option<String>,
    ) -> DocumentSelectionHead {
        let index = &self.source.index;
        let policy = DocumentPolicy {
            join: self.source.join(),
            ..*self.policy
        };
        DocumentSelectionHead {
            version: DOCUMENT_SELECTION_VERSION,
            corpus_fingerprint: index.corpus_fingerprint.clone(),
            labels_fingerprint: index.labels_fingerprint.clone(),
            minus_fingerprint,
            policy: serde_json::to_value(policy).expect("plain fields with string keys"),
            n_documents: read.n_documents,
            n_kept: placed.n_kept,
            n_tokens: read.n_tokens,
            n_tokens_kept: placed.n_tokens_kept,
        }
    }
}

impl Read {
    fn add(
        &mut self,
        row: &DocumentRow,
        score: Option<f64>,
        policy: &DocumentPolicy,
    ) -> Result<(), SelectError> {
        let group = self.groups.of(row);
        let n_tokens = row.n_tokens.unwrap_or(row.n_targets);
        self.n_documents += 1;
        self.groups.get(group).n_documents += 1;
        self.n_tokens = self.n_tokens.saturating_add(n_tokens);
        let ranked = Ranked {
            group,
            key: 0,
            doc_index: row.doc_index,
            score: score.unwrap_or(f64::NAN),
            n_tokens,
            rank: NO_RANK,
            kept: false,
        };
        let Some(score) = score else {
            self.n_null += 1;
            return Ok(self.rest.push(by_doc_index(ranked))?);
        };
        self.range = (self.range.0.min(score), self.range.1.max(score));
        let learnable = row.score(DocumentScore::LearnableFraction).unwrap_or(0.0);
        if !is_above_floor(policy.min_learnable, learnable) {
            return Ok(self.rest.push(by_doc_index(ranked))?);
        }
        self.n_eligible += 1;
        self.groups.get(group).n_eligible += 1;
        let key = policy.order.key(row.doc_index, score);
        Ok(self.eligible.push(Ranked { key, ..ranked })?)
    }

    /// Why documents have no score, as part of a sentence.
    fn why_null(&self) -> String {
        let reasons = self.left_out.unwrap_or_default().reasons();
        let reasons = reasons.iter().map(|(n, what)| format!(": {n} {what}"));
        reasons.collect()
    }

    fn n_below_floor(&self) -> u64 {
        self.n_documents - self.n_eligible - self.n_null
    }
}

/// The row in the order of the file.
fn by_doc_index(row: Ranked) -> Ranked {
    Ranked {
        group: 0,
        key: row.doc_index,
        ..row
    }
}

/// Counts the rows of each group, which come one group after the other.
#[derive(Default)]
struct Places {
    group: Option<u64>,
    next: u64,
}

impl Places {
    fn next_of(&mut self, group: u64) -> u64 {
        if self.group != Some(group) {
            (self.group, self.next) = (Some(group), 0);
        }
        self.next += 1;
        self.next - 1
    }
}

fn sources_of(groups: Groups) -> Vec<SourceSummary> {
    let summary = |group: Group| {
        Some(SourceSummary {
            source: group.source?.to_string(),
            n_documents: group.n_documents,
            n_kept: group.n_kept,
            n_tokens_kept: group.n_tokens_kept,
        })
    };
    let mut sources: Vec<SourceSummary> = groups.all.into_iter().filter_map(summary).collect();
    sources.sort_by(|a, b| a.source.cmp(&b.source));
    sources
}
