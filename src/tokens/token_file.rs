//! A run of ids in a file, read by position.
//!
//! Not mapped: if a file is truncated while it is mapped, the process dies of SIGBUS, or sees zeros up to the end of
//! its last page. A read by position is short, which is an error.

use super::dtype::Dtype;
use super::error::TokensError;
use crate::storage::{self, BlockFile, BlockHashes, Identity};
use memmap2::Mmap;
use rayon::prelude::*;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Tokens that one task scans, and tokens decoded at a time.
const SCAN_TOKENS: u64 = 1 << 20;
const SCAN_BLOCK: usize = 1 << 12;

/// `n_tokens` ids of `dtype`, from byte `start` on.
pub(super) struct TokenFile {
    bytes: Bytes,
    path: PathBuf,
    start: u64,
    dtype: Dtype,
    n_tokens: u64,
}

enum Bytes {
    /// A file with a name, which others can change, and its state when opened.
    File(File, FileState),
    /// An object whose blocks are fetched when read, each checked against its writer's hash.
    Blocks(Box<BlockFile>),
    /// A temporary without a name.
    Temporary(Mmap),
}

/// An open token file, with its size when opened; for a URL, its copy in the cache.
pub(super) struct RawFile {
    file: File,
    state: FileState,
    pub(super) path: PathBuf,
    pub(super) len: u64,
}

/// An open `.bin`: a file, or an object that is read in blocks.
pub(super) enum BinFile {
    File(RawFile),
    Blocks(Box<BlockFile>, PathBuf),
}

impl BinFile {
    /// In blocks if their hashes are known and `path` is in an object store.
    pub(super) fn open(path: &Path, blocks: Option<BlockHashes>) -> Result<Self, TokensError> {
        if let Some(blocks) = blocks
            && let Some(file) = BlockFile::open(path, blocks)?
        {
            return Ok(BinFile::Blocks(Box::new(file), path.to_path_buf()));
        }
        RawFile::open(path).map(BinFile::File)
    }

    pub(super) fn n_bytes(&self) -> u64 {
        match self {
            BinFile::File(file) => file.len,
            BinFile::Blocks(file, _) => file.n_bytes(),
        }
    }

    /// The whole file as ids; the caller has checked that they lie inside it.
    pub(super) fn into_tokens(self, dtype: Dtype, n_tokens: u64) -> TokenFile {
        let (file, path) = match self {
            BinFile::File(file) => return file.into_tokens(0, dtype, n_tokens),
            BinFile::Blocks(file, path) => (file, path),
        };
        assert_inside(file.n_bytes(), 0, dtype, n_tokens);
        TokenFile {
            bytes: Bytes::Blocks(file),
            path,
            start: 0,
            dtype,
            n_tokens,
        }
    }
}

impl RawFile {
    pub(super) fn open(path: &Path) -> Result<Self, TokensError> {
        // Before the copy, so that a concurrent change of the object is noticed.
        let version = match storage::is_url(path) {
            true => storage::identity(path)?,
            false => None,
        };
        let local = storage::local_copy(path)?;
        let file = match storage::open_regular(&local) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(TokensError::NotACorpus {
                    path: path.to_path_buf(),
                });
            }
            opened => opened.map_err(TokensError::io("open", path))?,
        };
        let metadata = file.metadata().map_err(TokensError::io("read", path))?;
        if !metadata.is_file() {
            return Err(TokensError::NotACorpus {
                path: path.to_path_buf(),
            });
        }
        Ok(Self {
            file,
            state: FileState::of(&metadata, version),
            path: path.to_path_buf(),
            len: metadata.len(),
        })
    }

    /// Up to `n` bytes from `offset` on; fewer at the end of the file.
    pub(super) fn read(&self, offset: u64, n: usize) -> Result<Vec<u8>, TokensError> {
        let n = self.len.saturating_sub(offset).min(n as u64) as usize;
        let mut bytes = vec![0; n];
        read_at(&self.file, &self.path, offset, &mut bytes)?;
        Ok(bytes)
    }

    /// The caller has checked that the ids lie inside the file.
    pub(super) fn into_tokens(self, start: u64, dtype: Dtype, n_tokens: u64) -> TokenFile {
        assert_inside(self.len, start, dtype, n_tokens);
        TokenFile {
            bytes: Bytes::File(self.file, self.state),
            path: self.path,
            start,
            dtype,
            n_tokens,
        }
    }
}

impl TokenFile {
    /// How many ids at the end are 0.
    pub(super) fn n_zeros_at_end(&self) -> Result<u64, TokensError> {
        let mut end = self.n_tokens;
        let mut ids = vec![0; SCAN_BLOCK];
        while end > 0 {
            let n = end.min(SCAN_BLOCK as u64);
            let block = &mut ids[..n as usize];
            self.copy(end - n, block)?;
            let n_zeros = block.iter().rev().take_while(|&&id| id == 0).count() as u64;
            end -= n_zeros;
            if n_zeros < n {
                break;
            }
        }
        Ok(self.n_tokens - end)
    }
}

/// Maps a file that has a name, only while the needed tables are copied.
pub(super) fn map_file(path: &Path) -> Result<Mmap, TokensError> {
    let RawFile { file, .. } = RawFile::open(path)?;
    // SAFETY: only read, and dropped once its tables are copied; that nobody truncates an index in that time is a
    // condition of this room.
    unsafe { Mmap::map(&file) }.map_err(TokensError::io("map", path))
}

fn read_at(file: &File, path: &Path, offset: u64, bytes: &mut [u8]) -> Result<(), TokensError> {
    file.read_exact_at(bytes, offset)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => TokensError::CutShort {
                path: path.to_path_buf(),
                expected: offset + bytes.len() as u64,
            },
            _ => TokensError::io("read", path)(error),
        })
}

