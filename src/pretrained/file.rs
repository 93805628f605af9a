//! Detects files that a failed download left in place of a model's files.

use super::PretrainedError;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// First bytes of a Git LFS pointer.
const LFS: &[u8] = b"version https://git-lfs.";

/// Refuses anything under the name of a model's file that is not one: a directory, a pipe, a device, a dangling symbolic link, an
/// empty file, a Git LFS pointer. A missing file is not an error here.
///
/// # Errors
/// [`PretrainedError::NotThatFile`], or I/O.
pub fn check_usable_file(path: &Path) -> Result<(), PretrainedError> {
    let refuse = |got: String, remedy| {
        Err(PretrainedError::NotThatFile {
            path: path.to_owned(),
            got,
            remedy,
        })
    };
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return check_link(path),
        metadata => metadata.map_err(|source| PretrainedError::io("read", path, source))?,
    };
    if metadata.is_dir() {
        return refuse("a directory".to_owned(), "give the model's own file");
    }
    if !metadata.is_file() {
        let remedy = "write its contents to a file first";
        return refuse("a pipe or a device".to_owned(), remedy);
    }
    if metadata.len() == 0 {
        return refuse("an empty file".to_owned(), "copy or download it again");
    }
    if starts_with_lfs(path).map_err(|source| PretrainedError::io("read", path, source))? {
        let remedy = "fetch it with `git lfs pull` in that clone, or download it";
        return refuse("a Git LFS pointer, not the file itself".to_owned(), remedy);
    }
    Ok(())
}

/// Refuses a dangling link, which exists but cannot be read.
fn check_link(path: &Path) -> Result<(), PretrainedError> {
    let Ok(target) = std::fs::read_link(path) else {
        return Ok(());
    };
    Err(PretrainedError::NotThatFile {
        path: path.to_owned(),
        got: format!(
            "a symbolic link to {}, which does not exist",
            target.display()
        ),
        remedy: "copy the files that links lead to (cp -L), or download them again",
    })
}

fn starts_with_lfs(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::with_capacity(LFS.len());
    File::open(path)?
        .take(LFS.len() as u64)
        .read_to_end(&mut head)?;
    Ok(head == LFS)
}
