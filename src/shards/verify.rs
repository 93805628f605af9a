//! All checks of a directory that need neither the teacher nor the corpus.

use super::columns::FileKind;
use super::documents::{
    DOCUMENTS_DIR, DocumentsIndex, INDEX_NAME, check_document_parts, open_documents,
};
use super::label_set::LabelSet;
use super::manifest::Manifest;
use super::names::{
    MANIFEST_NAME, file_name, plan_name, plan_path, shard_of, shard_of_part, sidecar_name,
    sidecar_path,
};
use super::place::names_in;
use super::plan::Plan;
use super::reader::ShardReader;
use super::sidecar::{Sidecar, check_file, file_kinds, read_sidecar_as_written};
use super::{ShardsError, json};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::HashSet;
use std::error::Error;
use std::path::Path;
use std::sync::Mutex;

/// How [`verify_files`] reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Most findings that are kept; all are counted.
    pub max_findings: usize,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        VerifyOptions { max_findings: 100 }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The shard, if it is about one.
    pub shard: Option<u32>,
    /// The file inside the label directory.
    pub file: String,
    /// The row in the shard, if it is about one.
    pub row: Option<u64>,
    /// That row's sequence.
    pub seq_id: Option<u64>,
    /// What is wrong, and what to do.
    pub message: String,
}

/// What was checked, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Shards of the set.
    pub n_shards: u64,
    /// Rows that were completely checked.
    pub n_rows: u64,
    /// Predicted positions of those rows.
    pub n_targets: u64,
    /// Bytes of Parquet files whose checksums were compared.
    pub n_bytes: u64,
    /// Everything that is wrong.
    pub n_findings: u64,
    /// The first findings, by shard, file and row.
    pub findings: Vec<Finding>,
    /// Files that could not be read, so that nothing is known about them.
    pub n_unread: u64,
    /// The first of those, by shard and file, each with the system's error.
    pub unread: Vec<Finding>,
}

impl VerifyReport {
    /// Whether everything was checked, and nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.n_findings == 0 && self.n_unread == 0
    }

    fn add(&mut self, finding: Finding) {
        self.n_findings += 1;
        self.findings.push(finding);
    }

    /// Adds an error about `file`: a finding, unless the system refused to read it.
    fn add_error(&mut self, shard: Option<u32>, file: String, error: &ShardsError) {
        let finding = finding(shard, file, error);
        if error.is_unread() {
            self.n_unread += 1;
            self.unread.push(finding);
        } else {
            self.add(finding);
        }
    }

    /// Keeps the first findings, by shard, file and row.
    fn sort_and_cut(&mut self, max_findings: usize) {
        for findings in [&mut self.findings, &mut self.unread] {
            findings.sort();
            findings.truncate(max_findings);
        }
    }

    fn absorb(&mut self, other: VerifyReport) {
        self.n_rows += other.n_rows;
        self.n_targets = self.n_targets.saturating_add(other.n_targets);
        self.n_bytes = self.n_bytes.saturating_add(other.n_bytes);
        self.n_findings += other.n_findings;
        self.findings.extend(other.findings);
        self.n_unread += other.n_unread;
        self.unread.extend(other.unread);
    }
}

/// The progress of [`verify_files`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct VerifyProgress {
    /// Shards checked.
    pub n_shards_done: u64,
    /// Shards of the set.
    pub n_shards: u64,
    /// Bytes checked.
    pub n_bytes: u64,
}

