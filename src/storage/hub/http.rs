//! Requests to the hub.

use super::contents::Contents;
use super::digest::Digest;
use super::fault::{absent, of_fault};
use super::listing::Revision;
use super::settings::Settings;
use super::url::HubUrl;
use crate::storage::object::{ObjectUrl, runtime};
use crate::storage::{StorageError, StoreFault};
use reqwest::{Client, Response, StatusCode};
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// Attempts per request.
const MAX_ATTEMPTS: u32 = 5;
/// Wait before the second attempt; doubled before each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the next byte.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a request failed.
enum Failure {
    /// It may succeed if sent again.
    Transient(StoreFault, reqwest::Error),
    Permanent(StorageError),
}

/// The files in the revision of `url`.
pub(super) fn revision(settings: &Settings, url: &HubUrl) -> Result<Revision, StorageError> {
    let address = format!(
        "{}/api/{}s/{}/revision/{}?blobs=true",
        settings.endpoint,
        url.kind_word(),
        url.repo,
        escaped(&url.revision).replace('/', "%2F")
    );
    let body = tried(url, || async {
        let response = get(settings, url, &address, 0).await?;
        response.bytes().await.map_err(transient)
    })?;
    serde_json::from_slice(&body).map_err(|error| {
        let what = "a description of a repository";
        of_fault(
            url,
            StoreFault::HubAnswer { expected: what },
            Some(error.into()),
        )
    })
}

/// Passes the bytes of a file to `work`, block by block. After a broken connection only the missing rest is requested.
///
/// # Errors
/// The hub's refusal; bytes that do not match `expected`.
pub(super) fn download(
    settings: &Settings,
    url: &HubUrl,
    expected: &Contents,
    mut work: impl FnMut(&[u8]) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let path = url
        .path
        .split('/')
        .map(escaped)
        .collect::<Vec<_>>()
        .join("/");
    let address = format!(
        "{}/{}/resolve/{}/{path}",
        settings.endpoint,
        url.repo_path(),
        url.revision
    );
    let mut n_done = 0;
    let mut digest = Digest::of(expected);
    tried(url, async || {
        let mut response = get(settings, url, &address, n_done).await?;
        let is_rest = response.status() == StatusCode::PARTIAL_CONTENT;
        // If the file is sent from the beginning again, its first part is skipped.
        let mut n_known = if is_rest { 0 } else { n_done };
        while let Some(block) = response.chunk().await.map_err(transient)? {
            let skipped = n_known.min(block.len() as u64);
            n_known -= skipped;
            let block = &block[skipped as usize..];
            work(block).map_err(Failure::Permanent)?;
            digest.update(block);
            n_done += block.len() as u64;
        }
        Ok(())
    })?;
    match digest.finish() {
        (expected, got) if expected != got => Err(of_fault(
            url,
            StoreFault::HubDamaged { expected, got },
            None,
        )),
        _ => Ok(()),
    }
}

/// Repeats `request` until it is answered or has failed too often.
fn tried<T>(
    url: &HubUrl,
    mut request: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<T, StorageError> {
    let runtime = runtime(&as_object(url))?;
    let mut wait = FIRST_BACKOFF;
    for n_tried in 1.. {
        match runtime.block_on(request()) {
            Ok(value) => return Ok(value),
            Err(Failure::Permanent(error)) => return Err(error),
            Err(Failure::Transient(fault, error)) if n_tried == MAX_ATTEMPTS => {
                return Err(of_fault(url, fault, Some(error.into())));
            }
            Err(Failure::Transient(..)) => {
                std::thread::sleep(wait);
                wait *= 2;
            }
        }
    }
    unreachable!("the last try ends it")
}

async fn get(
    settings: &Settings,
    url: &HubUrl,
    address: &str,
    from: u64,
) -> Result<Response, Failure> {
    let mut request = client(url).map_err(Failure::Permanent)?.get(address);
    if let Some(token) = &settings.token {
        request = request.bearer_auth(token);
    }
    if from > 0 {
        request = request.header("range", format!("bytes={from}-"));
    }
    let response = request.send().await.map_err(transient)?;
    match response.error_for_status_ref() {
        Ok(_) => Ok(response),
        Err(error) => Err(refused(url, &response, error)),
    }
}

/// One client, and its connections, for the whole process.
fn client(url: &HubUrl) -> Result<&'static Client, StorageError> {
    static CLIENT: OnceLock<Result<Client, String>> = OnceLock::new();
    let made = CLIENT.get_or_init(|| {
        let builder = Client::builder()
            .user_agent(concat!("saltworks/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT);
        builder.build().map_err(|error| error.to_string())
    });
    made.as_ref().map_err(|error| {
        let source = io::Error::other(error.clone());
        StorageError::io(
            "make a connection to",
            &PathBuf::from(url.to_string()),
            source,
        )
    })
}

fn transient(error: reqwest::Error) -> Failure {
    let fault = match () {
        () if error.is_timeout() => StoreFault::TimedOut,
        () if error.is_connect() || error.is_request() => StoreFault::Unreachable,
        () => StoreFault::Failed,
    };
    // An address at the CDN is signed: anyone who has it can read the file.
    Failure::Transient(fault, error.without_url())
}

/// What an error response means.
fn refused(url: &HubUrl, response: &Response, error: reqwest::Error) -> Failure {
    let code = response.headers().get("x-error-code");
    let code = code.and_then(|code| code.to_str().ok()).unwrap_or_default();
    let permanent = |fault| Failure::Permanent(of_fault(url, fault, None));
    match (response.status(), code) {
        (_, "EntryNotFound") => Failure::Permanent(absent(url)),
        (_, "GatedRepo") => permanent(StoreFault::HubDenied),
        (_, "RepoNotFound" | "RevisionNotFound") => permanent(StoreFault::NoRepository),
        (StatusCode::FORBIDDEN, _) => permanent(StoreFault::HubDenied),
        // The hub does not distinguish a private repository from a missing one.
        (StatusCode::UNAUTHORIZED, _) => permanent(StoreFault::NoRepository),
        (StatusCode::NOT_FOUND, _) if url.path.is_empty() => permanent(StoreFault::NoRepository),
        (StatusCode::NOT_FOUND, _) => Failure::Permanent(absent(url)),
        (status, _) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Failure::Transient(StoreFault::Failed, error.without_url())
        }
        _ => {
            let expected = "the file or an error that is known";
            let fault = StoreFault::HubAnswer { expected };
            Failure::Permanent(of_fault(url, fault, Some(error.without_url().into())))
        }
    }
}

fn as_object(url: &HubUrl) -> ObjectUrl {
    ObjectUrl {
        store: format!("hf://{}", url.repo_path()),
        key: url.path.clone(),
    }
}

/// `part` with percent-encoding of the characters that would end a path in a URL.
fn escaped(part: &str) -> String {
    let mut text = String::new();
    for byte in part.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
