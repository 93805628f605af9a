//! Every check of a directory that needs neither the teacher nor the corpus.

use super::columns::FileKind;
use super::label_set::{LabelSet, plan_name, plan_path};
use super::manifest::{MANIFEST_NAME, Manifest};
use super::plan::Plan;
use super::reader::ShardReader;
use super::sidecar::{
    Sidecar, check_file, file_kinds, file_name, part_name, read_sidecar, sidecar_name, sidecar_path,
};
use super::{ShardsError, json};
use crate::storage::StorageError;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::HashSet;
use std::error::Error;
use std::path::Path;
use std::sync::Mutex;

/// How [`verify_files`] reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Findings that are kept; all are counted.
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

/// What was looked at, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Shards of the set.
    pub n_shards: u64,
    /// Rows whose every invariant was checked.
    pub n_rows: u64,
    /// Predicted positions of those rows.
    pub n_targets: u64,
    /// Bytes of Parquet files whose checksums were compared.
    pub n_bytes: u64,
    /// Everything that is wrong.
    pub n_findings: u64,
    /// The first findings, by shard, file and row.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.n_findings == 0
    }

    fn add(&mut self, finding: Finding) {
        self.n_findings += 1;
        self.findings.push(finding);
    }

    fn absorb(&mut self, other: VerifyReport) {
        self.n_rows += other.n_rows;
        self.n_targets = self.n_targets.saturating_add(other.n_targets);
        self.n_bytes = self.n_bytes.saturating_add(other.n_bytes);
        self.n_findings += other.n_findings;
        self.findings.extend(other.findings);
    }
}

/// How far [`verify_files`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Shards that are checked.
    pub n_shards_done: u64,
    /// Shards of the set.
    pub n_shards: u64,
    /// Bytes that are checked.
    pub n_bytes: u64,
}

/// Checks a label directory: that every shard is there with the checksums of its sidecar, schema
/// and metadata of the plan, every row in its slot and with every invariant kept; that the manifest
/// says what the sidecars say; and that no foreign file would be read along. Shards are checked in
/// parallel on rayon's pool; `report` is called after each.
///
/// # Errors
/// Only where nothing can be checked: no plan, one of a later format, or an unreadable directory.
/// All else is a [`Finding`].
pub fn verify_files(
    dir: &Path,
    options: &VerifyOptions,
    report: impl FnMut(VerifyProgress) + Send,
) -> Result<VerifyReport, ShardsError> {
    let set = match LabelSet::open(dir) {
        Ok(set) => set,
        Err(error) => return only_finding(error),
    };
    let mut total = verify_shards(&set, options, report);
    verify_plans(&set, &mut total)?;
    verify_manifest(&set, &mut total);
    verify_listing(&set, &mut total)?;
    total.findings.sort();
    total.findings.truncate(options.max_findings);
    Ok(total)
}

/// A plan that is damaged is a finding, and the last one: without it nothing else can be checked.
fn only_finding(error: ShardsError) -> Result<VerifyReport, ShardsError> {
    let file = match &error {
        ShardsError::Json { path, .. }
        | ShardsError::BrokenSegment { path, .. }
        | ShardsError::SelectionParquet { path, .. }
        | ShardsError::Selection { path, .. } => path,
        ShardsError::InvalidPlan {
            path: Some(path), ..
        } => path,
        _ => return Err(error),
    };
    let name = file
        .file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let mut report = VerifyReport::default();
    report.add(finding(None, name, &error));
    Ok(report)
}

