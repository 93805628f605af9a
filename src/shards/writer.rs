//! Writes rows into a published shard.

use super::check::{Checker, Parts};
use super::columns::FileKind;
use super::encode::FileEncoder;
use super::names::{file_name, sidecar_path};
use super::plan::{FORMAT_VERSION, Plan};
use super::reader::{self, ShardReader};
use super::row::Row;
use super::row_fault::RowFault;
use super::sidecar::{RuntimeStamp, Sidecar, SidecarFile, file_kinds, read_sidecar};
use super::{ShardsError, json};
use crate::storage::{self, Partial, Publish, Sealed};
use std::path::{Path, PathBuf};

/// Writes one shard, row group by row group, and publishes it as a whole. If dropped before that, it leaves nothing.
pub struct ShardWriter {
    dir: PathBuf,
    plan: Plan,
    shard: u32,
    checker: Checker,
    /// seq_ids of the remaining row groups.
    groups: std::iter::Enumerate<std::vec::IntoIter<Vec<u64>>>,
    files: Vec<(FileKind, FileEncoder<Partial>)>,
    /// Whether every row comes with the sums of its documents.
    has_pieces: bool,
    n_rows: u64,
    n_targets: u64,
}

impl ShardWriter {
    /// Starts `shard` of `plan` in the directory `dir`: opens its temporaries, and removes those that killed writers of
    /// this shard left.
    ///
    /// # Errors
    /// [`ShardsError::NoSuchShard`], and I/O failures.
    pub fn create(dir: &Path, plan: &Plan, shard: u32) -> Result<Self, ShardsError> {
        Self::open(dir, plan, shard, false)
    }

    /// Like [`ShardWriter::create`], for rows with [`Row::pieces`], which are stored.
    ///
    /// # Errors
    /// Those of [`ShardWriter::create`].
    pub fn create_with_pieces(dir: &Path, plan: &Plan, shard: u32) -> Result<Self, ShardsError> {
        Self::open(dir, plan, shard, true)
    }

    fn open(dir: &Path, plan: &Plan, shard: u32, has_pieces: bool) -> Result<Self, ShardsError> {
        reader::check_shard(plan, shard)?;
        let files: Result<_, ShardsError> = file_kinds(plan)
            .map(|kind| Ok((kind, create_file(dir, plan, shard, kind, has_pieces)?)))
            .collect();
        Ok(ShardWriter {
            dir: dir.to_path_buf(),
            plan: plan.clone(),
            shard,
            checker: Checker::new(plan),
            groups: plan.row_groups(shard).into_iter().enumerate(),
            files: files?,
            has_pieces,
            n_rows: 0,
            n_targets: 0,
        })
    }

    /// Writes the plan's next row group, to which `rows` must correspond exactly.
    ///
    /// # Errors
    /// [`ShardsError::RowGroup`]; [`ShardsError::RefusedRow`] with the first broken invariant, before any of the row
    /// group is written; I/O failures.
    pub fn write_row_group(&mut self, rows: &[Row]) -> Result<(), ShardsError> {
        let (row_group, seq_ids) = match self.groups.next() {
            Some((row_group, seq_ids)) => (row_group, seq_ids),
            None => (self.plan.row_groups(self.shard).len(), Vec::new()),
        };
        if rows.is_empty() || rows.len() != seq_ids.len() {
            return Err(ShardsError::RowGroup {
                shard: self.shard,
                row_group,
                expected: seq_ids.len(),
                got: rows.len(),
            });
        }
        self.check_rows(rows, &seq_ids)?;
        for (kind, encoder) in &mut self.files {
            let path = self.dir.join(file_name(*kind, self.shard));
            encoder
                .write_row_group(rows)
                .map_err(|error| ShardsError::of_encoder(&path, error))?;
        }
        self.n_rows += rows.len() as u64;
        self.n_targets += rows.iter().map(|row| u64::from(row.n_targets)).sum::<u64>();
        Ok(())
    }

    fn check_rows(&mut self, rows: &[Row], seq_ids: &[u64]) -> Result<(), ShardsError> {
        for (i, (row, &seq_id)) in rows.iter().zip(seq_ids).enumerate() {
            let checked = match self.has_pieces && row.pieces.is_empty() {
                true => Err(RowFault::Pieces {
                    what: "there are none, but this shard keeps them",
                }),
                false => self.checker.check(row, seq_id, Parts::Both),
            };
            checked.map_err(|source| ShardsError::RefusedRow {
                shard: self.shard,
                row: self.n_rows + i as u64,
                seq_id: row.seq_id,
                source,
            })?;
        }
        Ok(())
    }

