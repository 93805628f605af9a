//! Where the hub and its cache are, and the account: the environment variables that the hub's own
//! tools use.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Default address of the hub.
const ENDPOINT: &str = "https://huggingface.co";

/// Settings from the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// Without a trailing slash.
    pub(super) endpoint: String,
    pub(super) token: Option<String>,
    /// The directory with a folder for each repository.
    pub(super) cache: PathBuf,
    /// Whether only the cache may be used.
    pub(super) is_offline: bool,
}

impl Settings {
    pub(super) fn of_environment() -> Self {
        Self::of(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn of(value: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name: &str| value(name).and_then(|value| value.into_string().ok());
        let user_caches = value("XDG_CACHE_HOME").map(PathBuf::from);
        let user_caches =
            user_caches.or_else(|| value("HOME").map(|home| Path::new(&home).join(".cache")));
        let home = value("HF_HOME").map(PathBuf::from).unwrap_or_else(|| {
            let caches = user_caches.unwrap_or_else(std::env::temp_dir);
            caches.join("huggingface")
        });
        let cache = value("HF_HUB_CACHE").or_else(|| value("HUGGINGFACE_HUB_CACHE"));
        let token_file = value("HF_TOKEN_PATH").map(PathBuf::from);
        let token_file = token_file.unwrap_or_else(|| home.join("token"));
        let token = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN"));
        let token = token.or_else(|| std::fs::read_to_string(token_file).ok());
        let token = token.map(|token| token.trim().to_owned());
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let offline = text("HF_HUB_OFFLINE").map(|value| value.to_ascii_uppercase());
        Settings {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: token.filter(|token| !token.is_empty()),
            cache: cache.map_or_else(|| home.join("hub"), PathBuf::from),
            is_offline: offline.is_some_and(|value| ["1", "ON", "YES", "TRUE"].contains(&&*value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        Settings::of(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_variables_of_the_hubs_own_tools_are_heeded() {
        let plain = settings(&[("HOME", "/home/a")]);
        assert_eq!(plain.cache, Path::new("/home/a/.cache/huggingface/hub"));
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert!(plain.token.is_none() && !plain.is_offline);
        let set = settings(&[
            ("HF_HOME", "/hf"),
            ("HF_TOKEN", " secret\n"),
            ("HF_ENDPOINT", "http://mirror:8080/"),
            ("HF_HUB_OFFLINE", "true"),
        ]);
        assert_eq!(set.cache, Path::new("/hf/hub"));
        assert_eq!(set.token.as_deref(), Some("secret"));
        assert_eq!(set.endpoint, "http://mirror:8080");
        assert!(set.is_offline);
        let cache = settings(&[
            ("HF_HOME", "/hf"),
            ("HF_HUB_CACHE", "/c"),
            ("HF_HUB_OFFLINE", "0"),
        ]);
        assert!(cache.cache == Path::new("/c") && !cache.is_offline);
    }

    #[test]
    fn a_token_of_a_login_is_used() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "of-login\n").unwrap();
        let home = dir.path().to_str().unwrap();
        let set = settings(&[("HF_HOME", home)]);
        assert_eq!(set.token.as_deref(), Some("of-login"));
    }
}