fn assert_inside(n_bytes: u64, start: u64, dtype: Dtype, n_tokens: u64) {
    let end = n_tokens
        .checked_mul(dtype.bytes())
        .and_then(|n| n.checked_add(start));
    assert!(
        end.is_some_and(|end| end <= n_bytes),
        "the ids lie inside the file"
    );
}

/// The state of a file at one moment; writing to it changes some of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileState {
    len: u64,
    modified: Option<SystemTime>,
    /// The version of an object, which may change while its local copy does not.
    version: Option<Identity>,
}

impl FileState {
    fn of(metadata: &Metadata, version: Option<Identity>) -> Self {
        Self {
            len: metadata.len(),
            modified: metadata.modified().ok(),
            version,
        }
    }
}

impl TokenFile {
    /// Ids in an unnamed temporary, as unpacked from `path`.
    pub(super) fn unpacked(map: Mmap, path: &Path, dtype: Dtype, n_tokens: u64) -> Self {
        assert_inside(map.len() as u64, 0, dtype, n_tokens);
        Self {
            bytes: Bytes::Temporary(map),
            path: path.to_path_buf(),
            start: 0,
            dtype,
            n_tokens,
        }
    }

    pub(super) fn n_tokens(&self) -> u64 {
        self.n_tokens
    }

    pub(super) fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Size of the ids, bytes.
    pub(super) fn n_bytes(&self) -> u64 {
        self.n_tokens * self.dtype.bytes()
    }

    /// Whether its bytes are fetched from a store as they are read, and checked against their writer's hashes.
    pub(super) fn is_by_blocks(&self) -> bool {
        matches!(self.bytes, Bytes::Blocks(_))
    }

    /// Whether someone wrote to the file since it was opened.
    pub(super) fn is_modified(&self) -> Result<bool, TokensError> {
        let (file, before) = match &self.bytes {
            Bytes::File(file, before) => (file, before),
            Bytes::Blocks(file) => return Ok(file.is_changed()?),
            Bytes::Temporary(_) => return Ok(false),
        };
        let metadata = file
            .metadata()
            .map_err(TokensError::io("read", &self.path))?;
        let version = match before.version {
            Some(_) => storage::identity(&self.path)?,
            None => None,
        };
        Ok(FileState::of(&metadata, version) != *before)
    }

    /// # Panics
    /// Past the last token.
    pub(super) fn copy(&self, start: u64, out: &mut [u32]) -> Result<(), TokensError> {
        let end = start + out.len() as u64;
        assert!(
            end <= self.n_tokens,
            "tokens {start}..{end} of {}",
            self.n_tokens
        );
        let mut bytes = vec![0; out.len() * self.dtype.bytes() as usize];
        self.copy_bytes(start * self.dtype.bytes(), &mut bytes)?;
        self.dtype.decode(&bytes, out);
        Ok(())
    }

    /// The bytes of the ids, from byte `offset` on.
    pub(super) fn copy_bytes(&self, offset: u64, out: &mut [u8]) -> Result<(), TokensError> {
        let offset = self.start + offset;
        match &self.bytes {
            Bytes::File(file, _) => read_at(file, &self.path, offset, out),
            Bytes::Blocks(file) => Ok(file.read_exact_at(offset, out)?),
            Bytes::Temporary(map) => {
                let at = offset as usize;
                out.copy_from_slice(&map[at..at + out.len()]);
                Ok(())
            }
        }
    }

    /// Calls `visit` with the ids of a range, block by block, and the offset of each block.
    pub(super) fn for_each_block(
        &self,
        tokens: Range<u64>,
        mut visit: impl FnMut(u64, &[u32]) -> Result<(), TokensError>,
    ) -> Result<(), TokensError> {
        let mut block = [0_u32; SCAN_BLOCK];
        let mut start = tokens.start;
        while start < tokens.end {
            let n = (tokens.end - start).min(SCAN_BLOCK as u64) as usize;
            self.copy(start, &mut block[..n])?;
            visit(start, &block[..n])?;
            start += n as u64;
        }
        Ok(())
    }

    /// The largest id in a range and the offset of its first occurrence; (0, start) if the range is empty.
    pub(super) fn max_id(&self, tokens: Range<u64>) -> Result<(u32, u64), TokensError> {
        let start = tokens.start;
        let n_tasks = tokens.end.saturating_sub(start).div_ceil(SCAN_TOKENS);
        let tasks = (0..n_tasks).into_par_iter().map(|task| {
            let from = start + task * SCAN_TOKENS;
            self.max_id_of_task(from..tokens.end.min(from + SCAN_TOKENS))
        });
        let largest = tasks.try_reduce_with(|a, b| Ok(larger_or_earlier(a, b)));
        largest.unwrap_or(Ok((0, start)))
    }

    fn max_id_of_task(&self, tokens: Range<u64>) -> Result<(u32, u64), TokensError> {
        let mut best = (0, u64::MAX);
        self.for_each_block(tokens, |start, ids| {
            let id = ids.iter().copied().max().unwrap_or(0);
            if id > best.0 || best.1 == u64::MAX {
                let first = ids.iter().position(|&other| other == id).unwrap_or(0);
                best = (id, start + first as u64);
            }
            Ok(())
        })?;
        Ok(best)
    }
}

fn larger_or_earlier(a: (u32, u64), b: (u32, u64)) -> (u32, u64) {
    if b.0 > a.0 || (b.0 == a.0 && b.1 < a.1) {
        b
    } else {
        a
    }
}