/// Checks a label directory: that every shard is there with the checksums of its sidecar and the schema and metadata of
/// the plan, every row in its slot and with every invariant kept; that the manifest matches the sidecars; and that
/// there are no other files that readers would include. Shards are checked in parallel on rayon's pool; `report` is
/// called after each.
///
/// # Errors
/// Only if nothing can be checked: no plan, one of a later format, or an unreadable directory. Anything else is a
/// [`Finding`], or counted as unread.
pub fn verify_files(
    dir: &Path,
    options: &VerifyOptions,
    report: impl FnMut(VerifyProgress) + Send,
) -> Result<VerifyReport, ShardsError> {
    let set = match LabelSet::open(dir) {
        Ok(set) => set,
        Err(error) => return only_finding(error),
    };
    let mut total = verify_shards(&set, options, report)?;
    verify_plans(&set, &mut total)?;
    verify_manifest(&set, &mut total);
    verify_documents(&set, &mut total)?;
    verify_listing(&set, &mut total)?;
    total.sort_and_cut(options.max_findings);
    Ok(total)
}

/// A damaged plan is a finding, and the last one: without it nothing else can be checked.
fn only_finding(error: ShardsError) -> Result<VerifyReport, ShardsError> {
    let file = match &error {
        ShardsError::Json { path, .. }
        | ShardsError::BrokenSegment { path, .. }
        | ShardsError::SelectionParquet { path, .. }
        | ShardsError::Selection { path, .. } => path,
        _ if error.is_unread() => return Err(error),
        ShardsError::InvalidPlan {
            path: Some(path), ..
        } => path,
        _ => return Err(error),
    };
    let mut report = VerifyReport::default();
    report.add(finding(None, name_of(file), &error));
    Ok(report)
}

/// Shards with a sidecar are read; the others are counted, and the first of them named, since a plan may claim any
/// number.
fn verify_shards(
    set: &LabelSet,
    options: &VerifyOptions,
    report: impl FnMut(VerifyProgress) + Send,
) -> Result<VerifyReport, ShardsError> {
    let n_shards = u64::from(set.n_shards());
    let finished = set.finished_shards()?;
    let mut total = VerifyReport {
        n_shards,
        ..VerifyReport::default()
    };
    add_missing(set, &finished, options.max_findings, &mut total);
    let n_missing = n_shards.saturating_sub(finished.len() as u64);
    let state = Mutex::new((total, n_missing, report));
    finished.into_par_iter().for_each(|(plan, shard)| {
        let of_shard = verify_shard(&set.dir, plan, shard, options.max_findings);
        let mut state = state
            .lock()
            .expect("no thread panics while it holds the lock");
        let (total, n_shards_done, report) = &mut *state;
        total.absorb(of_shard);
        *n_shards_done += 1;
        report(VerifyProgress {
            n_shards_done: *n_shards_done,
            n_shards,
            n_bytes: total.n_bytes,
        });
    });
    Ok(state.into_inner().expect("no thread panicked").0)
}

fn add_missing(
    set: &LabelSet,
    finished: &[(&Plan, u32)],
    max_findings: usize,
    report: &mut VerifyReport,
) {
    let finished_shards: HashSet<u32> = finished.iter().map(|&(_, shard)| shard).collect();
    let shards = set.segments.iter().flat_map(Plan::shards);
    let missing = shards.filter(|shard| !finished_shards.contains(shard));
    let n_missing = u64::from(set.n_shards()).saturating_sub(finished_shards.len() as u64);
    for shard in missing.take(max_findings.min(n_missing as usize)) {
        report.findings.push(not_done(shard));
    }
    report.n_findings += n_missing;
}

fn not_done(shard: u32) -> Finding {
    let message = format!(
        "shard {shard} is missing: run `saltworks label` with the same settings and output directory again"
    );
    plain_finding(Some(shard), sidecar_name(shard), message)
}

/// Checks everything about one shard.
fn verify_shard(dir: &Path, plan: &Plan, shard: u32, max_findings: usize) -> VerifyReport {
    let mut report = VerifyReport::default();
    let name = sidecar_name(shard);
    let (sidecar, bytes) = match read_sidecar_as_written(dir, plan, shard) {
        Ok(Some(read)) => read,
        Ok(None) => {
            report.add(not_done(shard));
            return report;
        }
        Err(error) => {
            report.add_error(Some(shard), name, &error);
            return report;
        }
    };
    let path = sidecar_path(dir, shard);
    compare_written(
        &path,
        &bytes,
        &json::to_bytes(&sidecar),
        Some(shard),
        &mut report,
    );
    verify_checksums(dir, shard, &sidecar, &mut report);
    // If the file's bytes have changed, findings about its rows would only repeat that.
    if report.is_clean() {
        verify_rows(dir, plan, &sidecar, max_findings, &mut report);
    }
    report
}

