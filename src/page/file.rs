//! A page as a file, which replaces only earlier pages.

use super::error::PageError;
use super::html::GENERATOR;
use crate::storage::{self, Source, sweep_abandoned};
use std::path::Path;

/// Default name of a page.
pub(crate) const PAGE_NAME: &str = "report.html";
/// Bytes at the start of a file that identify its author.
const HEAD_BYTES: u64 = 4096;
/// How pages of versions without [`GENERATOR`] begin.
const EARLIER: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; ";

/// Refuses a file at `path` that is not a page of this program; called before long work.
pub(crate) fn check_replaceable(path: &Path, overwrite: bool) -> Result<(), PageError> {
    if overwrite {
        return Ok(());
    }
    let source = match Source::open(path) {
        Err(error) if error.is_not_found() => return Ok(()),
        source => source?,
    };
    let head = source.read_at(0, source.n_bytes().min(HEAD_BYTES) as usize)?;
    let head = String::from_utf8_lossy(&head);
    match head.contains(GENERATOR) || head.starts_with(EARLIER) {
        true => Ok(()),
        false => Err(PageError::Foreign { path: path.into() }),
    }
}

/// Writes the page, whole or not at all.
pub(crate) fn replace(path: &Path, html: &str) -> Result<(), PageError> {
    if let (Some(dir), Some(name)) = (path.parent(), path.file_name()) {
        let here = dir.as_os_str().is_empty();
        sweep_abandoned(if here { Path::new(".") } else { dir }, name)?;
    }
    Ok(storage::replace(path, html.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_takes_the_place_of_pages_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.html");
        check_replaceable(&path, false).unwrap();
        std::fs::write(&path, "<!DOCTYPE html><title>A thesis</title>").unwrap();
        let error = check_replaceable(&path, false).unwrap_err();
        assert!(error.to_string().contains("--overwrite"), "{error}");
        check_replaceable(&path, true).unwrap();
        for ours in [format!("<html>\n{GENERATOR}0.2.0\">"), EARLIER.to_owned()] {
            std::fs::write(&path, ours).unwrap();
            check_replaceable(&path, false).unwrap();
        }
    }
}
