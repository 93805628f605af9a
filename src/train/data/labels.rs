//! A finished label directory as a source of sequences.

use super::DataError;
use super::facts::{LabelNeeds, TokenizerFacts};
use super::order::{Group, LabelOrder};
use crate::shards::{
    Attention, Group as GroupOfColumns, LabelSet, Plan, Positions, Provenance, Selection, SeqIdSet,
    ShardsError, SidecarFile, labels_fingerprint,
};
use crate::tokens::{Packing, ViewOptions};
use crate::train::batch::KdLoss;
use crate::train::loss::{Gate, Joining};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How labels are read. All fields but `dir` affect the order, and so the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSourceOptions {
    /// The label directory.
    pub dir: PathBuf,
    /// Selection file, to read only what it keeps.
    pub selection: Option<PathBuf>,
    /// Seed of the order.
    pub seed: u64,
    /// Row groups that are shuffled together, at least 1.
    pub shuffle_row_groups: usize,
}

/// Labels that are complete by manifest and file sizes. Contents are checked as they are read: the BLAKE3 of a
/// shard's files when it is first opened, then the invariants of the columns read of every row. Clones share
/// everything.
#[derive(Debug, Clone)]
pub struct LabelSource {
    pub(super) inner: Arc<Inner>,
    pub(super) groups: Vec<GroupOfColumns>,
    /// Labels of the same sequences by further teachers (see `joined`).
    pub(super) others: Vec<LabelSource>,
    pub(super) joining: Joining,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) set: LabelSet,
    /// Files of each shard, by shard number.
    pub(super) files: Vec<Vec<SidecarFile>>,
    /// Whether each shard's hashes have been checked.
    pub(super) is_verified: Vec<AtomicBool>,
    /// `None` keeps all.
    pub(super) kept: Option<SeqIdSet>,
    note: Option<String>,
    n_segments_left_out: usize,
    pub(super) order: LabelOrder,
}

impl LabelSource {
    /// Opens all segments of a label directory, and the selection.
    ///
    /// # Errors
    /// Labels that are not finalized, have files of other sizes than in their sidecars, or cannot be trained
    /// on; a selection that is not of these labels, or keeps nothing.
    pub fn open(options: &LabelSourceOptions) -> Result<Self, DataError> {
        Self::open_as_of(options, None)
    }

    /// As [`LabelSource::open`], but with the labels as they were when their fingerprint was `then`: segments
    /// added since are ignored. All of them if that fingerprint is unknown.
    ///
    /// # Errors
    /// As [`LabelSource::open`].
    pub fn open_as_of(options: &LabelSourceOptions, then: Option<&str>) -> Result<Self, DataError> {
        if options.shuffle_row_groups == 0 {
            return Err(DataError::Setting {
                key: "data.shuffle_row_groups",
                expected: "at least 1".to_owned(),
                got: "0".to_owned(),
            });
        }
        let whole = LabelSet::open(&options.dir)?;
        let set = then.map_or(whole.clone(), |then| as_of(&whole, then));
        check_context(&set)?;
        // A manifest from before the extension lists exactly the shards that are read.
        let manifest = match set.finished_manifest() {
            Err(_) if set != whole => whole.finished_manifest(),
            manifest => manifest,
        };
        let files: Vec<_> = manifest?.shards.into_iter().map(|s| s.files).collect();
        let selection = options.selection.as_deref();
        let read = selection
            .map(|path| Selection::read_for(path, &set))
            .transpose()?;
        let note = note_of(selection, read.as_ref().map(|read| read.1));
        let kept = read.map(|(selection, _)| selection.kept);
        let groups = kept_groups(&set, kept.as_ref());
        if let (true, Some(path)) = (groups.is_empty(), selection) {
            let (path, reason) = (path.to_path_buf(), "it keeps no sequence".to_owned());
            return Err(ShardsError::Selection { path, reason }.into());
        }
        let is_verified = files.iter().map(|_| AtomicBool::new(false)).collect();
        Ok(LabelSource {
            groups: set.segments[0].signals.groups.clone(),
            others: Vec::new(),
            joining: Joining::default(),
            inner: Arc::new(Inner {
                files,
                is_verified,
                kept,
                note,
                n_segments_left_out: whole.segments.len() - set.segments.len(),
                order: LabelOrder::new(groups, options.seed, options.shuffle_row_groups),
                set,
            }),
        })
    }

