//! Repositories of the hub, in the cache shared with the hub's own tools.

use super::contents::Contents;
use super::disk::{AtomicFile, list_below, make_dirs, read_if_exists};
use super::fault::{absent, of_fault};
use super::http;
use super::listing::Sibling;
use super::settings::Settings;
use super::url::{HubUrl, is_plain};
use crate::storage::copying::{CopyProgress, check_room, tell, wait_for_lock};
use crate::storage::entry::{Entry, Metadata};
use crate::storage::{StorageError, StoreFault};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The hub, as the settings describe it.
pub(super) struct Hub {
    settings: Settings,
}

/// A revision of a repository.
#[derive(Debug)]
struct Repo {
    commit: String,
    files: BTreeMap<String, RepoFile>,
}

#[derive(Debug)]
struct RepoFile {
    n_bytes: Option<u64>,
    /// `None` if only the cache was consulted.
    contents: Option<Contents>,
}

/// Keyed by cache, endpoint and revision.
type Repos = HashMap<(PathBuf, String, HubUrl), Arc<Repo>>;

/// Revisions that this process has looked up.
static REPOS: OnceLock<Mutex<Repos>> = OnceLock::new();

fn repos() -> MutexGuard<'static, Repos> {
    let repos = REPOS.get_or_init(Mutex::default);
    repos.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub(super) fn new(settings: Settings) -> Self {
        Hub { settings }
    }

    /// The local file with the bytes of `url`.
    pub(super) fn file(&self, url: &HubUrl) -> Result<PathBuf, StorageError> {
        let repo = self.repo(url)?;
        let file = repo.files.get(&url.path).ok_or_else(|| absent(url))?;
        self.fetch(&url.at(&repo.commit), file)
    }

    /// The local directory of `url`, with those files whose relative names `is_wanted` accepts.
    pub(super) fn dir(
        &self,
        url: &HubUrl,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<PathBuf, StorageError> {
        let repo = self.repo(url)?;
        let below = repo.below(url).filter(|(name, ..)| is_wanted(name));
        let wanted: Vec<_> = below.collect();
        if wanted.is_empty() {
            return Err(absent(url));
        }
        for (_, path, file) in wanted {
            let path = path.to_owned();
            let url = HubUrl {
                path,
                ..url.at(&repo.commit)
            };
            self.fetch(&url, file)?;
        }
        Ok(self.snapshot(&url.at(&repo.commit)))
    }

    pub(super) fn metadata(&self, url: &HubUrl) -> Result<Option<Metadata>, StorageError> {
        let repo = self.repo(url)?;
        if let Some(file) = repo.files.get(&url.path) {
            return Ok(Some(Metadata {
                n_bytes: file.n_bytes.unwrap_or(0),
                is_dir: false,
            }));
        }
        let dir = Metadata {
            n_bytes: 0,
            is_dir: true,
        };
        Ok(repo.below(url).next().map(|_| dir))
    }

    /// The entries directly below `url`.
    pub(super) fn list(&self, url: &HubUrl) -> Result<Vec<Entry>, StorageError> {
        let repo = self.repo(url)?;
        let mut entries = BTreeMap::new();
        for (name, _, file) in repo.below(url) {
            let (first, is_dir) = match name.split_once('/') {
                Some((dir, _)) => (dir, true),
                None => (name, false),
            };
            let entry = entry(first, (!is_dir).then_some(file));
            entries.insert(first.to_owned(), entry);
        }
        Ok(entries.into_values().collect())
    }

    /// Every file below `url`.
    pub(super) fn list_all(&self, url: &HubUrl) -> Result<Vec<Entry>, StorageError> {
        let repo = self.repo(url)?;
        let files = repo.below(url);
        Ok(files
            .map(|(name, _, file)| entry(name, Some(file)))
            .collect())
    }

    pub(super) fn commit(&self, url: &HubUrl) -> Result<String, StorageError> {
        Ok(self.repo(url)?.commit.clone())
    }

    /// `url` at its commit, if this process knows it.
    pub(super) fn pinned(&self, url: &HubUrl) -> Option<String> {
        let known = repos().get(&self.key(url)).map(|repo| repo.commit.clone());
        known.map(|commit| url.at(&commit).to_string())
    }

    fn key(&self, url: &HubUrl) -> (PathBuf, String, HubUrl) {
        let repo = HubUrl {
            path: String::new(),
            ..url.clone()
        };
        let Settings {
            cache, endpoint, ..
        } = &self.settings;
        (cache.clone(), endpoint.clone(), repo)
    }

    /// The revision of `url`, looked up once.
    fn repo(&self, url: &HubUrl) -> Result<Arc<Repo>, StorageError> {
        if let Some(known) = repos().get(&self.key(url)) {
            return Ok(Arc::clone(known));
        }
        let repo = match self.settings.is_offline {
            true => self.repo_of_cache(url)?,
            false => self.repo_of_hub(url)?,
        };
        Ok(Arc::clone(
            repos().entry(self.key(url)).or_insert(Arc::new(repo)),
        ))
    }

    fn repo_of_hub(&self, url: &HubUrl) -> Result<Repo, StorageError> {
        let url = HubUrl {
            path: String::new(),
            ..url.clone()
        };
        let revision = http::revision(&self.settings, &url)?;
        let commit = revision.sha;
        let names = revision
            .siblings
            .iter()
            .map(|sibling| sibling.rfilename.as_str());
        // These become paths.
        if !is_commit(&commit) || names.clone().any(|name| !is_plain(name)) {
            let expected = "a commit, and names of files inside the repository";
            return Err(of_fault(&url, StoreFault::HubAnswer { expected }, None));
        }
        if commit != url.revision {
            let refs = self.folder(&url).join("refs").join(&url.revision);
            let mut whole = AtomicFile::begin(&refs)?;
            whole.write(commit.as_bytes())?;
            whole.publish()?;
        }
        let files = revision
            .siblings
            .into_iter()
            .map(|sibling| listed(sibling, &commit));
        let files = files.collect();
        Ok(Repo { commit, files })
    }

    /// What the cache has of this repository.
    fn repo_of_cache(&self, url: &HubUrl) -> Result<Repo, StorageError> {
        let commit = match is_commit(&url.revision) {
            true => url.revision.clone(),
            false => {
                let refs = self.folder(url).join("refs").join(&url.revision);
                let known = read_if_exists(&refs)?.ok_or_else(|| self.not_cached(url))?;
                String::from_utf8_lossy(&known).trim().to_owned()
            }
        };
        let snapshot = self.folder(url).join("snapshots").join(&commit);
        if !is_commit(&commit) || !snapshot.is_dir() {
            return Err(self.not_cached(url));
        }
        let files = list_below(&snapshot)?.into_iter().map(|(name, n_bytes)| {
            let file = RepoFile {
                n_bytes: Some(n_bytes),
                contents: None,
            };
            (name, file)
        });
        let files = files.collect();
        Ok(Repo { commit, files })
    }

    fn not_cached(&self, url: &HubUrl) -> StorageError {
        let dir = self.folder(url);
        of_fault(url, StoreFault::NotCached { dir }, None)
    }

    fn folder(&self, url: &HubUrl) -> PathBuf {
        self.settings.cache.join(url.folder())
    }

    /// Where `url`, which names a commit, is in the cache.
    fn snapshot(&self, url: &HubUrl) -> PathBuf {
        let root = self.folder(url).join("snapshots").join(&url.revision);
        match url.path.is_empty() {
            true => root,
            false => root.join(&url.path),
        }
    }

    /// The local file of `url`, which names a commit.
    fn fetch(&self, url: &HubUrl, file: &RepoFile) -> Result<PathBuf, StorageError> {
        let link = self.snapshot(url);
        if is_whole(&link, file.n_bytes) {
            return Ok(link);
        }
        let Some(contents) = &file.contents else {
            return Err(self.not_cached(url));
        };
        let blob = self.folder(url).join("blobs").join(contents.name());
        self.fill(url, file.n_bytes, contents, &blob)?;
        self.link(url, contents.name(), &blob, &link)?;
        Ok(link)
    }

    /// Creates the file at `blob`, unless a whole one is there. Processes that want the same file, the hub's own tools
    /// included, wait for the first of them.
    fn fill(
        &self,
        url: &HubUrl,
        n_bytes: Option<u64>,
        contents: &Contents,
        blob: &Path,
    ) -> Result<(), StorageError> {
        let locks = self.settings.cache.join(".locks").join(url.folder());
        make_dirs(&locks)?;
        let _lock = wait_for_lock(&locks.join(format!("{}.lock", contents.name())))?;
        if is_whole(blob, n_bytes) {
            return Ok(());
        }
        let shown = PathBuf::from(url.to_string());
        check_room(&self.settings.cache, n_bytes.unwrap_or(0), &shown)?;
        let mut progress = CopyProgress {
            url: &shown,
            path: blob,
            n_bytes: n_bytes.unwrap_or(0),
            n_done: 0,
        };
        tell(&progress);
        let mut whole = AtomicFile::begin(blob)?;
        http::download(&self.settings, url, contents, |block| {
            whole.write(block)?;
            progress.n_done += block.len() as u64;
            tell(&progress);
            Ok(())
        })?;
        whole.publish()
    }

    /// Makes `link` point to `blob`, by a relative path, as the cache may be moved.
    fn link(&self, url: &HubUrl, name: &str, blob: &Path, link: &Path) -> Result<(), StorageError> {
        make_dirs(link.parent().unwrap_or(link))?;
        // It may dangle, or lead to other bytes.
        let _ = std::fs::remove_file(link);
        // From the link's directory up to the commit's, and out of `snapshots`.
        let n_up = url.path.matches('/').count() + 2;
        let target = PathBuf::from("../".repeat(n_up)).join("blobs").join(name);
        match std::os::unix::fs::symlink(target, link) {
            Ok(()) => Ok(()),
            // Another process made the same link.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // The filesystem has no links.
            Err(_) => std::fs::copy(blob, link)
                .map(drop)
                .map_err(|source| StorageError::io("write", link, source)),
        }
    }
}

