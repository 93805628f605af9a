//! A file read once, from beginning to end.
//!
//! Blocks of an object are fetched ahead of the reader: a thread fetches several at a time, in order, and waits while
//! the reader is slower.

use super::hub;
use super::location::{Location, locate};
use super::object::{self, Object};
use super::{StorageError, fault};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Blocks that wait for the reader, besides those in flight.
const BLOCKS_WAITING: usize = 2;

/// The bytes of a file, in order. A store's error comes as an [`io::Error`] that contains a [`StorageError`]:
/// [`storage_error`] extracts it.
pub struct Stream(Inner);

enum Inner {
    File(File),
    Object(Blocks),
}

impl Stream {
    /// Opens a file.
    ///
    /// # Errors
    /// [`StorageError`] with the path.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let path = &*hub::local(path)?;
        let io = |source| StorageError::io("read", path, source);
        match locate(path)? {
            Location::Object(url) => {
                let blocks = Blocks::of(object::open(&url)?, path)?;
                Ok(Stream(Inner::Object(blocks)))
            }
            Location::Local(local) => Ok(Stream(Inner::File(File::open(local).map_err(io)?))),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::File(file) => fault::check_read().and_then(|()| file.read(buffer)),
            Inner::Object(blocks) => blocks.read(buffer),
        }
    }
}

/// Extracts a store's error from `error`.
///
/// # Errors
/// `error` itself, if it is another.
pub fn storage_error(error: io::Error) -> Result<StorageError, io::Error> {
    match error.get_ref() {
        Some(inner) if inner.is::<StorageError>() => {}
        _ => return Err(error),
    }
    let inner = error.into_inner().map(|inner| inner.downcast());
    match inner {
        Some(Ok(said)) => Ok(*said),
        Some(Err(other)) => Err(io::Error::other(other)),
        None => Err(io::Error::other("no error")),
    }
}

struct Blocks {
    /// `None` at the end, and after an error.
    coming: Option<Receiver<Result<Vec<u8>, StorageError>>>,
    block: Vec<u8>,
    n_read: usize,
}

impl Blocks {
    fn of(object: Object, path: &Path) -> Result<Self, StorageError> {
        let (sender, coming) = sync_channel(BLOCKS_WAITING);
        let thread = std::thread::Builder::new().name("storage stream".to_owned());
        thread
            .spawn(move || send_blocks(&object, &sender))
            .map_err(|source| StorageError::io("start a thread for", path, source))?;
        Ok(Blocks {
            coming: Some(coming),
            block: Vec::new(),
            n_read: 0,
        })
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.n_read == self.block.len() {
            // At the end the thread is gone, and so is the channel.
            let Some(Ok(next)) = self.coming.as_ref().map(Receiver::recv) else {
                self.coming = None;
                return Ok(0);
            };
            self.block = next
                .inspect_err(|_| self.coming = None)
                .map_err(io::Error::other)?;
            self.n_read = 0;
        }
        let left = &self.block[self.n_read..];
        let n = left.len().min(buffer.len());
        buffer[..n].copy_from_slice(&left[..n]);
        self.n_read += n;
        Ok(n)
    }
}

/// Stops once the reader is gone.
fn send_blocks(object: &Object, sender: &SyncSender<Result<Vec<u8>, StorageError>>) {
    let mut is_wanted = true;
    let sent = object.for_each_block(|block| {
        is_wanted = sender.send(Ok(block.to_vec())).is_ok();
        match is_wanted {
            true => Ok(()),
            false => Err(StorageError::io(
                "read",
                Path::new(""),
                io::ErrorKind::BrokenPipe.into(),
            )),
        }
    });
    if let Err(error) = sent
        && is_wanted
    {
        // If this fails, the reader is gone and needs no error.
        let _ = sender.send(Err(error));
    }
}

#[cfg(feature = "object-stores")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::replace;
    use crate::storage::testing::memory_store;

    #[test]
    fn an_object_comes_whole_and_in_order_and_may_be_left_in_the_middle() {
        memory_store("s3://storage-stream");
        let path = Path::new("s3://storage-stream/large");
        // More than the blocks in flight at a time.
        let bytes: Vec<u8> = (0..15u32 << 20).flat_map(u32::to_le_bytes).collect();
        replace(path, &bytes).unwrap();
        let mut got = Vec::new();
        Stream::open(path).unwrap().read_to_end(&mut got).unwrap();
        assert!(got == bytes);
        let mut first = [0; 10];
        Stream::open(path).unwrap().read_exact(&mut first).unwrap();
        assert_eq!(first, bytes[..10]);
        let absent = Stream::open(Path::new("s3://storage-stream/absent")).err();
        assert!(absent.unwrap().is_not_found());
    }

    #[test]
    fn what_a_store_says_is_taken_out_of_the_error_of_a_read() {
        let said = StorageError::changed(Path::new("s3://b/x"));
        let text = said.to_string();
        assert_eq!(
            storage_error(io::Error::other(said)).unwrap().to_string(),
            text
        );
        let other = storage_error(io::ErrorKind::UnexpectedEof.into()).unwrap_err();
        assert_eq!(other.kind(), io::ErrorKind::UnexpectedEof);
    }
}