    /// The same labels, but reading only the lists of `groups`; the others are empty. Groups that the labels do
    /// not have are ignored. The order of sequences is the same.
    pub fn reading(self, groups: &[GroupOfColumns]) -> Self {
        let is_held = |group: &&GroupOfColumns| self.plan().signals.has(**group);
        let held = groups.iter().filter(is_held).copied().collect();
        let others = self.others.into_iter().map(|other| other.reading(groups));
        Self {
            groups: held,
            others: others.collect(),
            ..self
        }
    }

    /// The groups whose lists are read.
    pub fn groups(&self) -> &[GroupOfColumns] {
        &self.groups
    }

    /// The label directory.
    pub fn dir(&self) -> &Path {
        &self.inner.set.dir
    }

    /// The plan of the first segment; the others differ in their ranges only.
    pub fn plan(&self) -> &Plan {
        &self.inner.set.segments[0]
    }

    /// The plans of all segments.
    pub fn plans(&self) -> &[Plan] {
        &self.inner.set.segments
    }

    /// Usable sequences: all labelled ones, or those that the selection keeps.
    pub fn n_sequences(&self) -> u64 {
        self.inner.order.n_rows
    }

    /// Labelled sequences, kept or not.
    pub fn n_labelled(&self) -> u64 {
        let segments = self.inner.set.segments.iter();
        segments.map(Plan::n_sequences).sum()
    }

    /// Sequences that the selection keeps; `None` without one.
    pub fn n_kept(&self) -> Option<u64> {
        self.inner.kept.as_ref().map(SeqIdSet::len)
    }

    /// A note on what could not be checked about the selection.
    pub fn note(&self) -> Option<&str> {
        self.inner.note.as_deref()
    }

    /// A note if they were extended after the state that is read; `None` if not.
    pub fn note_of_extension(&self) -> Option<String> {
        (self.inner.n_segments_left_out > 0).then(|| {
            format!(
                "{} was extended since this run started; the run reads the {} sequences that it had then",
                self.dir().display(),
                self.n_labelled()
            )
        })
    }

    /// One identity for all of these labels.
    pub fn fingerprint(&self) -> String {
        labels_fingerprint(&self.inner.set)
    }

    /// V: every id is below it. It is the tokenizer's if the labels record one, since labels omit logits of a
    /// padded head.
    pub fn vocab_size(&self) -> u32 {
        self.plan().teacher.vocab_size
    }

    /// How the sequences were cut; the whole run uses the same.
    pub fn view(&self) -> ViewOptions {
        let sequences = &self.plan().sequences;
        ViewOptions {
            packing: sequences.packing,
            seq_len: sequences.seq_len,
            sequence_bos: sequences.sequence_bos,
        }
    }

    /// What the labels record about their tokenizer.
    pub fn tokenizer(&self) -> TokenizerFacts {
        let tokenizer = self.plan().tokenizer.as_ref();
        TokenizerFacts {
            fingerprint: tokenizer.map(|tokenizer| tokenizer.fingerprint.clone()),
            vocab_size: self.vocab_size(),
            source: self.dir().display().to_string(),
        }
    }

    /// Refuses labels of another tokenizer or vocabulary than the run's. Returns a note if only the vocabulary
    /// could be compared.
    ///
    /// # Errors
    /// [`DataError::Vocabulary`], [`DataError::Tokenizer`].
    pub fn check_tokenizer(&self, facts: &TokenizerFacts) -> Result<Option<String>, DataError> {
        facts.check(self.dir(), &self.tokenizer())
    }

    /// Refuses labels that lack something the run needs, and returns the index of `tau` among the labels' extra
    /// temperatures; `None` if tau is 1 (see `KdPolicy::tau_idx`).
    ///
    /// # Errors
    /// [`DataError::Needs`], naming the key.
    pub fn check_needs(&self, needs: &LabelNeeds) -> Result<Option<usize>, DataError> {
        let signals = &self.plan().signals;
        if let (Some(key), false) = (
            reader_of_stats(needs.gate),
            signals.has(GroupOfColumns::Stats),
        ) {
            return Err(self.lacks_group(key, "stats"));
        }
        if needs.teacher_nll && !signals.has(GroupOfColumns::Stats) {
            return Err(self.lacks_group("kd.transition = \"auto\"", "stats"));
        }
        if needs.loss == KdLoss::Sampled {
            return self.check_draws(needs.tau).map(|()| None);
        }
        if !signals.has(GroupOfColumns::Topk) {
            return Err(self.lacks_group("kd.loss", "topk"));
        }
        if signals.top_k < needs.min_top_k {
            return Err(self.lacks(
                "kd.loss",
                format!("{} top-k ids per position", needs.min_top_k),
                format!("K = {}", signals.top_k),
                "label again with a larger --top-k",
            ));
        }
        self.tau_idx(needs.tau)
    }

