//! `part-N.json`: describes a finished shard. A shard without a sidecar is unfinished.

use super::columns::FileKind;
use super::names::{file_name, shard_of, sidecar_path};
use super::plan::{self, Plan};
use super::{ShardsError, json, place};
use crate::storage::{self, FileHash, Source, hash_file};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Up to this many files, sizes are requested one by one.
const FEW_FILES: usize = 4;
/// Sidecars read at a time.
pub(super) const READ_AT_ONCE: usize = 1024;

/// What made a shard: equal stamps and an equal plan make equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct RuntimeStamp {
    /// Version of ONNX Runtime, such as `1.32.0`; empty if another engine made the numbers.
    pub ort_version: String,
    /// Execution provider that ran the teacher, such as `cpu`; or the engine and its version.
    pub provider: String,
    /// Widest vector instructions of the machine, such as `avx512`; they decide the order of sums. Empty for
    /// another engine.
    pub instruction_set: String,
    /// Version of Saltworks.
    pub saltworks_version: String,
}

impl std::fmt::Display for RuntimeStamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.ort_version.is_empty() {
            return write!(f, "{}, saltworks {}", self.provider, self.saltworks_version);
        }
        write!(
            f,
            "ONNX Runtime {} on {} with {}, saltworks {}",
            self.ort_version, self.provider, self.instruction_set, self.saltworks_version
        )
    }
}

/// One published file of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SidecarFile {
    /// Path inside the label directory, such as `scores/part-00000.parquet`.
    pub name: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// BLAKE3 of its content, 64 hex digits.
    pub blake3: String,
}

impl SidecarFile {
    pub(super) fn new(name: String, hash: FileHash) -> Self {
        SidecarFile {
            name,
            bytes: hash.bytes,
            blake3: hash.blake3,
        }
    }
}

/// A finished shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sidecar {
    /// Version of the shard format.
    pub format_version: u32,
    /// Shard number.
    pub shard: u32,
    /// Fingerprint of the plan that it belongs to.
    pub plan_fingerprint: String,
    /// Sequences in the shard.
    pub rows: u64,
    /// Predicted positions in the shard.
    pub n_targets: u64,
    /// The scores file and the positions file, if there is one.
    pub files: Vec<SidecarFile>,
    /// What made it.
    pub runtime: RuntimeStamp,
}

/// The state of a shard when resuming.
#[derive(Debug)]
pub enum ShardState {
    /// Sidecar and files are there and agree.
    Finished(Sidecar),
    /// No sidecar: still to be made.
    Missing,
    /// A sidecar whose files do not match it, or which is not readable: to be made again.
    Damaged(ShardsError),
}

/// Files that every shard of `plan` has.
pub(super) fn file_kinds(plan: &Plan) -> impl Iterator<Item = FileKind> + use<> {
    let has_positions = plan.signals.has_positions();
    FileKind::ALL
        .into_iter()
        .filter(move |&kind| kind == FileKind::Scores || has_positions)
}

/// Reads a sidecar and checks it against the plan; `None` if there is none. Its files are not opened.
pub(super) fn read_sidecar(
    dir: &Path,
    plan: &Plan,
    shard: u32,
) -> Result<Option<Sidecar>, ShardsError> {
    Sidecars::of(dir, plan).read(shard)
}

/// Like [`read_sidecar`], with the bytes of the file.
pub(super) fn read_sidecar_as_written(
    dir: &Path,
    plan: &Plan,
    shard: u32,
) -> Result<Option<(Sidecar, Vec<u8>)>, ShardsError> {
    let path = sidecar_path(dir, shard);
    let Some(bytes) = json::read_if_exists(&path)? else {
        return Ok(None);
    };
    let sidecar = Sidecars::of(dir, plan).of_bytes(path, &bytes, shard)?;
    Ok(Some((sidecar, bytes)))
}

