//! Files of a model that are none: what a download that went wrong leaves.

use super::PretrainedError;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// First bytes of what Git LFS puts where a file should be.
const LFS: &[u8] = b"version https://git-lfs.";

/// Refuses what has the name of a file of a model and is none: a directory, a symbolic link to
/// nothing, an empty file, a pointer of Git LFS. A name that is not there is no error here.
///
/// # Errors
/// [`PretrainedError::NotThatFile`], or I/O.
pub fn check_is_there(path: &Path) -> Result<(), PretrainedError> {
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
    if metadata.len() == 0 {
        return refuse("an empty file".to_owned(), "copy or download it again");
    }
    if starts_with_lfs(path).map_err(|source| PretrainedError::io("read", path, source))? {
        let remedy = "fetch it with `git lfs pull` in that clone, or download it";
        return refuse("a Git LFS pointer, not the file itself".to_owned(), remedy);
    }
    Ok(())
}

/// A link to nothing is there by its name, and is not there to whoever reads it.
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
