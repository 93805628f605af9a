//! Writing objects: small ones by one request, large ones in parts.

use super::client::{Client, again, runtime};
use super::fault::is_transient;
use super::options::{named, options};
use super::read::find;
use super::stop::{UploadInProgress, unless_stopped};
use super::url::ObjectUrl;
use crate::storage::names::temp_name;
use crate::storage::published::Publish;
use crate::storage::{StorageError, StoreFault};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::{MultipartUpload, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes of every part but the last; more if there would be too many parts.
const PART_BYTES: u64 = 16 << 20;
/// Most parts that S3 accepts.
const MAX_PARTS: u64 = 10_000;
/// Parts of one file in flight.
const PARTS_AHEAD: usize = 4;
/// How often a whole upload is attempted, each time with its own retries of requests.
const MAX_ATTEMPTS: u32 = 3;
/// Waits between attempts after a conflict with another writer, in milliseconds.
const CONFLICT_WAITS: [u64; 4] = [50, 200, 500, 1000];

/// Puts `bytes` at `url` unless the name is taken. If the response to a put was lost, its object is recognized by equal
/// bytes.
pub(in crate::storage) fn create(url: &ObjectUrl, bytes: Bytes) -> Result<Publish, StorageError> {
    let client = Client::of(url)?;
    let _in_work = UploadInProgress::begin();
    for wait in CONFLICT_WAITS {
        match put(&client, bytes.clone(), PutMode::Create) {
            Ok(()) => return Ok(Publish::Created),
            Err(PutFault::Taken) if find(url)?.is_some() => return Ok(Publish::AlreadyThere),
            // Another writer got the same answer, and neither object is there yet.
            Err(PutFault::Taken) => std::thread::sleep(Duration::from_millis(wait)),
            // The next attempt shows whether it is there now.
            Err(PutFault::Other(error)) if is_transient(&error) => {
                std::thread::sleep(Duration::from_millis(wait));
            }
            Err(PutFault::Other(error)) if is_unconditional(&error) => {
                return create_alone(&client, bytes, error);
            }
            Err(PutFault::Other(error)) => return Err(error),
        }
    }
    match put(&client, bytes, PutMode::Create) {
        Ok(()) => Ok(Publish::Created),
        Err(PutFault::Taken) => Ok(Publish::AlreadyThere),
        Err(PutFault::Other(error)) => Err(error),
    }
}

/// Puts `bytes` at `url`, replacing whatever is there.
pub(in crate::storage) fn overwrite(url: &ObjectUrl, bytes: Bytes) -> Result<(), StorageError> {
    let client = Client::of(url)?;
    let _in_work = UploadInProgress::begin();
    match put(&client, bytes, PutMode::Overwrite) {
        Ok(()) => Ok(()),
        Err(PutFault::Taken) => Err(failed(url, StoreFault::Failed)),
        Err(PutFault::Other(error)) => Err(error),
    }
}

enum PutFault {
    /// Something is there, or another writer is creating it.
    Taken,
    Other(StorageError),
}

fn put(client: &Client, bytes: Bytes, mode: PutMode) -> Result<(), PutFault> {
    let options = PutOptions::from(mode);
    // If repeated, a conditional put finds its own object, as after a lost response.
    let put = again(|| {
        let (bytes, options) = (bytes.clone(), options.clone());
        client.store.put_opts(&client.key, bytes.into(), options)
    });
    let runtime = runtime(&client.url).map_err(PutFault::Other)?;
    match runtime.block_on(unless_stopped(put)) {
        None => Err(PutFault::Other(failed(&client.url, StoreFault::Stopped))),
        Some(Ok(_)) => Ok(()),
        Some(Err(object_store::Error::AlreadyExists { .. })) => Err(PutFault::Taken),
        Some(Err(error)) => Err(PutFault::Other(client.error("write", error))),
    }
}

fn failed(url: &ObjectUrl, fault: StoreFault) -> StorageError {
    StorageError::store("write", named(url), fault)
}

fn is_unconditional(error: &StorageError) -> bool {
    let fault = match error {
        StorageError::Store { fault, .. } => fault,
        _ => return false,
    };
    *fault == StoreFault::NoCreateIfAbsent
}

/// For a store without conditional puts: checks first, which suffices if nobody else writes.
fn create_alone(
    client: &Client,
    bytes: Bytes,
    error: StorageError,
) -> Result<Publish, StorageError> {
    if !options().is_single_writer {
        return Err(error);
    }
    if find(&client.url)?.is_some() {
        return Ok(Publish::AlreadyThere);
    }
    overwrite(&client.url, bytes)?;
    Ok(Publish::Created)
}

/// Puts the local `file` at `url` unless the name is taken. A large file is sent in parts, and of two simultaneous
/// writers the last wins: use only for files whose content is determined by their name.
pub(in crate::storage) fn upload_new(
    url: &ObjectUrl,
    file: &Path,
    n_bytes: u64,
) -> Result<Publish, StorageError> {
    if n_bytes <= options().one_put_bytes() {
        return create(url, read_local(file)?);
    }
    if find(url)?.is_some() {
        return Ok(Publish::AlreadyThere);
    }
    upload_parts(url, file, n_bytes, true)
}

/// Puts the local `file` at `url`, replacing whatever is there.
pub(in crate::storage) fn upload(
    url: &ObjectUrl,
    file: &Path,
    n_bytes: u64,
) -> Result<(), StorageError> {
    if n_bytes <= options().one_put_bytes() {
        return overwrite(url, read_local(file)?);
    }
    upload_parts(url, file, n_bytes, false).map(drop)
}

/// Uploads in parts; with `is_new`, it ends before the last step if the name was taken meanwhile.
fn upload_parts(
    url: &ObjectUrl,
    file: &Path,
    n_bytes: u64,
    is_new: bool,
) -> Result<Publish, StorageError> {
    let io = |source| StorageError::io("read", file, source);
    let source = Arc::new(File::open(file).map_err(io)?);
    let client = Client::of(url)?;
    let _in_work = UploadInProgress::begin();
    let mut n_tries = 1;
    loop {
        match upload_once(&client, &source, n_bytes, is_new) {
            Err(error) if is_transient(&error) && n_tries < MAX_ATTEMPTS => n_tries += 1,
            done => return done,
        }
    }
}

fn read_local(file: &Path) -> Result<Bytes, StorageError> {
    let bytes = std::fs::read(file).map_err(|source| StorageError::io("read", file, source))?;
    Ok(bytes.into())
}

/// One attempt at an upload in parts. If it fails or is stopped, its parts are removed.
fn upload_once(
    client: &Client,
    file: &Arc<File>,
    n_bytes: u64,
    is_new: bool,
) -> Result<Publish, StorageError> {
    let runtime = runtime(&client.url)?;
    let begun = client
        .store
        .put_multipart_opts(&client.key, PutMultipartOptions::default());
    let mut upload = match runtime.block_on(unless_stopped(begun)) {
        None => return Err(failed(&client.url, StoreFault::Stopped)),
        Some(begun) => begun.map_err(|error| client.error("write", error))?,
    };
    let taken_by = is_new.then_some(client);
    let sent = runtime.block_on(unless_stopped(send(&mut *upload, file, n_bytes, taken_by)));
    let error = match sent {
        Some(Ok(Publish::Created)) => return Ok(Publish::Created),
        Some(Ok(Publish::AlreadyThere)) => {
            let _ = runtime.block_on(upload.abort());
            return Ok(Publish::AlreadyThere);
        }
        Some(Err(SendFault::Store(error))) => client.error("write", error),
        Some(Err(SendFault::Local(source))) => {
            StorageError::io("read the scratch file of", &named(&client.url), source)
        }
        None => failed(&client.url, StoreFault::Stopped),
    };
    // Best effort: if the store does not answer, the parts stay until its own rule removes them.
    let _ = runtime.block_on(upload.abort());
    Err(error)
}

enum SendFault {
    Store(object_store::Error),
    Local(io::Error),
}

/// Sends every part and combines them, unless the name of `unless_taken`'s object is taken by then.
async fn send(
    upload: &mut dyn MultipartUpload,
    file: &Arc<File>,
    n_bytes: u64,
    unless_taken: Option<&Client>,
) -> Result<Publish, SendFault> {
    let part_bytes = PART_BYTES.max(n_bytes.div_ceil(MAX_PARTS));
    let starts = (0..n_bytes).step_by(part_bytes as usize);
    // Each part is read only when its turn comes, so that only those in flight are in memory.
    let parts = starts.map(|start| {
        let n = part_bytes.min(n_bytes - start) as usize;
        let read = read_part(file, start, n);
        let put = read.map(|bytes| upload.put_part(bytes.into()));
        async move {
            let put = put.map_err(SendFault::Local)?;
            put.await.map_err(SendFault::Store)
        }
    });
    let parts: Result<Vec<()>, SendFault> = stream::iter(parts)
        .buffer_unordered(PARTS_AHEAD)
        .try_collect()
        .await;
    parts?;
    // Stores combine parts unconditionally: the later of two writers would win.
    if let Some(client) = unless_taken
        && client.store.head(&client.key).await.is_ok()
    {
        return Ok(Publish::AlreadyThere);
    }
    upload.complete().await.map_err(SendFault::Store)?;
    Ok(Publish::Created)
}

fn read_part(file: &File, start: u64, n_bytes: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; n_bytes];
    file.read_exact_at(&mut bytes, start)?;
    Ok(bytes.into())
}