/// The sidecars of a plan, whose fingerprint is computed once for all of them.
pub(super) struct Sidecars<'a> {
    dir: &'a Path,
    plan: &'a Plan,
    fingerprint: String,
}

impl<'a> Sidecars<'a> {
    pub(super) fn of(dir: &'a Path, plan: &'a Plan) -> Self {
        Self {
            dir,
            plan,
            fingerprint: plan.fingerprint(),
        }
    }

    /// Like [`read_sidecar`].
    pub(super) fn read(&self, shard: u32) -> Result<Option<Sidecar>, ShardsError> {
        let path = sidecar_path(self.dir, shard);
        let bytes = json::read_if_exists(&path)?;
        bytes
            .map(|bytes| self.of_bytes(path, &bytes, shard))
            .transpose()
    }

    /// Like [`Sidecars::read`], for several shards at a time: in a store each is a request.
    pub(super) fn read_many(&self, shards: &[u32]) -> Result<Vec<Option<Sidecar>>, ShardsError> {
        self.read_each(shards)?.into_iter().collect()
    }

    /// The same, with the error of each.
    fn read_each(
        &self,
        shards: &[u32],
    ) -> Result<Vec<Result<Option<Sidecar>, ShardsError>>, ShardsError> {
        let paths = shards.iter().map(|&shard| sidecar_path(self.dir, shard));
        let paths: Vec<PathBuf> = paths.collect();
        let read = json::read_many_if_exists(&paths)?;
        let parts = read.into_iter().zip(paths).zip(shards);
        let sidecar = |((bytes, path), &shard): ((Option<Vec<u8>>, PathBuf), &u32)| {
            bytes
                .map(|bytes| self.of_bytes(path, &bytes, shard))
                .transpose()
        };
        Ok(parts.map(sidecar).collect())
    }

    fn of_bytes(&self, path: PathBuf, bytes: &[u8], shard: u32) -> Result<Sidecar, ShardsError> {
        let sidecar: Sidecar = json::from_bytes(&path, bytes)?;
        plan::check_version(&path, sidecar.format_version, &[])?;
        if sidecar.plan_fingerprint != self.fingerprint {
            return Err(ShardsError::ForeignSidecar {
                path,
                expected: self.fingerprint.clone(),
                got: sidecar.plan_fingerprint,
            });
        }
        check_against_plan(&path, &sidecar, self.plan, shard)?;
        Ok(sidecar)
    }
}

fn check_against_plan(
    path: &Path,
    sidecar: &Sidecar,
    plan: &Plan,
    shard: u32,
) -> Result<(), ShardsError> {
    let names: Vec<String> = file_kinds(plan)
        .map(|kind| file_name(kind, shard))
        .collect();
    let got_names: Vec<String> = sidecar.files.iter().map(|file| file.name.clone()).collect();
    for (what, expected, got) in [
        ("shard", shard.to_string(), sidecar.shard.to_string()),
        (
            "rows",
            plan.n_rows(shard).to_string(),
            sidecar.rows.to_string(),
        ),
        ("files", names.join(", "), got_names.join(", ")),
    ] {
        expect_equal(path, what, expected, got)?;
    }
    Ok(())
}

/// Whether `shard` is finished, for resuming: its sidecar parses and belongs to the plan, and its files have the
/// recorded size and BLAKE3. In a store only sizes are compared: objects appear whole, and hashing would download them.
///
/// # Errors
/// Only a sidecar of another plan, and files that could not be read: whatever labelling the shard again repairs is
/// [`ShardState::Damaged`].
pub fn check_finished(dir: &Path, plan: &Plan, shard: u32) -> Result<ShardState, ShardsError> {
    let read = read_sidecar(dir, plan, shard);
    state_of(read, |sidecar| match storage::is_url(dir) {
        true => check_sizes(dir, &sidecar.files),
        false => check_files(dir, sidecar),
    })
}

