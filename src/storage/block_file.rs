//! An object read in blocks. Each is fetched when first needed, checked, and kept in the cache.
//!
//! ```text
//! blocks/<hash of URL and version>/<block size in bytes>/<block number / 256>/<block number % 256>
//! ```
//!
//! The writer of the file recorded the hash of each block. A block is checked against its hash when it arrives from the
//! store, and once by each process that finds it in the cache; if a crash or a disk fault has damaged it there, it is
//! fetched again. Requests are bound to the version that was opened. Processes on a machine share the blocks; two that
//! want the same block at the same time may both fetch it.

use super::block_hashes::BlockHashes;
use super::copies::{cache_dir, version_hash};
use super::eviction::{BLOCK_EVICTION_DIVISOR, cache_limit, make_room};
use super::location::{Location, locate};
use super::object::{self, Object};
use super::partial::Partial;
use super::space::free_bytes;
use super::store_fault::StoreFault;
use super::{StorageError, files};
use bytes::Bytes;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// How many block files stay open.
const N_OPEN: usize = 32;
/// Threads that can fetch different blocks at the same time.
const N_STRIPES: usize = 16;
/// Blocks per directory.
const DIR_BLOCKS: usize = 256;

/// One version of an object, with the blocks read so far in the cache.
#[derive(Debug)]
pub struct BlockFile {
    object: Object,
    path: PathBuf,
    cache: PathBuf,
    /// Most bytes that the cache may hold.
    limit: u64,
    /// Bytes fetched into it so far.
    n_fetched: AtomicU64,
    dir: PathBuf,
    hashes: BlockHashes,
    /// Whether this process has checked the cached block against its hash.
    is_checked: Vec<AtomicBool>,
    /// Held while a block is fetched, so that other threads wait for it instead of fetching it again.
    fetching: [Mutex<()>; N_STRIPES],
    /// The most recently read blocks, newest last.
    open: Mutex<VecDeque<(usize, Arc<File>)>>,
}

impl BlockFile {
    /// The object at the URL `path`, whose blocks have these hashes; `None` where `path` is in no object store.
    ///
    /// # Errors
    /// [`StorageError`] if there is no such object.
    pub fn open(path: &Path, hashes: BlockHashes) -> Result<Option<Self>, StorageError> {
        Self::open_in(&cache_dir(), cache_limit()?, path, hashes)
    }

    /// Like [`open`](Self::open), with its blocks in `cache`, which may hold `limit` bytes.
    pub(super) fn open_in(
        cache: &Path,
        limit: u64,
        path: &Path,
        hashes: BlockHashes,
    ) -> Result<Option<Self>, StorageError> {
        let Location::Object(url) = locate(path)? else {
            return Ok(None);
        };
        let object = object::open(&url)?;
        let cache = cache.to_path_buf();
        let dir = cache.join("blocks").join(version_hash(&object));
        Ok(Some(BlockFile {
            dir: dir.join(hashes.block_bytes.to_string()),
            is_checked: hashes
                .hashes
                .iter()
                .map(|_| AtomicBool::default())
                .collect(),
            fetching: Default::default(),
            open: Mutex::default(),
            path: path.to_path_buf(),
            object,
            cache,
            limit,
            n_fetched: AtomicU64::default(),
            hashes,
        }))
    }

    /// Size of the object in bytes.
    pub fn n_bytes(&self) -> u64 {
        self.object.n_bytes
    }

    /// Whether the store now has another version, or none. One request.
    ///
    /// # Errors
    /// [`StorageError`] where this cannot be determined.
    pub fn is_changed(&self) -> Result<bool, StorageError> {
        let now = object::find(&self.object.url)?;
        Ok(now.is_none_or(|now| now != self.object))
    }

    /// Fills `out` with the bytes from `offset` on, which must exist; fetches the blocks that are not in the cache.
    ///
    /// # Errors
    /// [`StorageError`]: the object has changed since it was opened, a block does not match its hash, or the cache has
    /// no room.
    ///
    /// # Panics
    /// If the range passes the end, or there are not hashes for all blocks.
    pub fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<(), StorageError> {
        let (mut at, mut rest) = (offset, out);
        while !rest.is_empty() {
            let idx = (at / self.hashes.block_bytes) as usize;
            let range = self.hashes.range(idx, self.object.n_bytes);
            let n = rest.len().min((range.end - at) as usize);
            assert!(n > 0, "byte {at} of {}", self.object.n_bytes);
            let (now, later) = rest.split_at_mut(n);
            let read = self.block(idx)?.read_exact_at(now, at - range.start);
            read.map_err(|source| StorageError::io("read", &self.place_of(idx), source))?;
            (at, rest) = (at + n as u64, later);
        }
        Ok(())
    }

