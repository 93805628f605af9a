//! A file that appears whole or not at all: a temporary beside it, fsync, rename.

use super::corpus_json::FileStamp;
use super::error::TokensError;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

const BUFFER_BYTES: usize = 1 << 20;

/// A temporary in the final directory; hashes what passes; removed on drop.
pub(super) struct Partial {
    file: BufWriter<File>,
    temp: TempPath,
    final_path: PathBuf,
    hasher: blake3::Hasher,
    n_bytes: u64,
}

/// A temporary that is complete on disk; removed on drop.
pub(super) struct Sealed {
    pub(super) stamp: FileStamp,
    temp: TempPath,
    final_path: PathBuf,
}

struct TempPath(PathBuf);

impl Drop for TempPath {
    fn drop(&mut self) {
        // After publishing, it is not there any more.
        let _ = fs::remove_file(&self.0);
    }
}

impl Partial {
    pub(super) fn create(final_path: &Path) -> Result<Self, TokensError> {
        let name = final_path.file_name().unwrap_or_default().to_string_lossy();
        let temp = final_path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        let file = File::create(&temp).map_err(TokensError::io("create", &temp))?;
        Ok(Self {
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            temp: TempPath(temp),
            final_path: final_path.to_path_buf(),
            hasher: blake3::Hasher::new(),
            n_bytes: 0,
        })
    }

    pub(super) fn final_path(&self) -> &Path {
        &self.final_path
    }

    /// Brings everything to disk.
    pub(super) fn seal(self) -> Result<Sealed, TokensError> {
        let Self {
            file,
            temp,
            final_path,
            hasher,
            n_bytes,
        } = self;
        file.into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .map_err(TokensError::io("write", &final_path))?;
        let stamp = FileStamp {
            bytes: n_bytes,
            blake3: hasher.finalize().to_hex().to_string(),
        };
        Ok(Sealed {
            stamp,
            temp,
            final_path,
        })
    }
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.n_bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sealed {
    /// Gives the file its name, replacing another.
    pub(super) fn publish(self) -> Result<(), TokensError> {
        fs::rename(&self.temp.0, &self.final_path)
            .and_then(|()| sync_dir(&self.final_path))
            .map_err(TokensError::io("publish", &self.final_path))
    }
}

/// A rename is on disk only when its directory is.
fn sync_dir(path: &Path) -> io::Result<()> {
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}

/// Writes a small file at once.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), TokensError> {
    let mut partial = Partial::create(path)?;
    partial
        .write_all(bytes)
        .map_err(TokensError::io("write", path))?;
    partial.seal()?.publish()
}