/// Like [`check_finished`], for many shards in order. In a store this lists the directories and then reads the existing
/// sidecars, many at a time: a missing shard costs no request of its own. If a listing lags, a shard that was just
/// finished counts as missing; whoever labels it again finds its name taken.
///
/// # Errors
/// Those of [`check_finished`]; a directory that cannot be listed.
pub fn check_all_finished(
    dir: &Path,
    plan: &Plan,
    shards: &[u32],
) -> Result<Vec<ShardState>, ShardsError> {
    if !storage::is_url(dir) || shards.len() <= FEW_FILES {
        let check = |&shard: &u32| check_finished(dir, plan, shard);
        return shards.iter().map(check).collect();
    }
    let names = place::names_in(dir)?;
    let existing: HashSet<u32> = names.iter().filter_map(|name| shard_of(name)).collect();
    let to_read: Vec<u32> = shards
        .iter()
        .copied()
        .filter(|n| existing.contains(n))
        .collect();
    if to_read.is_empty() {
        return Ok(shards.iter().map(|_| ShardState::Missing).collect());
    }
    let (of_plan, sizes) = (Sidecars::of(dir, plan), Sizes::listed(dir)?);
    let mut states = HashMap::new();
    for shards in to_read.chunks(READ_AT_ONCE) {
        for (read, &shard) in of_plan.read_each(shards)?.into_iter().zip(shards) {
            let state = state_of(read, |sidecar| {
                sidecar.files.iter().try_for_each(|file| sizes.check(file))
            });
            states.insert(shard, state?);
        }
    }
    let state = |shard| states.remove(shard).unwrap_or(ShardState::Missing);
    Ok(shards.iter().map(state).collect())
}

fn state_of(
    read: Result<Option<Sidecar>, ShardsError>,
    compare: impl FnOnce(&Sidecar) -> Result<(), ShardsError>,
) -> Result<ShardState, ShardsError> {
    let sidecar = match read {
        Ok(Some(sidecar)) => sidecar,
        Ok(None) => return Ok(ShardState::Missing),
        Err(error @ (ShardsError::Json { .. } | ShardsError::Sidecar { .. })) => {
            return Ok(ShardState::Damaged(error));
        }
        Err(error) => return Err(error),
    };
    match compare(&sidecar) {
        Ok(()) => Ok(ShardState::Finished(sidecar)),
        // A file that could not be read may be sound, and took hours to make.
        Err(error) if error.is_unread() => Err(error),
        Err(error) => Ok(ShardState::Damaged(error)),
    }
}

/// Opens a file of a finished shard after comparing it with its sidecar. In a store, scores are read whole, by one
/// request, and hashed; of positions, which are large, only the size is compared, and row groups are fetched as they
/// are read.
///
/// # Errors
/// A shard that is not done; [`ShardsError::Sidecar`]; a file that cannot be read.
pub(super) fn open_checked(
    dir: &Path,
    plan: &Plan,
    shard: u32,
    kind: FileKind,
) -> Result<Source, ShardsError> {
    let Some(sidecar) = read_sidecar(dir, plan, shard)? else {
        return Err(ShardsError::MissingShards {
            n_missing: 1,
            n_shards: u64::from(plan.n_shards()),
            first: vec![shard],
        });
    };
    let name = file_name(kind, shard);
    let path = dir.join(&name);
    let recorded = sidecar.files.iter().find(|file| file.name == name);
    match recorded {
        Some(file) if !storage::is_url(dir) => check_file(dir, file)?,
        Some(file) if kind == FileKind::Scores => return in_memory(dir, file),
        Some(file) => {
            let source = Source::open(&path)?;
            let got = source.n_bytes().to_string();
            expect_equal(&path, "size", file.bytes.to_string(), got)?;
            return Ok(source);
        }
        None => {}
    }
    Ok(Source::open(&path)?)
}