fn verify_checksums(dir: &Path, shard: u32, sidecar: &Sidecar, report: &mut VerifyReport) {
    for file in &sidecar.files {
        match check_file(dir, file) {
            Ok(()) => report.n_bytes = report.n_bytes.saturating_add(file.bytes),
            Err(error) => report.add_error(Some(shard), file.name.clone(), &error),
        }
    }
}

fn verify_rows(
    dir: &Path,
    plan: &Plan,
    sidecar: &Sidecar,
    max_findings: usize,
    report: &mut VerifyReport,
) {
    let shard = sidecar.shard;
    let kind = match plan.signals.has_positions() {
        true => FileKind::Positions,
        false => FileKind::Scores,
    };
    let name = file_name(kind, shard);
    let mut reader = match ShardReader::open(dir, plan, shard) {
        Ok(reader) => reader,
        Err(error) => return report.add_error(Some(shard), name, &error),
    };
    for i in 0..reader.n_row_groups() {
        let rows = match reader.read_unchecked(i) {
            Ok(rows) => rows,
            Err(error) => {
                report.add_error(Some(shard), name.clone(), &error);
                continue;
            }
        };
        for (r, row) in rows.iter().enumerate() {
            report.n_rows += 1;
            report.n_targets = report.n_targets.saturating_add(u64::from(row.n_targets));
            match reader.fault_of(i, r, row) {
                None => {}
                Some(_) if report.findings.len() >= max_findings => report.n_findings += 1,
                Some(error) => report.add_error(Some(shard), name.clone(), &error),
            }
        }
    }
    if report.is_clean() && report.n_targets != sidecar.n_targets {
        let (got, expected) = (sidecar.n_targets, report.n_targets);
        let message = format!(
            "n_targets is {got}, but the rows have {expected}; remove that file and label again with the same settings"
        );
        report.add(plain_finding(Some(shard), sidecar_name(shard), message));
    }
}

/// Plans have only one spelling, so that any change is noticed even if it parses.
fn verify_plans(set: &LabelSet, report: &mut VerifyReport) -> Result<(), ShardsError> {
    for (segment, plan) in set.segments.iter().enumerate() {
        let path = plan_path(&set.dir, segment);
        verify_written(&path, &plan.to_json(), None, report);
    }
    Ok(())
}