/// Removes the object at `url`; a missing one is not an error.
pub(in crate::storage) fn delete(url: &ObjectUrl) -> Result<(), StorageError> {
    let client = Client::of(url)?;
    match client.run("remove", || client.store.delete(&client.key)) {
        Err(error) if error.is_not_found() => Ok(()),
        done => done,
    }
}

/// Removes every object below `url`.
pub(in crate::storage) fn delete_tree(url: &ObjectUrl) -> Result<(), StorageError> {
    let client = Client::of(url)?;
    client.run("remove", || {
        let listed = client.store.list(Some(&client.key));
        let keys = listed.map_ok(|meta| meta.location);
        let deleted = client.store.delete_stream(keys.boxed());
        deleted.try_for_each(|_| async { Ok(()) })
    })
}

/// Checks, with a small object that is removed again, that objects can be created below `url`, and only where there is
/// none. Done once per process and prefix.
pub(in crate::storage) fn check_writable(url: &ObjectUrl) -> Result<(), StorageError> {
    static KNOWN: Mutex<Option<HashSet<ObjectUrl>>> = Mutex::new(None);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known().as_ref().is_some_and(|known| known.contains(url)) {
        return Ok(());
    }
    let name = temp_name(OsStr::new("saltworks-probe"));
    let key = format!("{}/{}", url.key, name.to_string_lossy());
    let probe = ObjectUrl {
        key: key.trim_start_matches('/').to_owned(),
        ..url.clone()
    };
    let probed = probe_twice(&probe);
    let removed = delete(&probe);
    probed?;
    removed?;
    known().get_or_insert_default().insert(url.clone());
    Ok(())
}

fn probe_twice(probe: &ObjectUrl) -> Result<(), StorageError> {
    let bytes = Bytes::from_static(b"written to see whether it can be; it may be removed\n");
    create(probe, bytes.clone())?;
    match create(probe, bytes)? {
        Publish::AlreadyThere => Ok(()),
        Publish::Created if options().is_single_writer => Ok(()),
        Publish::Created => Err(failed(probe, StoreFault::NoCreateIfAbsent)),
    }
}
