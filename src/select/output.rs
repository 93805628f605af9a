//! Where a selection may be written.

use super::SelectError;
use crate::shards::{is_of_labels, is_selection};
use crate::storage::{self, Source};
use std::path::Path;

/// Refuses to overwrite anything but a selection: shards are Parquet too, and take hours to make. Also refuses to
/// overwrite the one in a directory of labels, which defines their rows.
///
/// # Errors
/// [`SelectError::NotASelection`], [`SelectError::OfLabels`]; a path that cannot name a file, or a file that cannot be
/// read.
pub(super) fn check_replaceable(path: &Path) -> Result<(), SelectError> {
    storage::check_file_name(path)?;
    if is_of_labels(path) {
        return Err(SelectError::OfLabels {
            path: path.to_path_buf(),
        });
    }
    let source = match Source::open(path) {
        Ok(source) => source,
        // Nothing can be lost; the writer will report what is wrong with the path.
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) if error.is_refusal() => return Err(error.into()),
        Err(_) => {
            let path = path.to_path_buf();
            return Err(SelectError::NotASelection { path });
        }
    };
    match is_selection(&source)? {
        true => Ok(()),
        false => Err(SelectError::NotASelection {
            path: path.to_path_buf(),
        }),
    }
}