fn verify_shards(
    set: &LabelSet,
    options: &VerifyOptions,
    report: impl FnMut(VerifyProgress) + Send,
) -> VerifyReport {
    let n_shards = u64::from(set.n_shards());
    let total = VerifyReport {
        n_shards,
        ..VerifyReport::default()
    };
    let state = Mutex::new((total, 0u64, report));
    let shards = set
        .segments
        .iter()
        .flat_map(|plan| plan.shards().map(move |s| (plan, s)));
    shards
        .collect::<Vec<_>>()
        .into_par_iter()
        .for_each(|(plan, shard)| {
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
    state.into_inner().expect("no thread panicked").0
}

/// Everything of one shard.
fn verify_shard(dir: &Path, plan: &Plan, shard: u32, max_findings: usize) -> VerifyReport {
    let mut report = VerifyReport::default();
    let name = sidecar_name(shard);
    let sidecar = match read_sidecar(dir, plan, shard) {
        Ok(Some(sidecar)) => sidecar,
        Ok(None) => {
            let message = format!(
                "shard {shard} is not done: run `saltworks label` with the same settings and output directory again"
            );
            report.add(plain_finding(Some(shard), name, message));
            return report;
        }
        Err(error) => {
            report.add(finding(Some(shard), name, &error));
            return report;
        }
    };
    verify_written(
        &sidecar_path(dir, shard),
        &json::to_bytes(&sidecar),
        Some(shard),
        &mut report,
    );
    verify_checksums(dir, shard, &sidecar, &mut report);
    // Rows of a file whose bytes have changed would only repeat that in other words.
    if report.is_clean() {
        verify_rows(dir, plan, &sidecar, max_findings, &mut report);
    }
    report
}

fn verify_checksums(dir: &Path, shard: u32, sidecar: &Sidecar, report: &mut VerifyReport) {
    for file in &sidecar.files {
        match check_file(dir, file) {
            Ok(()) => report.n_bytes = report.n_bytes.saturating_add(file.bytes),
            Err(error) => report.add(finding(Some(shard), file.name.clone(), &error)),
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
        Err(error) => return report.add(finding(Some(shard), name, &error)),
    };
    for i in 0..reader.n_row_groups() {
        let rows = match reader.read_unchecked(i) {
            Ok(rows) => rows,
            Err(error) => {
                report.add(finding(Some(shard), name.clone(), &error));
                continue;
            }
        };
        for (r, row) in rows.iter().enumerate() {
            report.n_rows += 1;
            report.n_targets = report.n_targets.saturating_add(u64::from(row.n_targets));
            match reader.fault_of(i, r, row) {
                None => {}
                Some(_) if report.findings.len() >= max_findings => report.n_findings += 1,
                Some(error) => report.add(finding(Some(shard), name.clone(), &error)),
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

/// Plans are written in one way only, so that a change that parses is noticed all the same.
fn verify_plans(set: &LabelSet, report: &mut VerifyReport) -> Result<(), ShardsError> {
    for (segment, plan) in set.segments.iter().enumerate() {
        let path = plan_path(&set.dir, segment);
        verify_written(&path, &plan.to_json(), None, report);
    }
    Ok(())
}

/// Compares a small file with how its content is written.
fn verify_written(path: &Path, expected: &[u8], shard: Option<u32>, report: &mut VerifyReport) {
    let name = path
        .file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let got = match json::read_if_there(path) {
        Ok(got) => got.unwrap_or_default(),
        Err(error) => return report.add(finding(shard, name, &error)),
    };
    if let Some(difference) = json::difference(&got, expected) {
        let message = format!(
            "{} was changed since it was written ({difference}): restore it, or label again",
            path.display()
        );
        report.add(plain_finding(shard, name, message));
    }
}

/// The manifest must be what finalizing would write now. Where that fails, the shards' own
/// findings say why.
fn verify_manifest(set: &LabelSet, report: &mut VerifyReport) {
    let name = || MANIFEST_NAME.to_owned();
    match Manifest::read(&set.dir) {
        Err(error) => report.add(finding(None, name(), &error)),
        Ok(None) => {
            let message = format!(
                "{} is not finalized: run `saltworks finalize` on it",
                set.dir.display()
            );
            report.add(plain_finding(None, name(), message));
        }
        Ok(Some(_)) => match Manifest::collect(set) {
            Ok(expected) => {
                let path = set.dir.join(MANIFEST_NAME);
                verify_written(&path, &json::to_bytes(&expected), None, report);
            }
            Err(error) if report.is_clean() => report.add(finding(None, name(), &error)),
            Err(_) => {}
        },
    }
}

/// Files that a reader of `scores/*.parquet` or of the sidecars would take for part of the set.
fn verify_listing(set: &LabelSet, report: &mut VerifyReport) -> Result<(), ShardsError> {
    let plans = (0..set.segments.len()).map(plan_name);
    let sidecars = (0..set.n_shards()).map(sidecar_name);
    let known: HashSet<String> = plans.chain(sidecars).collect();
    let is_alike = |name: &str| {
        let stem = name.strip_suffix(".json");
        stem.is_some_and(|s| s.starts_with("part-") || s.starts_with("plan-"))
    };
    for name in names_in(&set.dir)? {
        if is_alike(&name) && !known.contains(&name) {
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
        let known: HashSet<String> = (0..n_parts).map(part_name).collect();
        for name in names_in(&set.dir.join(kind.dir()))? {
            if !known.contains(&name) {
                report.add(foreign(&set.dir, format!("{}/{name}", kind.dir())));
            }
        }
    }
    Ok(())
}

/// Names in a directory but the hidden ones (temporaries); none if there is no directory.
fn names_in(dir: &Path) -> Result<Vec<String>, ShardsError> {
    let io = |source| StorageError::io("list", dir, source);
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(io(source).into()),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry
            .map_err(io)?
            .file_name()
            .to_string_lossy()
            .into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    Ok(names)
}

fn foreign(dir: &Path, name: String) -> Finding {
    let path = dir.join(&name);
    let message = format!(
        "{} is not part of the set, but readers would take it for one: remove it",
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

/// An error as a finding, with its causes.
fn finding(shard: Option<u32>, file: String, error: &ShardsError) -> Finding {
    let mut message = error.to_string();
    let mut cause = error.source();
    // A transparent error repeats its own text as its source's.
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
