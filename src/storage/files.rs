//! Files and directories, wherever they are.

use super::entry::{Entry, Metadata};
use super::hub::{self, HubUrl};
use super::location::{Location, locate};
use super::object::{self, ObjectUrl};
use super::place::{is_url, plain_place};
use super::{StorageError, fault};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Bytes that [`for_each_block`] holds at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// Bytes of the largest file that [`read`] accepts: above the manifest of millions of shards.
const MAX_WHOLE_BYTES: u64 = 1 << 30;

/// Bytes of the largest file that [`read_typed`] accepts: far above what people write.
const MAX_TYPED_BYTES: u64 = 16 << 20;

/// What is at `path`.
///
/// # Errors
/// [`StorageError`]; if nothing is there, `is_not_found` is true.
pub fn metadata(path: &Path) -> Result<Metadata, StorageError> {
    let absent = || StorageError::io("look at", path, io::ErrorKind::NotFound.into());
    metadata_if_exists(path)?.ok_or_else(absent)
}

/// What is at `path`; `None` only where the system or the store says that nothing is.
///
/// # Errors
/// [`StorageError`] where this cannot be determined.
pub fn metadata_if_exists(path: &Path) -> Result<Option<Metadata>, StorageError> {
    if let Some(url) = HubUrl::parse(path)? {
        return hub::metadata(&url);
    }
    let local = match locate(path)? {
        Location::Local(local) => local,
        Location::Object(url) => return object_metadata(&url),
    };
    match std::fs::metadata(local) {
        Ok(found) => Ok(Some(Metadata {
            n_bytes: found.len(),
            is_dir: found.is_dir(),
        })),
        Err(error) if is_absent(&error) => Ok(None),
        Err(source) => Err(StorageError::io("look at", path, source)),
    }
}

fn object_metadata(url: &ObjectUrl) -> Result<Option<Metadata>, StorageError> {
    if let Some(object) = object::find(url)? {
        return Ok(Some(Metadata {
            n_bytes: object.n_bytes,
            is_dir: false,
        }));
    }
    let dir = Metadata {
        n_bytes: 0,
        is_dir: true,
    };
    Ok(object::is_prefix(url)?.then_some(dir))
}

/// A path that goes through a file leads to nothing either.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// Whether something is at `path`: "no" only where the system or the store says so.
///
/// # Errors
/// [`StorageError`] where this cannot be determined.
pub fn exists(path: &Path) -> Result<bool, StorageError> {
    Ok(metadata_if_exists(path)?.is_some())
}

/// Whether a directory is at `path`.
///
/// # Errors
/// [`StorageError`] where this cannot be determined.
pub fn is_dir(path: &Path) -> Result<bool, StorageError> {
    Ok(metadata_if_exists(path)?.is_some_and(|found| found.is_dir))
}

/// Whether a file or an object is at `path`.
///
/// # Errors
/// [`StorageError`] where this cannot be determined.
pub fn is_file(path: &Path) -> Result<bool, StorageError> {
    // One request; no second one to see whether it is a prefix.
    if let Some(url) = ObjectUrl::parse(path)? {
        return Ok(object::find(&url)?.is_some());
    }
    Ok(metadata_if_exists(path)?.is_some_and(|found| !found.is_dir))
}

/// The whole file, of at most 1 GiB.
///
/// # Errors
/// [`StorageError`] with the path; if nothing is there, `is_not_found` is true. A device; a larger file.
pub fn read(path: &Path) -> Result<Vec<u8>, StorageError> {
    match locate(&hub::local(path)?)? {
        Location::Object(url) => {
            let bytes = object::get_up_to(&url, MAX_WHOLE_BYTES)?;
            bytes.ok_or_else(|| StorageError::io("read", path, too_large(MAX_WHOLE_BYTES)))
        }
        Location::Local(local) => read_local(local, MAX_WHOLE_BYTES)
            .map_err(|source| StorageError::io("read", path, source)),
    }
}

