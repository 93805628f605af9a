//! Reads a published shard back into rows and checks every invariant.

use super::ShardsError;
use super::check::{Checker, Parts};
use super::columns::{ColumnId, FileKind};
use super::decode::FileDecoder;
use super::names::file_name;
use super::plan::{Group, Plan};
use super::row::Row;
use super::sidecar::{file_kinds, open_checked};
use crate::storage::Source;
use bytes::Bytes;
use std::path::{Path, PathBuf};

/// Reads one shard, row group by row group. Damaged files give errors, never panics; columns unknown to this library
/// are ignored. Only the `checked` constructors compare hashes: without that, a flipped bit may give another score that
/// keeps every invariant.
#[derive(Debug)]
pub struct ShardReader {
    files: Vec<FileDecoder>,
    parts: Parts,
    checker: Checker,
    path: PathBuf,
    /// seq_ids of every row group.
    groups: Vec<Vec<u64>>,
    /// Row groups that the iterator has returned.
    n_given: usize,
}

impl ShardReader {
    /// Opens both files of `shard` in the directory `dir` (one, in a set with only scores).
    ///
    /// # Errors
    /// [`ShardsError::NoSuchShard`], I/O failures, and files whose footer does not match the plan.
    pub fn open(dir: &Path, plan: &Plan, shard: u32) -> Result<Self, ShardsError> {
        Self::open_groups(dir, plan, shard, &plan.signals.groups)
    }

    /// Like [`ShardReader::open`], but reads and checks only the lists of `groups`; the others come empty. Tokens and
    /// scores are always read.
    ///
    /// # Errors
    /// Those of [`ShardReader::open`].
    pub fn open_groups(
        dir: &Path,
        plan: &Plan,
        shard: u32,
        groups: &[Group],
    ) -> Result<Self, ShardsError> {
        let open = |kind| Ok(Source::open(&dir.join(file_name(kind, shard)))?);
        Self::open_by(dir, plan, shard, groups, open)
    }

    fn open_by(
        dir: &Path,
        plan: &Plan,
        shard: u32,
        groups: &[Group],
        open: impl Fn(FileKind) -> Result<Source, ShardsError>,
    ) -> Result<Self, ShardsError> {
        let file = |kind| Ok((kind, open(kind)?, dir.join(file_name(kind, shard))));
        let files: Result<Vec<_>, ShardsError> = file_kinds(plan).map(file).collect();
        if !plan.signals.has_positions() {
            return Self::new(files?, plan, shard, Parts::Scores);
        }
        let mut reader = Self::new(files?, plan, shard, Parts::Both)?;
        let is_wanted = |group| group == Group::Scores || groups.contains(&group);
        for file in &mut reader.files {
            file.keep_columns(|column| is_wanted(column.group));
        }
        reader.checker = Checker::of_groups(plan, is_wanted);
        Ok(reader)
    }

    /// Like [`ShardReader::open_groups`], for a finished shard whose files are first compared with their sidecar's
    /// sizes and BLAKE3. In a store, only the size of the positions file is compared.
    ///
    /// # Errors
    /// Those of [`ShardReader::open_groups`]; a shard that is not done; files that do not match the sidecar.
    pub fn open_checked(
        dir: &Path,
        plan: &Plan,
        shard: u32,
        groups: &[Group],
    ) -> Result<Self, ShardsError> {
        Self::open_by(dir, plan, shard, groups, |kind| {
            open_checked(dir, plan, shard, kind)
        })
    }

    /// Opens only the scores of `shard`, whose file is first compared with its sidecar: rows come with empty lists.
    ///
    /// # Errors
    /// Those of [`ShardReader::open_checked`].
    pub fn open_scores_checked(dir: &Path, plan: &Plan, shard: u32) -> Result<Self, ShardsError> {
        let source = open_checked(dir, plan, shard, FileKind::Scores)?;
        let path = dir.join(file_name(FileKind::Scores, shard));
        let files = vec![(FileKind::Scores, source, path)];
        Self::new(files, plan, shard, Parts::Scores)
    }

    /// Opens one file, whatever its name.
    pub(super) fn open_file(
        path: &Path,
        plan: &Plan,
        shard: u32,
        kind: FileKind,
    ) -> Result<Self, ShardsError> {
        let files = vec![(kind, Source::open(path)?, path.to_path_buf())];
        Self::new(files, plan, shard, parts_of(kind))
    }

    /// Reads a positions file from memory: rows come with scores of 0.
    ///
    /// # Errors
    /// Those of [`ShardReader::open`].
    pub fn positions_from_bytes(
        plan: &Plan,
        shard: u32,
        positions: Bytes,
    ) -> Result<Self, ShardsError> {
        Self::from_memory(plan, shard, FileKind::Positions, positions)
    }

    /// Reads a scores file from memory: rows come with empty lists.
    ///
    /// # Errors
    /// Those of [`ShardReader::open`].
    pub fn scores_from_bytes(plan: &Plan, shard: u32, scores: Bytes) -> Result<Self, ShardsError> {
        Self::from_memory(plan, shard, FileKind::Scores, scores)
    }