    fn tau_idx(&self, tau: f64) -> Result<Option<usize>, DataError> {
        if tau == 1.0 {
            return Ok(None);
        }
        let taus = &self.plan().signals.temperatures;
        if let Some(idx) = taus.iter().position(|&stored| stored == tau) {
            return Ok(Some(idx));
        }
        let found = match taus.is_empty() {
            true => "only temperature 1".to_owned(),
            false => format!("1, {}", list(taus)),
        };
        Err(self.lacks(
            "kd.tau",
            format!("log-partitions at {tau}"),
            found,
            "use one of those, or label again with this one in --temperatures",
        ))
    }

    /// Refuses labels without `group`, which `what` reads.
    ///
    /// # Errors
    /// [`DataError::Needs`].
    pub fn check_group(&self, what: &'static str, group: GroupOfColumns) -> Result<(), DataError> {
        if self.plan().signals.has(group) {
            return Ok(());
        }
        Err(self.lacks_group(what, &format!("{group:?}").to_lowercase()))
    }

    fn lacks_group(&self, what: &'static str, group: &str) -> DataError {
        let groups = self.plan().signals.groups.iter();
        let found = groups.map(|group| format!("{group:?}").to_lowercase());
        self.lacks(
            what,
            format!("the group {group}"),
            found.collect::<Vec<_>>().join(", "),
            "label again with it in --groups",
        )
    }

    /// Draws are unbiased only at the temperature at which they were made.
    fn check_draws(&self, tau: f64) -> Result<(), DataError> {
        let Some(samples) = &self.plan().signals.samples else {
            return Err(self.lacks_group("kd.loss = \"sampled\"", "samples"));
        };
        if samples.tau == tau {
            return Ok(());
        }
        Err(self.lacks(
            "kd.loss = \"sampled\"",
            format!("samples at kd.tau, {tau}"),
            format!("samples at {}", samples.tau),
            "set kd.tau to that, or kd.loss to \"tail-bucket\", or label again with another --samples-tau",
        ))
    }

    fn lacks(
        &self,
        what: &'static str,
        needed: String,
        found: String,
        remedy: &'static str,
    ) -> DataError {
        DataError::Needs {
            what,
            needed,
            found,
            remedy,
            dir: self.dir().to_path_buf(),
        }
    }

    /// The distinct sequences among the first `n` of the order, in increasing order. Reads nothing: the plans
    /// map rows to sequences.
    pub fn first_seq_ids(&self, n: u64) -> Vec<u64> {
        let order = &self.inner.order;
        let n = n.min(order.n_rows);
        let mut is_whole = vec![false; order.groups.len()];
        let mut seq_ids = Vec::with_capacity(n as usize);
        let epoch = order.epoch(0);
        let mut position = 0;
        while position < n {
            let window = order.window(&epoch, position);
            if window.end() <= n {
                window.groups.iter().for_each(|&g| is_whole[g] = true);
            } else {
                let rows: Vec<u64> = window
                    .groups
                    .iter()
                    .flat_map(|&g| self.inner.kept_rows(order.groups[g]))
                    .collect();
                seq_ids.extend((position..n).map(|p| rows[window.row_at(p)]));
            }
            position = window.end();
        }
        self.inner.collect_groups(&is_whole, &mut seq_ids);
        seq_ids.sort_unstable();
        seq_ids
    }
}

impl Inner {
    /// The segment that contains `shard`.
    pub(super) fn plan_of(&self, shard: u32) -> &Plan {
        let plan = self.set.segment_of_shard(shard);
        plan.expect("the order holds shards of the set only")
    }

