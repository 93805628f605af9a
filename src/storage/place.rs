//! Paths as typed: places that are no local files, refused before a directory of that name is made.

use crate::error::{Classified, Kind};
use std::path::{Path, PathBuf};

/// A path that names no local file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got {got}: {remedy}")]
pub struct PlaceError {
    /// What would do.
    pub expected: &'static str,
    /// As typed.
    pub got: String,
    /// What to do.
    pub remedy: String,
}

impl Classified for PlaceError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

/// Whether `path` can be a local one.
///
/// # Errors
/// An empty path, a URL of any scheme, a `~` or a variable that no shell has expanded. A file that is
/// really called so is reached by `./` before its name.
pub fn check_place(path: &Path) -> Result<(), PlaceError> {
    let text = path.to_string_lossy();
    match place_remedy(&text) {
        Some(remedy) => Err(PlaceError {
            expected: "a local path",
            got: if text.is_empty() {
                "an empty one".to_owned()
            } else {
                format!("`{text}`")
            },
            remedy,
        }),
        None => Ok(()),
    }
}

/// Whether `output` is apart from `input`: not the same, and not inside it.
///
/// # Errors
/// One that is not, through links and dots too.
pub fn check_apart(output: &Path, input: &Path) -> Result<(), PlaceError> {
    if !resolved_path(output).starts_with(resolved_path(input)) {
        return Ok(());
    }
    Err(PlaceError {
        expected: "an output outside the inputs",
        got: format!("`{}`", output.display()),
        remedy: format!("{} is an input; choose another path", input.display()),
    })
}

/// `path` without links and dots, as far as it is there.
pub fn resolved_path(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for above in whole.ancestors() {
        if let (Ok(real), Ok(below)) = (above.canonicalize(), whole.strip_prefix(above)) {
            // An empty rest would put a slash after a file.
            return match below.as_os_str().is_empty() {
                true => real,
                false => real.join(below),
            };
        }
    }
    whole
}

fn place_remedy(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("give one, or leave the option out".to_owned());
    }
    if let Some((scheme, rest)) = split_scheme(text) {
        return Some(scheme_remedy(scheme, rest));
    }
    home_remedy(text).or_else(|| variable_remedy(text))
}

/// `scheme://rest`.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c));
    is_scheme.then_some((scheme, rest))
}

fn scheme_remedy(scheme: &str, rest: &str) -> String {
    match scheme.to_ascii_lowercase().as_str() {
        "file" => format!(
            "give the plain path, {}",
            rest.strip_prefix("localhost").unwrap_or(rest)
        ),
        "hf" => "download it first, for example with `hf download`, and give the directory".to_owned(),
        "http" | "https" | "ftp" => "download it first, and give the file".to_owned(),
        _ => "object stores and remote machines are not supported; mount it as a directory (for example with `rclone mount`) or copy it, and give that path"
            .to_owned(),
    }
}

/// `~/x` in quotes, in a file, or behind `--flag=`, where no shell expands it.
fn home_remedy(text: &str) -> Option<String> {
    let rest = text.strip_prefix('~')?;
    let (user, below) = rest.split_once('/').unwrap_or((rest, ""));
    let is_user = user
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    let home = std::env::var("HOME").ok().filter(|_| user.is_empty());
    let whole = match home {
        Some(home) => format!("write {}", Path::new(&home).join(below).display()),
        None => "write the whole path".to_owned(),
    };
    is_user.then(|| format!("the `~` was not expanded by a shell; {whole}"))
}

/// `$NAME/x` or `${NAME}/x`.
fn variable_remedy(text: &str) -> Option<String> {
    let rest = text.strip_prefix('$')?;
    let name = rest.trim_start_matches('{');
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let name = &name[..end.unwrap_or(name.len())];
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    is_name.then(|| format!("the variable {name} was not expanded by a shell; write its value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        check_place(Path::new(text)).unwrap_err().to_string()
    }

    #[test]
    fn every_scheme_is_refused_with_what_to_do() {
        let schemes = "s3 s3a gs gcs az abfs abfss wasbs hdfs oci r2 minio ssh sftp memory S3";
        for scheme in schemes.split(' ') {
            let message = refused(&format!("{scheme}://bucket/labels"));
            assert!(message.contains("mount"), "{message}");
            assert!(message.contains("://bucket/labels"), "{message}");
        }
        assert!(refused("hf://datasets/a/b").contains("hf download"));
        assert!(refused("https://a.b/c.parquet").contains("download it first"));
        assert!(refused("file:///data/x").contains("plain path, /data/x"));
        assert!(refused("file://localhost/data/x").contains("plain path, /data/x"));
    }

    #[test]
    fn what_a_shell_would_have_expanded_is_named() {
        assert!(refused("~/labels").contains("the `~` was not expanded by a shell"));
        assert!(refused("~").contains("`~`"));
        assert!(refused("~ann/labels").contains("whole path"));
        assert!(refused("$HOME/labels").contains("variable HOME"));
        assert!(refused("${DATA_DIR}/labels").contains("variable DATA_DIR"));
        assert!(refused("").contains("empty"));
    }

    #[test]
    fn odd_names_of_local_files_pass() {
        for text in [
            "labels",
            "./~/x",
            "a~",
            "~$lock.docx",
            "./s3://x",
            "a/b://c",
            "$",
            "$5",
            "C:",
            "日本語",
            "a b",
            "-",
            "x:y",
        ] {
            assert_eq!(check_place(Path::new(text)), Ok(()), "{text}");
        }
    }
}