    /// The file of a block.
    fn block(&self, idx: usize) -> Result<Arc<File>, StorageError> {
        if let Some(file) = self.opened(idx) {
            return Ok(file);
        }
        let fetching = self.fetching[idx % N_STRIPES].lock();
        let _fetching = fetching.unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = self.opened(idx) {
            return Ok(file);
        }
        let file = match self.cached(idx)? {
            Some(file) => file,
            None => self.fetched(idx)?,
        };
        let file = Arc::new(file);
        let mut open = self.open_blocks();
        open.push_back((idx, Arc::clone(&file)));
        if open.len() > N_OPEN {
            open.pop_front();
        }
        Ok(file)
    }

    fn open_blocks(&self) -> MutexGuard<'_, VecDeque<(usize, Arc<File>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self, idx: usize) -> Option<Arc<File>> {
        let open = self.open_blocks();
        let found = open.iter().rev().find(|(other, _)| *other == idx);
        found.map(|(_, file)| Arc::clone(file))
    }

    fn place_of(&self, idx: usize) -> PathBuf {
        let dir = self.dir.join(format!("{:05}", idx / DIR_BLOCKS));
        dir.join(format!("{:03}", idx % DIR_BLOCKS))
    }

    /// The block's file in the cache, if it is there and sound.
    fn cached(&self, idx: usize) -> Result<Option<File>, StorageError> {
        let path = self.place_of(idx);
        let io = |source| StorageError::io("read", &path, source);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io(source)),
        };
        // The lock prevents its removal while it is open; the time marks it as used just now.
        let _ = file.lock_shared();
        let _ = file.set_modified(SystemTime::now());
        let range = self.hashes.range(idx, self.object.n_bytes);
        let n_bytes = range.end - range.start;
        let is_sound = match file.metadata().map_err(io)?.len() == n_bytes {
            true if self.is_checked[idx].load(Ordering::Acquire) => true,
            true => {
                let mut bytes = vec![0; n_bytes as usize];
                file.read_exact_at(&mut bytes, 0).map_err(io)?;
                self.hashes.holds(idx, &bytes)
            }
            false => false,
        };
        self.is_checked[idx].store(is_sound, Ordering::Release);
        Ok(is_sound.then_some(file))
    }

    /// Fetches a block into the cache.
    fn fetched(&self, idx: usize) -> Result<File, StorageError> {
        let bytes = self.block_of_store(idx)?;
        self.make_room(bytes.len() as u64)?;
        let path = self.place_of(idx);
        if let Some(dir) = path.parent() {
            files::make_dirs(dir)?;
        }
        let mut partial = Partial::create(&path)?;
        let written = partial.write_all(&bytes);
        written.map_err(|source| StorageError::io("write", &path, source))?;
        // Opened before it is renamed: under its final name it could be removed before it is opened.
        let file = partial.reader()?;
        partial.seal()?.replace()?;
        // Only now: until here the writer held the lock exclusively.
        let _ = file.lock_shared();
        self.is_checked[idx].store(true, Ordering::Release);
        Ok(file)
    }

    /// Makes room for a block. The cache is not measured for every block; instead some room is freed in advance.
    fn make_room(&self, n_bytes: u64) -> Result<(), StorageError> {
        let part = (self.limit / BLOCK_EVICTION_DIVISOR).max(1);
        let before = self.n_fetched.fetch_add(n_bytes, Ordering::Relaxed);
        let is_due = before == 0 || before / part != (before + n_bytes) / part;
        let is_full = || free_bytes(&self.cache).is_some_and(|n_free| n_free < n_bytes);
        match is_due || is_full() {
            true => make_room(&self.cache, n_bytes, self.limit - part, &self.path),
            false => Ok(()),
        }
    }

    /// The bytes of a block, from the store.
    fn block_of_store(&self, idx: usize) -> Result<Bytes, StorageError> {
        let range = self.hashes.range(idx, self.object.n_bytes);
        let read = self.object.read_ranges(std::slice::from_ref(&range))?;
        let bytes = read.into_iter().next().unwrap_or_default();
        if self.hashes.holds(idx, &bytes) {
            return Ok(bytes);
        }
        let fault = StoreFault::OtherBlock {
            start: range.start,
            end: range.end,
        };
        Err(StorageError::store("read", &self.path, fault))
    }
}
