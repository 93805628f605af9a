//! Options of the stores, for the whole process.

use super::url::ObjectUrl;
use crate::storage::size::bytes_of;
use crate::storage::{StorageError, StoreFault};
use object_store::RetryConfig;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// How often a request is sent again.
const MAX_RETRIES: &str = "max_retries";
/// For how many seconds requests are repeated.
const RETRY_TIMEOUT: &str = "retry_timeout";
/// Files above this many bytes are uploaded in parts.
const MULTIPART_THRESHOLD: &str = "multipart_threshold";
/// The default. An upload by one request holds the whole file in memory.
const DEFAULT_THRESHOLD: u64 = 16 << 20;

/// Most bytes that the cache of copies may hold.
const CACHE_SIZE: &str = "cache_size";

static OPTIONS: RwLock<Options> = RwLock::new(Options {
    pairs: Vec::new(),
    is_single_writer: false,
});

/// The options that were set.
#[derive(Debug, Clone)]
pub(super) struct Options {
    /// Lowercase keys, and their values.
    pub(super) pairs: Vec<(String, String)>,
    /// Whether nobody else writes to the same places.
    pub(super) is_single_writer: bool,
}

/// Sets options of the object stores for the rest of the process; they override the environment. Keys are named as in
/// the crate `object_store`, plus `max_retries`, `retry_timeout` (seconds), `multipart_threshold` (bytes) and
/// `cache_size`. `is_single_writer` allows writing to a store that cannot create an object only if it is absent.
///
/// # Errors
/// A key that no store has; a value that is not a number where one is expected.
pub fn set_options(pairs: &[(String, String)], is_single_writer: bool) -> Result<(), StorageError> {
    let mut known = Vec::new();
    for (key, value) in pairs {
        let key = key.trim().to_ascii_lowercase();
        check_option(&key, value)?;
        known.push((key, value.clone()));
    }
    let mut options = OPTIONS.write().unwrap_or_else(PoisonError::into_inner);
    *options = Options {
        pairs: known,
        is_single_writer,
    };
    Ok(())
}

fn check_option(key: &str, value: &str) -> Result<(), StorageError> {
    let is_known = AmazonS3ConfigKey::from_str(key).is_ok()
        || GoogleConfigKey::from_str(key).is_ok()
        || AzureConfigKey::from_str(key).is_ok();
    let what = match key {
        MAX_RETRIES | RETRY_TIMEOUT | MULTIPART_THRESHOLD if value.parse::<u32>().is_ok() => {
            return Ok(());
        }
        CACHE_SIZE if bytes_of(value).is_some() => return Ok(()),
        CACHE_SIZE => format!("{key}: expected a size such as 200GB, got `{value}`"),
        MULTIPART_THRESHOLD => {
            format!("{key}: expected a number of bytes below 2^32, got `{value}`")
        }
        MAX_RETRIES => format!("{key}: expected a number of times, got `{value}`"),
        RETRY_TIMEOUT => format!("{key}: expected a number of seconds, got `{value}`"),
        _ if is_known => return Ok(()),
        _ => format!("no store has an option `{key}`"),
    };
    Err(option_fault(PathBuf::from(key), what))
}

/// The error of an option.
pub(super) fn option_fault(url: PathBuf, what: String) -> StorageError {
    StorageError::store("use", url, StoreFault::Option { what })
}

/// The size limit of the cache of copies, if the option sets it.
pub(in crate::storage) fn cache_bytes() -> Option<u64> {
    bytes_of(options().value(CACHE_SIZE)?)
}

/// The current options.
pub(super) fn options() -> Options {
    let options = OPTIONS.read().unwrap_or_else(PoisonError::into_inner);
    options.clone()
}

impl Options {
    /// The options that `K`'s store has; the rest belong to other stores.
    pub(super) fn of<K: FromStr>(&self) -> impl Iterator<Item = (K, &str)> {
        let pairs = self.pairs.iter();
        pairs.filter_map(|(key, value)| Some((K::from_str(key).ok()?, value.as_str())))
    }

    /// Files up to this size are uploaded by one request.
    pub(super) fn one_put_bytes(&self) -> u64 {
        self.number(MULTIPART_THRESHOLD)
            .map_or(DEFAULT_THRESHOLD, u64::from)
    }

    fn number(&self, wanted: &str) -> Option<u32> {
        self.value(wanted)?.parse().ok()
    }

    fn value(&self, wanted: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter().rev();
        let (_, value) = pairs.find(|(key, _)| key == wanted)?;
        Some(value)
    }

    /// How often and how long a request is repeated.
    pub(super) fn retry(&self) -> RetryConfig {
        let mut retry = RetryConfig::default();
        if let Some(n) = self.number(MAX_RETRIES) {
            retry.max_retries = n as usize;
        }
        if let Some(seconds) = self.number(RETRY_TIMEOUT) {
            retry.retry_timeout = Duration::from_secs(seconds.into());
        }
        retry
    }
}

/// How a URL is shown in an error.
pub(super) fn named(url: &ObjectUrl) -> PathBuf {
    PathBuf::from(url.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_of_any_store_is_known_and_another_is_refused() {
        for key in [
            "region",
            "aws_endpoint",
            "google_service_account",
            "azure_storage_account_name",
            "allow_http",
            "timeout",
        ] {
            check_option(key, "x").unwrap();
        }
        check_option("max_retries", "3").unwrap();
        for (key, value, expected) in [
            ("regoin", "x", "no store has an option `regoin`"),
            (
                "max_retries",
                "often",
                "expected a number of times, got `often`",
            ),
            ("retry_timeout", "-1", "expected a number of seconds"),
        ] {
            let message = check_option(key, value).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn the_last_of_two_values_counts() {
        let pair = |value: &str| (MAX_RETRIES.to_owned(), value.to_owned());
        let options = Options {
            pairs: vec![pair("3"), pair("5")],
            is_single_writer: false,
        };
        assert_eq!(options.retry().max_retries, 5);
        assert_eq!(options.of::<AmazonS3ConfigKey>().count(), 0);
    }
}