/// Compares a small file with the canonical form of its content.
fn verify_written(path: &Path, expected: &[u8], shard: Option<u32>, report: &mut VerifyReport) {
    match json::read_if_exists(path) {
        Ok(got) => compare_written(path, &got.unwrap_or_default(), expected, shard, report),
        Err(error) => report.add_error(shard, name_of(path), &error),
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name();
    name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// The same, for a file that was already read.
fn compare_written(
    path: &Path,
    got: &[u8],
    expected: &[u8],
    shard: Option<u32>,
    report: &mut VerifyReport,
) {
    let name = name_of(path);
    if let Some(difference) = json::difference(got, expected) {
        let message = format!(
            "{} has changed since it was written ({difference}): restore it, or label again",
            path.display()
        );
        report.add(plain_finding(shard, name, message));
    }
}

/// The manifest must be what finalizing would write now. If that fails, the shards' own findings tell why.
fn verify_manifest(set: &LabelSet, report: &mut VerifyReport) {
    let name = || MANIFEST_NAME.to_owned();
    match Manifest::read(&set.dir) {
        Err(error) => report.add_error(None, name(), &error),
        Ok(None) => {
            let message = format!(
                "{} is not finalized: run `saltworks finalize` on it",
                set.dir.display()
            );
            report.add(plain_finding(None, name(), message));
        }
        Ok(Some(manifest)) => match manifest.collect_like(set) {
            Ok(expected) => {
                let path = set.dir.join(MANIFEST_NAME);
                verify_written(&path, &json::to_bytes(&expected), None, report);
            }
            Err(error) if report.is_clean() => report.add_error(None, name(), &error),
            Err(_) => {}
        },
    }
}

/// Documents, if there are any, match the manifest, in exactly the files that were written.
fn verify_documents(set: &LabelSet, report: &mut VerifyReport) -> Result<(), ShardsError> {
    let index_name = format!("{DOCUMENTS_DIR}/{INDEX_NAME}");
    let n_parts = match DocumentsIndex::read(&set.dir) {
        Ok(None) => 0,
        Ok(Some(index)) => {
            check_document_parts(&set.dir, &index, |name, error| {
                report.add_error(None, name.to_owned(), &error);
            });
            index.parts.len()
        }
        Err(error) => {
            report.add_error(None, index_name, &error);
            return Ok(());
        }
    };
    // A missing manifest is a finding of its own.
    if n_parts > 0
        && Manifest::read(&set.dir).is_ok_and(|manifest| manifest.is_some())
        && let Err(error) = open_documents(set)
    {
        report.add_error(None, index_name, &error);
    }
    for name in names_in(&set.dir.join(DOCUMENTS_DIR))? {
        let is_part = shard_of_part(&name).is_some_and(|part| (part as usize) < n_parts);
        if name != INDEX_NAME && !is_part {
            report.add(foreign(&set.dir, format!("{DOCUMENTS_DIR}/{name}")));
        }
    }
    Ok(())
}

/// Files that a reader of `scores/*.parquet` or of the sidecars would take for part of the set.
fn verify_listing(set: &LabelSet, report: &mut VerifyReport) -> Result<(), ShardsError> {
    let plans: HashSet<String> = (0..set.segments.len()).map(plan_name).collect();
    let is_known = |name: &str| {
        plans.contains(name) || shard_of(name).is_some_and(|shard| shard < set.n_shards())
    };
    let is_alike = |name: &str| {
        let stem = name.strip_suffix(".json");
        stem.is_some_and(|s| s.starts_with("part-") || s.starts_with("plan-"))
    };
    for name in names_in(&set.dir)? {
        if is_alike(&name) && !is_known(&name) {
            report.add(foreign(&set.dir, name));
        }
    }
    let has_files = |kind| {
        set.segments
            .iter()
            .any(|p| file_kinds(p).any(|k| k == kind))
    };
    for kind in FileKind::ALL {
        let n_parts = if has_files(kind) { set.n_shards() } else { 0 };
        for name in names_in(&set.dir.join(kind.dir()))? {
            if shard_of_part(&name).is_none_or(|shard| shard >= n_parts) {
                report.add(foreign(&set.dir, format!("{}/{name}", kind.dir())));
            }
        }
    }
    Ok(())
}

fn foreign(dir: &Path, name: String) -> Finding {
    let path = dir.join(&name);
    let message = format!(
        "{} is not part of the set, but readers would treat it as a shard: remove it",
        path.display()
    );
    plain_finding(None, name, message)
}

fn plain_finding(shard: Option<u32>, file: String, message: String) -> Finding {
    Finding {
        shard,
        file,
        row: None,
        seq_id: None,
        message,
    }
}

/// An error as a finding, including its causes.
fn finding(shard: Option<u32>, file: String, error: &ShardsError) -> Finding {
    let mut message = error.to_string();
    let mut cause = error.source();
    // A transparent error has the same text as its source.
    while let Some(inner) = cause {
        message = format!("{message}: {inner}");
        cause = inner.source();
    }
    let (row, seq_id) = match error {
        ShardsError::Row { row, seq_id, .. } => (Some(*row), Some(*seq_id)),
        _ => (None, None),
    };
    Finding {
        shard,
        file,
        row,
        seq_id,
        message,
    }
}