/// The whole file, checked against the sidecar.
fn in_memory(dir: &Path, file: &SidecarFile) -> Result<Source, ShardsError> {
    let path = dir.join(&file.name);
    let bytes = storage::read(&path)?;
    expect_equal(
        &path,
        "size",
        file.bytes.to_string(),
        bytes.len().to_string(),
    )?;
    let got = blake3::hash(&bytes).to_hex().to_string();
    expect_equal(&path, "blake3", file.blake3.clone(), got)?;
    Ok(Source::of_bytes(&path, bytes.into()))
}

/// Compares the files of a shard with its sidecar.
pub(super) fn check_files(dir: &Path, sidecar: &Sidecar) -> Result<(), ShardsError> {
    sidecar
        .files
        .iter()
        .try_for_each(|file| check_file(dir, file))
}

/// Compares one file with its entry in a sidecar.
pub(super) fn check_file(dir: &Path, file: &SidecarFile) -> Result<(), ShardsError> {
    let path = dir.join(&file.name);
    // A store's response includes the size.
    if !storage::is_url(dir) {
        check_size(dir, file)?;
    }
    let hash = hash_file(&path)?;
    expect_equal(
        &path,
        "size",
        file.bytes.to_string(),
        hash.bytes.to_string(),
    )?;
    expect_equal(&path, "blake3", file.blake3.clone(), hash.blake3)
}

/// Like [`check_size`], for many files. In a store their directories are listed: one request per thousand files.
pub(super) fn check_sizes<'a>(
    dir: &Path,
    files: impl IntoIterator<Item = &'a SidecarFile>,
) -> Result<(), ShardsError> {
    let files: Vec<&SidecarFile> = files.into_iter().collect();
    if !storage::is_url(dir) || files.len() <= FEW_FILES {
        return files.into_iter().try_for_each(|file| check_size(dir, file));
    }
    let sizes = Sizes::listed(dir)?;
    files.into_iter().try_for_each(|file| sizes.check(file))
}

/// Sizes of a set's Parquet files, from its directory listings.
struct Sizes<'a> {
    dir: &'a Path,
    listed: HashMap<OsString, u64>,
}

impl<'a> Sizes<'a> {
    fn listed(dir: &'a Path) -> Result<Self, ShardsError> {
        let mut listed = HashMap::new();
        for kind in FileKind::ALL {
            for entry in storage::list(&dir.join(kind.dir()))? {
                let name = Path::new(kind.dir()).join(entry.name);
                listed.insert(name.into_os_string(), entry.n_bytes);
            }
        }
        Ok(Sizes { dir, listed })
    }

    fn check(&self, file: &SidecarFile) -> Result<(), ShardsError> {
        match self.listed.get(std::ffi::OsStr::new(&file.name)) {
            Some(got) => {
                let path = self.dir.join(&file.name);
                expect_equal(&path, "size", bytes(file.bytes), bytes(*got))
            }
            // A listing may lag behind: ask for the object itself.
            None => check_size(self.dir, file),
        }
    }
}

/// Compares the size of one file in the label directory `dir` with its sidecar entry.
///
/// # Errors
/// [`ShardsError::Sidecar`]; a file that cannot be inspected.
pub fn check_size(dir: &Path, file: &SidecarFile) -> Result<(), ShardsError> {
    let path = dir.join(&file.name);
    match storage::metadata_if_exists(&path)? {
        Some(found) => expect_equal(&path, "size", bytes(file.bytes), bytes(found.n_bytes)),
        None => expect_equal(&path, "the file", bytes(file.bytes), "missing".to_owned()),
    }
}

fn bytes(n: u64) -> String {
    format!("{n} bytes")
}

/// The error of a sidecar with a value other than `expected`.
pub(crate) fn expect_equal(
    path: &Path,
    what: &str,
    expected: String,
    got: String,
) -> Result<(), ShardsError> {
    if expected == got {
        return Ok(());
    }
    Err(ShardsError::Sidecar {
        path: path.to_path_buf(),
        what: what.to_owned(),
        expected,
        got,
    })
}