    pub(super) fn keeps(&self, seq_id: u64) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.contains(seq_id))
    }

    /// Kept seq_ids of a row group, in row order.
    fn kept_rows(&self, group: Group) -> Vec<u64> {
        let mut groups = self.plan_of(group.shard).row_groups(group.shard);
        let mut seq_ids = groups.swap_remove(group.row_group as usize);
        seq_ids.retain(|&seq_id| self.keeps(seq_id));
        seq_ids
    }

    /// Appends the kept seq_ids of the marked groups, computing the rows of each shard once.
    fn collect_groups(&self, is_marked: &[bool], seq_ids: &mut Vec<u64>) {
        let marked = self.order.groups.iter().zip(is_marked);
        let marked: Vec<Group> = marked.filter(|(_, m)| **m).map(|(g, _)| *g).collect();
        for of_shard in marked.chunk_by(|a, b| a.shard == b.shard) {
            let shard = of_shard[0].shard;
            let rows = self.plan_of(shard).row_groups(shard);
            for group in of_shard {
                let rows = rows[group.row_group as usize].iter();
                seq_ids.extend(rows.copied().filter(|&seq_id| self.keeps(seq_id)));
            }
        }
    }
}

/// The segments that made up the labels when their fingerprint was `then`; all if none match.
fn as_of(whole: &LabelSet, then: &str) -> LabelSet {
    let first = |n| LabelSet {
        dir: whole.dir.clone(),
        segments: whole.segments[..n].to_vec(),
    };
    let mut prefixes = (1..=whole.segments.len()).map(first);
    let found = prefixes.find(|set| labels_fingerprint(set) == then);
    found.unwrap_or_else(|| whole.clone())
}

/// The setting for the gate if it reads the group `stats`.
fn reader_of_stats(gate: Gate) -> Option<&'static str> {
    match gate {
        Gate::None => None,
        Gate::Learnable => Some("kd.gate = \"learnable\""),
        Gate::Entropy => Some("kd.gate = \"entropy\""),
        Gate::Agreement => Some("kd.gate = \"agreement\""),
        Gate::Excess => Some("kd.gate = \"excess\""),
    }
}

/// A note on what a selection does not record.
fn note_of(path: Option<&Path>, provenance: Option<Provenance>) -> Option<String> {
    let (path, provenance) = (path?, provenance?);
    (provenance == Provenance::Unnamed).then(|| {
        format!(
            "{} does not record the labels it was made for: only its sequence numbers were compared with theirs",
            path.display()
        )
    })
}

/// Refuses a context that the model does not support.
fn check_context(set: &LabelSet) -> Result<(), DataError> {
    let refuse = |what| {
        Err(DataError::Context {
            dir: set.dir.clone(),
            what,
        })
    };
    for plan in &set.segments {
        let sequences = &plan.sequences;
        if !plan.signals.has_positions() {
            return Err(DataError::ScoresOnly {
                dir: set.dir.clone(),
            });
        }
        if sequences.positions == Positions::Restart {
            return refuse("positions that restart at every document (positions = restart)");
        }
        if sequences.attention == Attention::Document && sequences.packing == Packing::Concat {
            return refuse(
                "documents packed into one sequence that do not attend to each other (attention = document, packing = concat)",
            );
        }
    }
    Ok(())
}

/// All row groups with a kept row, by shard and row group.
fn kept_groups(set: &LabelSet, kept: Option<&SeqIdSet>) -> Vec<Group> {
    let mut groups = Vec::new();
    for plan in &set.segments {
        for shard in plan.shards() {
            groups_of_shard(plan, shard, kept, &mut groups);
        }
    }
    groups
}

fn groups_of_shard(plan: &Plan, shard: u32, kept: Option<&SeqIdSet>, groups: &mut Vec<Group>) {
    let mut push = |row_group: usize, n_rows: u64| {
        // A row group holds fewer than 2^31 values, so fewer rows.
        if n_rows > 0 {
            groups.push(Group {
                shard,
                row_group: row_group as u32,
                n_rows: n_rows as u32,
            });
        }
    };
    let Some(kept) = kept else {
        let per_group = plan.layout.rows_per_row_group;
        let n_rows = plan.n_rows(shard);
        let n_groups = n_rows.div_ceil(per_group);
        (0..n_groups).for_each(|g| push(g as usize, per_group.min(n_rows - g * per_group)));
        return;
    };
    for (row_group, seq_ids) in plan.row_groups(shard).iter().enumerate() {
        let n_kept = seq_ids.iter().filter(|&&id| kept.contains(id)).count();
        push(row_group, n_kept as u64);
    }
}

fn list(numbers: &[f64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(f64::to_string).collect();
    numbers.join(", ")
}
