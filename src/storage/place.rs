//! Paths as typed: what is neither a local path nor a URL of a known store is refused, before a directory of that name
//! is created.

use crate::error::{Classified, Kind};
use std::path::{Path, PathBuf};

/// Schemes of the object stores, in lowercase. `s3a`, `abfs` and `abfss` are Hadoop's names.
pub(super) const STORE_SCHEMES: [&str; 7] = ["s3", "s3a", "gs", "az", "azure", "abfs", "abfss"];

/// Scheme of the Hugging Face hub.
pub(super) const HUB_SCHEME: &str = "hf";

/// A path that cannot be used for files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got {got}: {remedy}")]
pub struct PlaceError {
    /// What would be accepted.
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

/// Accepts a local path, a URL in a known object store (`s3://`, `gs://`, `az://` and their aliases) and a URL of a
/// local file (`file:///`).
///
/// # Errors
/// An empty path, a URL of another scheme, a `~` or a variable that no shell has expanded. A file that really has such
/// a name is reached by putting `./` before it.
pub fn check_place(path: &Path) -> Result<(), PlaceError> {
    if is_url(path) || file_url_path(path).is_some() {
        return Ok(());
    }
    check(
        path,
        "a local path, or a URL of s3://, gs://, az://, hf:// or file:///",
    )
}

/// Like [`check_place`], for what is written: the Hugging Face hub, which can only be read, is refused.
///
/// # Errors
/// Those of [`check_place`]; a URL of the hub.
pub fn check_output_place(path: &Path) -> Result<(), PlaceError> {
    if (is_url(path) && !is_hub(path)) || file_url_path(path).is_some() {
        return Ok(());
    }
    let expected = "a local path, or a URL of s3://, gs://, az:// or file:///";
    check(path, expected).map_err(|error| match is_hub(path) {
        true => PlaceError {
            remedy: "what is there can only be read; write to a directory, and upload that, for example with `hf upload`".to_owned(),
            ..error
        },
        false => error,
    })
}

/// Like [`check_place`], for what is read and written only on this machine: every store is refused.
///
/// # Errors
/// Those of [`check_place`]; a URL of a store.
pub fn check_local_place(path: &Path) -> Result<(), PlaceError> {
    if file_url_path(path).is_some() {
        return Ok(());
    }
    check(path, "a local path")
}

/// Whether `path` is a URL of a known object store, or of the Hugging Face hub.
pub fn is_url(path: &Path) -> bool {
    let text = path.to_str().and_then(split_scheme);
    text.is_some_and(|(scheme, _)| is_store_scheme(scheme))
}

fn is_hub(path: &Path) -> bool {
    let text = path.to_str().and_then(split_scheme);
    text.is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case(HUB_SCHEME))
}

/// Of an object store, or of the Hugging Face hub.
fn is_store_scheme(scheme: &str) -> bool {
    let scheme = scheme.to_ascii_lowercase();
    STORE_SCHEMES.contains(&scheme.as_str()) || scheme == HUB_SCHEME
}

/// The plain path of a `file:///` URL; any other path unchanged.
pub fn plain_place(path: PathBuf) -> PathBuf {
    file_url_path(&path).map(Path::to_path_buf).unwrap_or(path)
}

/// The path in `file:///path` or `file://localhost/path`.
pub(super) fn file_url_path(path: &Path) -> Option<&Path> {
    let (scheme, rest) = path.to_str().and_then(split_scheme)?;
    let rest = rest.strip_prefix("localhost").unwrap_or(rest);
    let is_file = scheme.eq_ignore_ascii_case("file") && rest.starts_with('/');
    is_file.then(|| Path::new(rest))
}