/// The whole file; `None` if there is none.
///
/// # Errors
/// Those of [`read`], except for a missing file.
pub fn read_if_exists(path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Like [`read_if_exists`], for a file of at most `max_bytes` bytes.
///
/// # Errors
/// Those of [`read`]; a larger file.
pub fn read_up_to(path: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>, StorageError> {
    match locate(&hub::local(path)?)? {
        // The response for the object gives its size.
        Location::Object(url) => match object::get_up_to(&url, max_bytes) {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => Err(StorageError::io("read", path, too_large(max_bytes))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        },
        Location::Local(local) => match read_local(local, max_bytes) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(source) => Err(StorageError::io("read", path, source)),
        },
    }
}

/// A text that a person wrote, such as a configuration, of at most 16 MiB. It may come through a pipe, such as the
/// shell's `<(...)`, or from a terminal.
///
/// # Errors
/// [`StorageError`] with the path; if nothing is there, `is_not_found` is true. More text, or text that is not UTF-8.
pub fn read_typed(path: &Path) -> Result<String, StorageError> {
    let io = |source| StorageError::io("read", path, source);
    let bytes = match locate(&hub::local(path)?)? {
        Location::Object(url) => object::get_up_to(&url, MAX_TYPED_BYTES)?
            .ok_or_else(|| io(too_large(MAX_TYPED_BYTES)))?,
        Location::Local(local) => fault::check_read()
            .and_then(|()| File::open(local))
            .and_then(|file| read_to_end(file, MAX_TYPED_BYTES))
            .map_err(io)?,
    };
    into_text(path, bytes)
}

fn read_local(local: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    fault::check_read()?;
    let found = std::fs::metadata(local)?;
    if found.is_file() || found.is_dir() || found.file_type().is_fifo() {
        return read_to_end(File::open(local)?, max_bytes);
    }
    let reason = "it is a device, expected a file: write its contents to a file first";
    Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
}

/// The rest of `file`, of which no more is held than `max_bytes` bytes: a device may have no end, and a file may grow.
fn read_to_end(file: File, max_bytes: u64) -> io::Result<Vec<u8>> {
    let found = file.metadata()?;
    let size = if found.is_file() { found.len() } else { 0 };
    if size > max_bytes {
        return Err(too_large(max_bytes));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    file.take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 > max_bytes {
        true => Err(too_large(max_bytes)),
        false => Ok(bytes),
    }
}

fn too_large(max_bytes: u64) -> io::Error {
    let most = match max_bytes >> 20 {
        0 => format!("{max_bytes} bytes"),
        mib => format!("{mib} MiB"),
    };
    let reason = format!(
        "it is larger than {most}, the most that such a file may have: check that it is the right one"
    );
    io::Error::new(io::ErrorKind::FileTooLarge, reason)
}

/// Like [`read_up_to`], for many files, in order; in a store, with many requests at a time.
///
/// # Errors
/// The first file that cannot be read.
pub fn read_many(paths: &[PathBuf], max_bytes: u64) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
    let urls = paths.iter().map(|path| ObjectUrl::parse(path));
    let urls: Result<Option<Vec<ObjectUrl>>, StorageError> = urls.collect();
    match urls? {
        Some(urls) if urls.len() > 1 => object::get_many(&urls, max_bytes),
        _ => paths
            .iter()
            .map(|path| read_up_to(path, max_bytes))
            .collect(),
    }
}

/// Opens a file of this machine that is read here and there, or to its end: a pipe would wait for a writer, and a
/// device may have no end.
///
/// # Errors
/// The system's; a pipe or a device is of the kind `InvalidInput`.
pub fn open_regular(local: &Path) -> io::Result<File> {
    let found = std::fs::metadata(local)?;
    if found.is_file() || found.is_dir() {
        return File::open(local);
    }
    let reason = "it is a pipe or a device, expected a file: write its contents to a file first";
    Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
}

/// Passes the file's bytes to `work`, block after block.
///
/// # Errors
/// Those of [`read`] and of `work`.
pub fn for_each_block(
    path: &Path,
    mut work: impl FnMut(&[u8]) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let io = |source| StorageError::io("read", path, source);
    let path = &*hub::local(path)?;
    let local = match locate(path)? {
        Location::Object(url) => return object::for_each_block(&url, work).map(drop),
        Location::Local(local) => local,
    };
    let mut file = open_regular(local).map_err(io)?;
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let n = fault::check_read().and_then(|()| file.read(&mut block));
        match n.map_err(io)? {
            0 => return Ok(()),
            n => work(&block[..n])?,
        }
    }
}

/// The whole file as text.
///
/// # Errors
/// Those of [`read`]; text that is not UTF-8.
pub fn read_to_string(path: &Path) -> Result<String, StorageError> {
    into_text(path, read(path)?)
}

fn into_text(path: &Path, bytes: Vec<u8>) -> Result<String, StorageError> {
    String::from_utf8(bytes).map_err(|error| {
        let source = io::Error::new(io::ErrorKind::InvalidData, error);
        StorageError::io("read", path, source)
    })
}

/// The entries of the directory `dir`, one level, in order of name.
///
/// # Errors
/// [`StorageError`] with the path. If a local directory does not exist, `is_not_found` is true; in a store it is the
/// same as an empty one.
pub fn list(dir: &Path) -> Result<Vec<Entry>, StorageError> {
    if let Some(url) = HubUrl::parse(dir)? {
        return hub::list(&url);
    }
    let mut entries = match locate(dir)? {
        Location::Object(url) => object::list(&url)?,
        Location::Local(local) => {
            list_local(local).map_err(|source| StorageError::io("list", dir, source))?
        }
    };
    entries.sort_unstable();
    Ok(entries)
}

/// Names in the directory `dir` that are not `own`, sorted; none if it does not exist. Hidden files and a new volume's
/// `lost+found` are ignored.
///
/// # Errors
/// Those of [`list`].
pub fn others_in(dir: &Path, own: impl Fn(&str) -> bool) -> Result<Vec<String>, StorageError> {
    let entries = match list(dir) {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.into_iter().map(|entry| entry.name);
    let names = names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && name != "lost+found" && !own(name));
    Ok(names.collect())
}

/// Every file below the directory `dir`, at any depth, by its relative path, in order of name.
///
/// # Errors
/// Those of [`list`].
pub fn list_all(dir: &Path) -> Result<Vec<Entry>, StorageError> {
    if let Some(url) = HubUrl::parse(dir)? {
        return hub::list_all(&url);
    }
    let mut entries = match locate(dir)? {
        Location::Object(url) => object::list_all(&url)?,
        Location::Local(local) => {
            list_below(local).map_err(|source| StorageError::io("list", dir, source))?
        }
    };
    entries.sort_unstable();
    Ok(entries)
}

/// Files that vanish meanwhile are left out.
fn list_local(dir: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for found in std::fs::read_dir(dir)? {
        let found = found?;
        // Follows links, as everything here does; a dangling link is a file of no bytes.
        let metadata = match std::fs::metadata(found.path()).or_else(|_| found.metadata()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        entries.push(Entry {
            name: found.file_name(),
            n_bytes: metadata.len(),
            is_dir: metadata.is_dir(),
            modified: metadata.modified().ok(),
            version: None,
        });
    }
    Ok(entries)
}

fn list_below(dir: &Path) -> io::Result<Vec<Entry>> {
    let (mut files, mut dirs) = (Vec::new(), vec![OsString::new()]);
    while let Some(below) = dirs.pop() {
        for entry in list_local(&dir.join(&below))? {
            let name = Path::new(&below).join(&entry.name).into_os_string();
            match entry.is_dir {
                true => dirs.push(name),
                false => files.push(Entry { name, ..entry }),
            }
        }
    }
    Ok(files)
}

/// Creates the directory `dir` and its missing parents. A store needs no directories.
///
/// # Errors
/// [`StorageError`] with the path.
pub fn make_dirs(dir: &Path) -> Result<(), StorageError> {
    match locate(dir)? {
        Location::Object(_) => Ok(()),
        Location::Local(local) => std::fs::create_dir_all(local)
            .map_err(|source| StorageError::io("create the directory", dir, source)),
    }
}

/// Whether files can be written below `dir`, which need not exist. A local directory is not checked: creating it and
/// writing there will show. In a store this creates a small object twice, which must be refused the second time, and
/// removes it.
///
/// # Errors
/// [`StorageError`]: credentials, permissions, a bucket that does not exist, a store that cannot refuse.
pub fn check_writable(dir: &Path) -> Result<(), StorageError> {
    match locate(dir)? {
        Location::Object(url) => object::check_writable(&url),
        Location::Local(_) => Ok(()),
    }
}

/// Removes a file; a missing one is not an error.
///
/// # Errors
/// [`StorageError`] with the path.
pub fn remove_file(path: &Path) -> Result<(), StorageError> {
    let local = match locate(path)? {
        Location::Object(url) => return object::delete(&url),
        Location::Local(local) => local,
    };
    match std::fs::remove_file(local) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StorageError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Removes a directory with all its content; a missing one is not an error.
///
/// # Errors
/// [`StorageError`] with the path.
pub fn remove_tree(dir: &Path) -> Result<(), StorageError> {
    let local = match locate(dir)? {
        Location::Object(url) => return object::delete_tree(&url),
        Location::Local(local) => local,
    };
    match fault::check().and_then(|()| std::fs::remove_dir_all(local)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StorageError::io("remove", dir, error))
        }
        _ => Ok(()),
    }
}

/// `path`, with a branch of the Hugging Face hub replaced by the commit that this process reads: a record of what was
/// read. Any other path is returned as it is.
pub fn pinned(path: &Path) -> PathBuf {
    hub::pinned(path)
}

/// A directory for temporary files of the writer of `path`: the one it is in, or the system's where `path` is in a
/// store.
pub fn scratch_beside(path: &Path) -> PathBuf {
    match path.parent() {
        _ if is_url(path) => std::env::temp_dir(),
        Some(dir) if !dir.as_os_str().is_empty() => plain_place(dir.to_path_buf()),
        _ => PathBuf::from("."),
    }
}

/// Tells the content under a name from other content that has taken its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity(Option<String>);

/// The identity of what is at `path` now; `None` if nothing is.
///
/// # Errors
/// [`StorageError`] where this cannot be determined.
pub fn identity(path: &Path) -> Result<Option<Identity>, StorageError> {
    use std::os::unix::fs::MetadataExt;
    if let Some(url) = HubUrl::parse(path)? {
        return hub::commit(&url).map(|commit| Some(Identity(Some(commit))));
    }
    let local = match locate(path)? {
        Location::Object(url) => {
            return Ok(object::find(&url)?.map(|object| Identity(object.etag)));
        }
        Location::Local(local) => local,
    };
    match std::fs::metadata(local) {
        Ok(found) => Ok(Some(Identity(Some(format!(
            "{}:{}",
            found.dev(),
            found.ino()
        ))))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StorageError::io("read", path, source)),
    }
}

/// Removes `path` if it is unchanged; what another process has put there since stays.
///
/// # Errors
/// [`StorageError`] with the path.
pub fn remove_if_unchanged(path: &Path, before: &Identity) -> Result<(), StorageError> {
    match identity(path)? {
        Some(now) if now == *before => remove_file(path),
        _ => Ok(()),
    }
}