impl Repo {
    /// The files below `url`: relative name, full path, and what is known about each.
    fn below<'a>(
        &'a self,
        url: &HubUrl,
    ) -> impl Iterator<Item = (&'a str, &'a str, &'a RepoFile)> + use<'a> {
        let prefix = match url.path.is_empty() {
            true => String::new(),
            false => format!("{}/", url.path),
        };
        self.files.iter().filter_map(move |(path, file)| {
            Some((path.strip_prefix(&prefix)?, path.as_str(), file))
        })
    }
}

fn entry(name: &str, file: Option<&RepoFile>) -> Entry {
    Entry {
        name: OsString::from(name),
        n_bytes: file.and_then(|file| file.n_bytes).unwrap_or(0),
        is_dir: file.is_none(),
        modified: None,
        version: None,
    }
}

fn listed(sibling: Sibling, commit: &str) -> (String, RepoFile) {
    let name = sibling.rfilename;
    let sha256 = sibling.lfs.and_then(|lfs| lfs.sha256);
    let unlisted = || {
        let hash = blake3::hash(format!("{commit}/{name}").as_bytes());
        Contents::Unlisted(hash.to_hex()[..40].to_owned())
    };
    // These become names in the cache, so only a valid hash is accepted.
    let contents = match (sha256, sibling.blob_id, sibling.size) {
        (Some(hash), ..) if is_hex(&hash, 64) => Contents::Large(hash),
        (None, Some(hash), Some(n_bytes)) if is_hex(&hash, 40) => Contents::Git(hash, n_bytes),
        _ => unlisted(),
    };
    let (n_bytes, contents) = (sibling.size, Some(contents));
    (name, RepoFile { n_bytes, contents })
}

fn is_commit(text: &str) -> bool {
    is_hex(text, 40)
}

fn is_hex(text: &str, n_digits: usize) -> bool {
    text.len() == n_digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_whole(path: &Path, n_bytes: Option<u64>) -> bool {
    let found = std::fs::metadata(path);
    found.is_ok_and(|found| found.is_file() && n_bytes.is_none_or(|n_bytes| n_bytes == found.len()))
}