fn check(path: &Path, expected: &'static str) -> Result<(), PlaceError> {
    let text = path.to_string_lossy();
    match place_remedy(&text) {
        Some(remedy) => Err(PlaceError {
            expected,
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

/// Checks that `output` is apart from `input`: not the same, and not inside it.
///
/// # Errors
/// It is not, also if only through links or dots.
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

/// `path` without links and dots, as far as it exists; a URL of a store unchanged.
pub fn resolved_path(path: &Path) -> PathBuf {
    if is_url(path) {
        return path.to_owned();
    }
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for above in whole.ancestors() {
        if let (Ok(real), Ok(below)) = (above.canonicalize(), whole.strip_prefix(above)) {
            // Joining an empty rest would put a slash after a file.
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
    tilde_remedy(text).or_else(|| variable_remedy(text))
}

/// `scheme://rest`.
pub(super) fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c));
    is_scheme.then_some((scheme, rest))
}

fn scheme_remedy(scheme: &str, rest: &str) -> String {
    match scheme.to_ascii_lowercase().as_str() {
        "file" => format!("give the plain path, or file:/// before a path from the root (got `{rest}`)"),
        HUB_SCHEME => "what is there can only be read, and not for this; download it, for example with `hf download`, and give the directory".to_owned(),
        "http" | "https" | "ftp" => "download it first, and give the file".to_owned(),
        store if STORE_SCHEMES.contains(&store) => {
            "this one is read and written on this machine only; mount the store as a directory (for example with `rclone mount`), or copy from it, and give that path".to_owned()
        }
        other => match STORE_SCHEMES.iter().find(|known| is_typo(other, known)) {
            Some(known) => format!("did you mean {known}://?"),
            None => "that scheme is not known; mount it as a directory (for example with `rclone mount`) or copy it, and give that path".to_owned(),
        },
    }
}

/// Whether `typed` is `known` with one letter changed, missing or added.
fn is_typo(typed: &str, known: &str) -> bool {
    let (typed, known) = (typed.as_bytes(), known.as_bytes());
    let n_same = typed.iter().zip(known).take_while(|(a, b)| a == b).count();
    let (typed, known) = (&typed[n_same..], &known[n_same..]);
    let rest = |bytes: &[u8]| bytes.get(1..).map(<[u8]>::to_vec);
    let is_longer = rest(typed).is_some_and(|typed| typed == known);
    let is_shorter = rest(known).is_some_and(|known| known == typed);
    n_same > 0 && (is_longer || is_shorter || rest(typed).is_some() && rest(typed) == rest(known))
}

/// `~/x` in quotes, in a file, or after `--flag=`, where the shell does not expand it.
fn tilde_remedy(text: &str) -> Option<String> {
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
    fn urls_of_stores_pass_where_they_may_and_are_refused_where_not() {
        for scheme in "s3 s3a gs az azure abfs abfss S3".split(' ') {
            let url = format!("{scheme}://bucket/labels");
            let url = Path::new(&url);
            assert_eq!(check_place(url), Ok(()), "{scheme}");
            assert!(is_url(url));
            let message = check_local_place(url).unwrap_err().to_string();
            assert!(message.contains("expected a local path, got"), "{message}");
            assert!(message.contains("mount"), "{message}");
        }
    }

    #[test]
    fn every_other_scheme_is_refused_with_what_to_do() {
        for scheme in "gcs wasbs hdfs oci r2 minio ssh sftp memory".split(' ') {
            let message = refused(&format!("{scheme}://bucket/labels"));
            assert!(message.contains("://bucket/labels"), "{message}");
            assert!(message.contains("s3://, gs://, az://, hf://"), "{message}");
        }
        let hub = Path::new("hf://datasets/a/b");
        assert!(is_url(hub) && check_place(hub).is_ok());
        let refused_hub = check_local_place(hub).unwrap_err().to_string();
        assert!(refused_hub.contains("hf download"), "{refused_hub}");
        assert!(refused("https://a.b/c.parquet").contains("download it first"));
        assert!(refused("file://data/x").contains("plain path"));
    }

    #[test]
    fn only_what_can_be_written_is_offered_for_an_output() {
        let check = |text: &str| check_output_place(Path::new(text)).map_err(|e| e.to_string());
        for place in ["s3://b/x", "AZ://b/x", "file:///x", "labels"] {
            assert_eq!(check(place), Ok(()), "{place}");
        }
        for place in [
            "s4://b/x",
            "hdfs://b/x",
            "hf://datasets/a/b",
            "HF://a/b",
            "~/x",
        ] {
            let message = check(place).unwrap_err();
            assert!(
                message.contains("s3://, gs://, az:// or file:///, got"),
                "{message}"
            );
        }
        assert!(
            check("hf://datasets/a/b")
                .unwrap_err()
                .contains("can only be read")
        );
    }

    #[test]
    fn a_slip_of_one_letter_is_named() {
        for (typed, meant) in [
            ("s4", "s3"),
            ("ss3", "s3"),
            ("gss", "gs"),
            ("gcs", "gs"),
            ("abf", "abfs"),
            ("azur", "azure"),
        ] {
            let message = refused(&format!("{typed}://bucket/x"));
            assert!(
                message.contains(&format!("did you mean {meant}://")),
                "{message}"
            );
        }
        assert!(!refused("hdfs://bucket/x").contains("did you mean"));
    }

    #[test]
    fn a_file_url_is_its_path() {
        for url in [
            "file:///data/x",
            "file://localhost/data/x",
            "FILE:///data/x",
        ] {
            assert_eq!(check_place(Path::new(url)), Ok(()));
            assert_eq!(check_local_place(Path::new(url)), Ok(()));
            assert_eq!(plain_place(PathBuf::from(url)), Path::new("/data/x"));
            assert!(!is_url(Path::new(url)));
        }
        let url = PathBuf::from("s3://bucket/x");
        assert_eq!(plain_place(url.clone()), url);
    }

    #[test]
    fn paths_that_the_shell_did_not_expand_are_named() {
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
