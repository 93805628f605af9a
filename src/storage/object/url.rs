//! URLs of objects: `scheme://bucket/key`.

use crate::storage::place::{STORE_SCHEMES, split_scheme};
use crate::storage::{StorageError, StoreFault};
use std::path::Path;

/// The place of an object, or a prefix of several.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::storage) struct ObjectUrl {
    /// `scheme://bucket`: which store.
    pub(in crate::storage) store: String,
    /// The key without a slash at either end; empty for the whole bucket.
    pub(in crate::storage) key: String,
}

impl ObjectUrl {
    /// The URL in `path`; `None` if it is not of a known store.
    ///
    /// # Errors
    /// A URL without a bucket, or whose key has an empty component, `.` or `..`: stores keep those literally, but a
    /// path does not.
    pub(in crate::storage) fn parse(path: &Path) -> Result<Option<Self>, StorageError> {
        let Some((scheme, rest)) = path.to_str().and_then(split_scheme) else {
            return Ok(None);
        };
        let scheme = scheme.to_ascii_lowercase();
        if !STORE_SCHEMES.contains(&scheme.as_str()) {
            return Ok(None);
        }
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let key = key.strip_suffix('/').unwrap_or(key);
        if bucket.is_empty() {
            return Err(fault(
                path,
                "a bucket between the scheme and the first slash",
            ));
        }
        let is_odd = |part: &str| ["", ".", ".."].contains(&part);
        if !key.is_empty() && key.split('/').any(is_odd) {
            return Err(fault(path, "no empty part, `.` or `..` between slashes"));
        }
        let store = format!("{scheme}://{bucket}");
        Ok(Some(ObjectUrl {
            store,
            key: key.to_owned(),
        }))
    }
}

fn fault(path: &Path, expected: &'static str) -> StorageError {
    StorageError::store("use", path, StoreFault::NotAUrl { expected })
}

impl std::fmt::Display for ObjectUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.store, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, String)> {
        let url = ObjectUrl::parse(Path::new(text)).unwrap();
        url.map(|url| (url.store, url.key))
    }

    #[test]
    fn a_url_is_a_store_and_a_key() {
        let of = |store: &str, key: &str| Some((store.to_owned(), key.to_owned()));
        assert_eq!(parsed("s3://b/run/labels"), of("s3://b", "run/labels"));
        assert_eq!(parsed("S3://b/run/"), of("s3://b", "run"));
        assert_eq!(parsed("gs://b"), of("gs://b", ""));
        assert_eq!(
            parsed("abfss://c@a.dfs.core.windows.net/x"),
            of("abfss://c@a.dfs.core.windows.net", "x")
        );
        assert_eq!(parsed("labels"), None);
        assert_eq!(parsed("./s3://b/x"), None);
    }

    #[test]
    fn what_a_path_would_change_is_refused() {
        for text in [
            "s3://",
            "s3:///x",
            "s3://b//x",
            "s3://b/x//y",
            "s3://b/../x",
            "s3://b/./x",
        ] {
            let message = ObjectUrl::parse(Path::new(text)).unwrap_err().to_string();
            assert!(
                message.contains(text) && message.contains("expected"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_path_keeps_the_two_slashes() {
        let dir = Path::new("s3://bucket/run/labels");
        let path = dir.join("scores").join("part-00000.parquet");
        assert_eq!(
            path.to_str(),
            Some("s3://bucket/run/labels/scores/part-00000.parquet")
        );
        assert_eq!(path.parent().and_then(Path::parent), Some(dir));
        assert_eq!(
            path.parent().unwrap().to_str(),
            Some("s3://bucket/run/labels/scores")
        );
        assert_eq!(
            path.with_file_name("x").to_str(),
            Some("s3://bucket/run/labels/scores/x")
        );
    }
}