    fn from_memory(
        plan: &Plan,
        shard: u32,
        kind: FileKind,
        bytes: Bytes,
    ) -> Result<Self, ShardsError> {
        let path = PathBuf::from(file_name(kind, shard));
        Self::new(
            vec![(kind, Source::of_bytes(&path, bytes), path)],
            plan,
            shard,
            parts_of(kind),
        )
    }

    fn new(
        files: Vec<(FileKind, Source, PathBuf)>,
        plan: &Plan,
        shard: u32,
        parts: Parts,
    ) -> Result<Self, ShardsError> {
        check_shard(plan, shard)?;
        let path = files
            .last()
            .map_or_else(PathBuf::new, |file| file.2.clone());
        let files: Result<_, ShardsError> = files
            .into_iter()
            .map(|(kind, source, path)| FileDecoder::open(&path, source, plan, shard, kind))
            .collect();
        Ok(ShardReader {
            files: files?,
            parts,
            checker: Checker::new(plan),
            path,
            groups: plan.row_groups(shard),
            n_given: 0,
        })
    }

    /// Row groups of the shard.
    pub fn n_row_groups(&self) -> usize {
        self.groups.len()
    }

    /// Reads row group `i`, in the plan's order.
    ///
    /// # Errors
    /// [`ShardsError::Row`] with the first row that breaks an invariant; a damaged file; a row group that does not
    /// exist.
    pub fn read_row_group(&mut self, i: usize) -> Result<Vec<Row>, ShardsError> {
        let rows = self.read_unchecked(i)?;
        match self.first_fault(i, &rows) {
            None => Ok(rows),
            Some(fault) => Err(fault),
        }
    }

    /// Reads row group `i` without checking its values.
    pub(super) fn read_unchecked(&self, i: usize) -> Result<Vec<Row>, ShardsError> {
        let Some(seq_ids) = self.groups.get(i) else {
            return Err(ShardsError::Shape {
                path: self.path.clone(),
                what: "the number of row groups".to_owned(),
                expected: i as u64 + 1,
                got: self.groups.len() as u64,
            });
        };
        let mut rows = vec![Row::default(); seq_ids.len()];
        for file in &self.files {
            file.read_row_group(i, &mut rows)?;
        }
        if self.parts == Parts::Positions {
            rows.iter_mut().for_each(fill_from_positions);
        }
        Ok(rows)
    }

    fn first_fault(&mut self, i: usize, rows: &[Row]) -> Option<ShardsError> {
        (0..rows.len()).find_map(|r| self.fault_of(i, r, &rows[r]))
    }

    /// The invariant that row `r` of row group `i` breaks, if any.
    pub(super) fn fault_of(&mut self, i: usize, r: usize, row: &Row) -> Option<ShardsError> {
        let source = self
            .checker
            .check(row, self.groups[i][r], self.parts)
            .err()?;
        let before: usize = self.groups[..i].iter().map(Vec::len).sum();
        Some(ShardsError::Row {
            path: self.path.clone(),
            row: (before + r) as u64,
            seq_id: row.seq_id,
            source,
        })
    }
}

impl Iterator for ShardReader {
    type Item = Result<Vec<Row>, ShardsError>;

    /// The next row group. After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.n_given >= self.groups.len() {
            return None;
        }
        let rows = self.read_row_group(self.n_given);
        self.n_given = match rows {
            Ok(_) => self.n_given + 1,
            Err(_) => self.groups.len(),
        };
        Some(rows)
    }
}

/// Fills in the fields of the scores file that can be derived from the positions file.
fn fill_from_positions(row: &mut Row) {
    let n_targets = row.input_ids.len().saturating_sub(1);
    row.n_targets = u32::try_from(n_targets).unwrap_or(u32::MAX);
    row.first_doc_index = row.doc_indices.first().copied().unwrap_or(0);
}

fn parts_of(kind: FileKind) -> Parts {
    match kind {
        FileKind::Scores => Parts::Scores,
        FileKind::Positions => Parts::Positions,
    }
}

/// Checks that the plan has `shard`.
pub(super) fn check_shard(plan: &Plan, shard: u32) -> Result<(), ShardsError> {
    let shards = plan.shards();
    if shards.contains(&shard) {
        return Ok(());
    }
    Err(ShardsError::NoSuchShard {
        shard,
        first: shards.start,
        end: shards.end,
    })
}

/// Re-reads a file before it is published: its footer, compared with the plan, and every seq_id.
pub(super) fn check_seq_ids(
    path: &Path,
    plan: &Plan,
    shard: u32,
    kind: FileKind,
) -> Result<(), ShardsError> {
    let mut decoder = FileDecoder::open(path, Source::open(path)?, plan, shard, kind)?;
    decoder.keep_columns(|column| column.id == ColumnId::SeqId);
    let mut row = 0;
    for (i, seq_ids) in plan.row_groups(shard).into_iter().enumerate() {
        let mut rows = vec![Row::default(); seq_ids.len()];
        decoder.read_row_group(i, &mut rows)?;
        for (got, expected) in rows.iter().zip(seq_ids) {
            if got.seq_id != expected {
                return Err(ShardsError::Row {
                    path: path.to_path_buf(),
                    row,
                    seq_id: got.seq_id,
                    source: super::RowFault::SeqId {
                        expected,
                        got: got.seq_id,
                    },
                });
            }
            row += 1;
        }
    }
    Ok(())
}