    /// Completes the shard: footers, fsync, a check of what was written, then publication, scores first and the sidecar
    /// last. If a name is taken, equal bytes stay; a file that is not a whole shard, or does not match a sidecar, is
    /// replaced; anything else is [`ShardsError::DifferentBytes`].
    ///
    /// # Errors
    /// [`ShardsError::RowGroup`] if row groups are missing; [`ShardsError::DifferentBytes`]; I/O failures, after which
    /// the shard is not done and can be made again.
    pub fn seal_and_publish(mut self, runtime: &RuntimeStamp) -> Result<Sidecar, ShardsError> {
        if let Some((row_group, seq_ids)) = self.groups.next() {
            return Err(ShardsError::RowGroup {
                shard: self.shard,
                row_group,
                expected: seq_ids.len(),
                got: 0,
            });
        }
        let mut sealed = Vec::new();
        for (kind, encoder) in self.files {
            let path = self.dir.join(file_name(kind, self.shard));
            let partial = encoder
                .finish()
                .map_err(|error| ShardsError::of_encoder(&path, error))?;
            sealed.push((kind, partial.seal()?));
        }
        for (kind, file) in &sealed {
            reader::check_seq_ids(file.temp_path(), &self.plan, self.shard, *kind)?;
        }
        let sidecar = Sidecar {
            format_version: FORMAT_VERSION,
            shard: self.shard,
            plan_fingerprint: self.plan.fingerprint(),
            rows: self.n_rows,
            n_targets: self.n_targets,
            files: sealed
                .iter()
                .map(|(kind, file)| {
                    SidecarFile::new(file_name(*kind, self.shard), file.hash.clone())
                })
                .collect(),
            runtime: runtime.clone(),
        };
        publish(&self.dir, &self.plan, sidecar, sealed)
    }
}

fn create_file(
    dir: &Path,
    plan: &Plan,
    shard: u32,
    kind: FileKind,
    has_pieces: bool,
) -> Result<FileEncoder<Partial>, ShardsError> {
    let sub = dir.join(kind.dir());
    storage::make_dirs(&sub)?;
    let path = dir.join(file_name(kind, shard));
    let partial = Partial::create(&path)?;
    FileEncoder::new(partial, plan, shard, kind, has_pieces)
        .map_err(|error| ShardsError::of_encoder(&path, error))
}

/// Gives the files of a shard their final names, then the sidecar.
fn publish(
    dir: &Path,
    plan: &Plan,
    sidecar: Sidecar,
    sealed: Vec<(FileKind, Sealed)>,
) -> Result<Sidecar, ShardsError> {
    let claim = earlier_claim(dir, plan, &sidecar)?;
    for ((kind, file), ours) in sealed.into_iter().zip(&sidecar.files) {
        let path = dir.join(&ours.name);
        remove_broken(&path, plan, &sidecar, ours, kind, claim.as_ref())?;
        if file.publish()? == Publish::AlreadyThere {
            // Another process was faster since `remove_broken` looked; equal bytes are as good as ours.
            expect_same_bytes(&path, &sidecar, ours, claim.as_ref())?;
        }
    }
    publish_sidecar(dir, plan, sidecar)
}

/// The existing sidecar, if it is a whole one. It must claim our bytes.
fn earlier_claim(dir: &Path, plan: &Plan, ours: &Sidecar) -> Result<Option<Sidecar>, ShardsError> {
    let claim = match read_sidecar(dir, plan, ours.shard) {
        Ok(claim) => claim,
        Err(ShardsError::Json { .. } | ShardsError::Sidecar { .. }) => None,
        Err(error) => return Err(error),
    };
    match claim {
        Some(claim) if claim.files != ours.files => Err(ShardsError::DifferentBytes {
            path: sidecar_path(dir, ours.shard),
            ours: ours.runtime.to_string(),
            theirs: claim.runtime.to_string(),
        }),
        claim => Ok(claim),
    }
}

/// Removes a file with this name that is not a whole shard: left by a process killed in the middle of a copy, or
/// damaged since. A file that can be read stays.
fn remove_broken(
    path: &Path,
    plan: &Plan,
    sidecar: &Sidecar,
    ours: &SidecarFile,
    kind: FileKind,
    claim: Option<&Sidecar>,
) -> Result<(), ShardsError> {
    let Some(before) = storage::identity(path)? else {
        return Ok(());
    };
    if storage::hash_file(path)?.blake3 == ours.blake3 {
        return Ok(());
    }
    // A whole sidecar claims exactly our bytes (`earlier_claim`), so this file has changed since.
    let read = ShardReader::open_file(path, plan, sidecar.shard, kind)
        .and_then(|mut reader| reader.try_for_each(|group| group.map(drop)));
    let is_whole = match read {
        Ok(()) => true,
        // A file that could not be read may be whole.
        Err(error) if error.is_unread() => return Err(error),
        Err(_) => false,
    };
    if is_whole && claim.is_none() {
        return expect_same_bytes(path, sidecar, ours, claim);
    }
    Ok(storage::remove_if_unchanged(path, &before)?)
}

fn expect_same_bytes(
    path: &Path,
    sidecar: &Sidecar,
    ours: &SidecarFile,
    claim: Option<&Sidecar>,
) -> Result<(), ShardsError> {
    if storage::hash_file(path)?.blake3 == ours.blake3 {
        return Ok(());
    }
    Err(ShardsError::DifferentBytes {
        path: path.to_path_buf(),
        ours: sidecar.runtime.to_string(),
        theirs: claim.map_or_else(|| "unknown".to_owned(), |c| c.runtime.to_string()),
    })
}

/// Writes the sidecar, unless an earlier one claims the same files: that one stays.
fn publish_sidecar(dir: &Path, plan: &Plan, sidecar: Sidecar) -> Result<Sidecar, ShardsError> {
    let path = sidecar_path(dir, sidecar.shard);
    let bytes = json::to_bytes(&sidecar);
    if storage::create_if_absent(&path, &bytes)? == Publish::Created {
        return Ok(sidecar);
    }
    match earlier_claim(dir, plan, &sidecar)? {
        Some(earlier) => Ok(earlier),
        None => {
            storage::replace(&path, &bytes)?;
            Ok(sidecar)
        }
    }
}
