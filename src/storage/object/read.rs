//! Reading and listing objects.

use super::client::{Client, MAX_REQUESTS, Object, again, runtime};
use super::url::ObjectUrl;
use crate::storage::StorageError;
use crate::storage::entry::Entry;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::{GetOptions, ObjectMeta, ObjectStoreExt};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::ops::Range;

/// Bytes per request: what a slow connection transfers before a request times out.
const BLOCK_BYTES: u64 = 8 << 20;
/// Blocks of one object in flight.
const BLOCKS_AHEAD: usize = 4;

/// The object at `url`; `None` if there is none.
pub(in crate::storage) fn find(url: &ObjectUrl) -> Result<Option<Object>, StorageError> {
    if url.key.is_empty() {
        return Ok(None);
    }
    let client = Client::of(url)?;
    match client.run("look at", || client.store.head(&client.key)) {
        Ok(meta) => Ok(Some(object(url, &meta))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether there are objects below `url`.
pub(in crate::storage) fn is_prefix(url: &ObjectUrl) -> Result<bool, StorageError> {
    let client = Client::of(url)?;
    let first = || async {
        client
            .store
            .list(Some(&client.key))
            .next()
            .await
            .transpose()
    };
    Ok(client.run("list", first)?.is_some())
}

/// The object at `url`, for reading.
///
/// # Errors
/// There is no such object.
pub(in crate::storage) fn open(url: &ObjectUrl) -> Result<Object, StorageError> {
    let client = Client::of(url)?;
    let meta = client.run("read", || client.store.head(&client.key))?;
    Ok(object(url, &meta))
}

fn object(url: &ObjectUrl, meta: &ObjectMeta) -> Object {
    Object {
        url: url.clone(),
        n_bytes: meta.size,
        etag: meta.e_tag.clone(),
    }
}

/// The whole object at `url`, unless it has more than `max_bytes` bytes.
pub(in crate::storage) fn get_up_to(
    url: &ObjectUrl,
    max_bytes: u64,
) -> Result<Option<Vec<u8>>, StorageError> {
    let client = Client::of(url)?;
    let (meta, bytes) = client.run("read", || first_block(&client))?;
    if meta.size > max_bytes {
        return Ok(None);
    }
    if let Some(bytes) = bytes {
        return Ok(Some(bytes.into()));
    }
    let mut bytes = Vec::new();
    object(url, &meta).for_each_block(|block| {
        bytes.extend_from_slice(block);
        Ok(())
    })?;
    Ok(Some(bytes))
}

/// Like [`get_up_to`], for many objects; `None` for one that does not exist.
pub(in crate::storage) fn get_many(
    urls: &[ObjectUrl],
    max_bytes: u64,
) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
    let Some(first) = urls.first() else {
        return Ok(Vec::new());
    };
    let clients: Result<Vec<Client>, StorageError> = urls.iter().map(Client::of).collect();
    let clients = clients?;
    let reads = clients.iter().map(|client| async move {
        let found = again(|| first_block(client)).await;
        found.map_err(|error| client.error("read", error))
    });
    let read = runtime(first)?.block_on(
        stream::iter(reads)
            .buffered(MAX_REQUESTS)
            .collect::<Vec<_>>(),
    );
    let whole = |(found, url): (Result<_, StorageError>, &ObjectUrl)| match found {
        Ok((_, Some(bytes))) => Ok(Some(Vec::from(bytes))),
        // Too large to have come with the first response: read like any other object.
        Ok((_, None)) => get_up_to(url, max_bytes),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    };
    read.into_iter().zip(urls).map(whole).collect()
}

/// An object's metadata, and its bytes if they are few.
async fn first_block(client: &Client) -> object_store::Result<(ObjectMeta, Option<Bytes>)> {
    let found = client.store.get(&client.key).await?;
    let meta = found.meta.clone();
    if meta.size > BLOCK_BYTES {
        return Ok((meta, None));
    }
    let bytes = whole(found.bytes().await?, meta.size)?;
    Ok((meta, Some(bytes)))
}

/// Passes the bytes of the object at `url` to `work`, block by block; returns the object.
pub(in crate::storage) fn for_each_block(
    url: &ObjectUrl,
    mut work: impl FnMut(&[u8]) -> Result<(), StorageError>,
) -> Result<Object, StorageError> {
    let client = Client::of(url)?;
    let (meta, bytes) = client.run("read", || first_block(&client))?;
    let object = object(url, &meta);
    match bytes {
        Some(bytes) => work(&bytes)?,
        None => object.for_each_block(work)?,
    }
    Ok(object)
}

impl Object {
    /// Like [`for_each_block`], for this version.
    pub(in crate::storage) fn for_each_block(
        &self,
        mut work: impl FnMut(&[u8]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let client = Client::of(&self.url)?;
        let ends = (0..self.n_bytes).step_by(BLOCK_BYTES as usize);
        let ranges = ends.map(|start| start..(start + BLOCK_BYTES).min(self.n_bytes));
        let blocks = ranges.map(|range| self.range(&client, range));
        let mut blocks = stream::iter(blocks).buffered(BLOCKS_AHEAD);
        let runtime = runtime(&self.url)?;
        while let Some(block) = runtime.block_on(blocks.next()) {
            work(&block.map_err(|error| client.error("read", error))?)?;
        }
        Ok(())
    }

    /// The bytes of `ranges`, with several requests at a time.
    pub(in crate::storage) fn read_ranges(
        &self,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, StorageError> {
        let client = Client::of(&self.url)?;
        let reads = ranges
            .iter()
            .map(|range| self.range(&client, range.clone()));
        let reads = stream::iter(reads).buffered(BLOCKS_AHEAD).try_collect();
        let read = runtime(&self.url)?.block_on(reads);
        read.map_err(|error| client.error("read", error))
    }

    async fn range(&self, client: &Client, range: Range<u64>) -> object_store::Result<Bytes> {
        again(|| async {
            let options = GetOptions::new()
                .with_range(Some(range.clone()))
                .with_if_match(self.etag.clone());
            let found = client.store.get_opts(&client.key, options).await?;
            whole(found.bytes().await?, range.end - range.start)
        })
        .await
    }
}

/// Refuses a body that was silently truncated on the way.
fn whole(bytes: Bytes, n_bytes: u64) -> object_store::Result<Bytes> {
    if bytes.len() as u64 == n_bytes {
        return Ok(bytes);
    }
    Err(object_store::Error::Generic {
        store: "the store",
        source: format!("{} bytes came, where {n_bytes} are", bytes.len()).into(),
    })
}

/// The entries directly below `url`.
pub(in crate::storage) fn list(url: &ObjectUrl) -> Result<Vec<Entry>, StorageError> {
    let client = Client::of(url)?;
    let found = client.run("list", || {
        client.store.list_with_delimiter(Some(&client.key))
    })?;
    let dirs = found.common_prefixes.iter().map(|key| Entry {
        name: name_of(key),
        n_bytes: 0,
        is_dir: true,
        modified: None,
        version: None,
    });
    let files = found
        .objects
        .iter()
        .filter(|meta| meta.location != client.key);
    let files = files.map(|meta| entry(name_of(&meta.location), meta));
    Ok(dirs.chain(files).collect())
}

/// Every object below `url`, by its relative name.
pub(in crate::storage) fn list_all(url: &ObjectUrl) -> Result<Vec<Entry>, StorageError> {
    let client = Client::of(url)?;
    let found: Vec<ObjectMeta> = client.run("list", || {
        client.store.list(Some(&client.key)).try_collect()
    })?;
    let relative = |meta: &ObjectMeta| {
        let whole = meta.location.as_ref();
        let below = whole.strip_prefix(&url.key).unwrap_or(whole);
        OsString::from(below.trim_start_matches('/'))
    };
    let names: BTreeSet<&str> = found.iter().map(|meta| meta.location.as_ref()).collect();
    let files = found.iter().filter(|meta| {
        meta.location != client.key && !(meta.size == 0 && has_below(&names, &meta.location))
    });
    Ok(files.map(|meta| entry(relative(meta), meta)).collect())
}

/// Whether something lies below `key`: an empty object of that name is then a console's folder marker.
fn has_below(names: &BTreeSet<&str>, key: &object_store::path::Path) -> bool {
    let prefix = format!("{key}/");
    let next = names.range(prefix.as_str()..).next();
    next.is_some_and(|name| name.starts_with(&prefix))
}

fn entry(name: OsString, meta: &ObjectMeta) -> Entry {
    Entry {
        name,
        n_bytes: meta.size,
        is_dir: false,
        modified: Some(meta.last_modified.into()),
        version: meta.e_tag.clone(),
    }
}

fn name_of(key: &object_store::path::Path) -> OsString {
    let whole = key.as_ref();
    OsString::from(whole.rsplit('/').next().unwrap_or(whole))
}
