//! Against a local stand-in for the few endpoints of the hub that are used.

use super::cache::Hub;
use super::settings::Settings;
use super::url::HubUrl;
use crate::error::{Classified, Kind};
use crate::storage::StorageError;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKEN: &str = "hf_secret";
/// Files of at least this size are sent by a redirect, as large ones are.
const LARGE_BYTES: usize = 1000;

/// What the stand-in does wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    None,
    /// The first of two answers is 503.
    Busy,
    /// The body of the first response that has one ends in the middle.
    Cut,
    /// The bytes differ from those listed.
    Damaged,
    /// A name that leads out of the repository.
    Outside,
}

struct StandIn {
    endpoint: String,
    /// Requested paths, in order.
    asked: Arc<Mutex<Vec<String>>>,
}

struct Content {
    files: BTreeMap<String, Vec<u8>>,
    trouble: Mutex<Trouble>,
}

impl StandIn {
    fn begin(files: &[(&str, Vec<u8>)], trouble: Trouble) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let files = files.iter().map(|(n, b)| ((*n).to_owned(), b.clone()));
        let content = Arc::new(Content {
            files: files.collect(),
            trouble: Mutex::new(trouble),
        });
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (content, log) = (Arc::clone(&content), Arc::clone(&log));
                std::thread::spawn(move || answer(stream, &content, &log));
            }
        });
        StandIn { endpoint, asked }
    }

    fn hub(&self, cache: &TempDir) -> Hub {
        self.hub_of(cache, Some(TOKEN), false)
    }

    fn hub_of(&self, cache: &TempDir, token: Option<&str>, is_offline: bool) -> Hub {
        Hub::new(Settings {
            endpoint: self.endpoint.clone(),
            token: token.map(str::to_owned),
            cache: cache.path().to_path_buf(),
            is_offline,
        })
    }

    fn n_asked(&self, part: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|path| path.contains(part)).count()
    }
}

fn answer(stream: TcpStream, content: &Content, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else {
        return;
    };
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let headers = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty());
    let headers: Vec<String> = headers.map(|line| line.to_ascii_lowercase()).collect();
    log.lock().unwrap().push(path.clone());
    let has_token = headers
        .iter()
        .any(|line| *line == format!("authorization: bearer {TOKEN}"));
    let from = headers
        .iter()
        .find_map(|line| line.strip_prefix("range: bytes="));
    let from = from.and_then(|range| range.trim_end_matches('-').parse().ok());
    reply(stream, content, &path, has_token, from.unwrap_or(0));
}

fn reply(mut stream: TcpStream, content: &Content, path: &str, has_token: bool, from: usize) {
    let is_cdn = path.starts_with("/cdn/");
    if !has_token && !is_cdn {
        return send(
            &mut stream,
            "401 Unauthorized",
            "x-error-code: RepoNotFound\r\n",
            b"",
            false,
        );
    }
    let trouble = *content.trouble.lock().unwrap();
    if trouble == Trouble::Busy {
        *content.trouble.lock().unwrap() = Trouble::None;
        return send(&mut stream, "503 Slow Down", "", b"", false);
    }
    if path == "/api/models/o/m/revision/main?blobs=true" {
        return send(&mut stream, "200 OK", "", &listing(content, trouble), false);
    }
    let resolved = path.strip_prefix(&format!("/o/m/resolve/{COMMIT}/"));
    let name = resolved
        .or(path.strip_prefix("/cdn/"))
        .map(|name| name.replace("%20", " "));
    let Some((name, bytes)) = name.and_then(|name| content.files.get_key_value(&name)) else {
        return send(&mut stream, "404 Not Found", "", b"", false);
    };
    if bytes.len() >= LARGE_BYTES && !is_cdn {
        let location = format!("location: /cdn/{name}\r\n");
        return send(&mut stream, "302 Found", &location, b"", false);
    }
    let mut bytes = bytes.clone();
    if trouble == Trouble::Damaged {
        bytes[0] ^= 1;
    }
    let is_cut = trouble == Trouble::Cut;
    if is_cut {
        *content.trouble.lock().unwrap() = Trouble::None;
    }
    let status = if from > 0 {
        "206 Partial Content"
    } else {
        "200 OK"
    };
    send(&mut stream, status, "", &bytes[from..], is_cut);
}

fn send(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8], is_cut: bool) {
    let n = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {n}\r\nconnection: close\r\n\r\n");
    let body = if is_cut { &body[..n / 2] } else { body };
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
}

fn listing(content: &Content, trouble: Trouble) -> Vec<u8> {
    let sibling = |(name, bytes): (&String, &Vec<u8>)| {
        let git = [format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat();
        let git = hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, &git).as_ref());
        let lfs = (bytes.len() >= LARGE_BYTES)
            .then(|| serde_json::json!({"sha256": hex(digest(&SHA256, bytes).as_ref()), "size": bytes.len()}));
        serde_json::json!({"rfilename": name, "size": bytes.len(), "blobId": git, "lfs": lfs})
    };
    let mut siblings: Vec<_> = content.files.iter().map(sibling).collect();
    if trouble == Trouble::Outside {
        siblings.push(serde_json::json!({"rfilename": "../../evil"}));
    }
    serde_json::json!({"sha": COMMIT, "siblings": siblings})
        .to_string()
        .into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("config.json", b"{}".to_vec()),
        ("empty.txt", Vec::new()),
        (
            "model.safetensors",
            (0..5000u32).flat_map(u32::to_le_bytes).collect(),
        ),
        ("onnx/a b.onnx", b"graph".to_vec()),
        ("pytorch_model.bin", vec![7; 2000]),
    ]
}

fn url(text: &str) -> HubUrl {
    HubUrl::parse(Path::new(text)).unwrap().unwrap()
}

fn refusal(result: Result<PathBuf, StorageError>) -> (Kind, String) {
    let error = result.unwrap_err();
    (error.kind(), error.to_string())
}

#[test]
fn only_the_files_that_are_wanted_come_and_once() {
    let (server, cache) = (
        StandIn::begin(&files(), Trouble::None),
        tempfile::tempdir().unwrap(),
    );
    let hub = server.hub(&cache);
    let wanted = |name: &str| name == "config.json" || name.ends_with(".safetensors");
    let dir = hub.dir(&url("hf://o/m"), wanted).unwrap();
    assert_eq!(
        dir,
        cache
            .path()
            .join(format!("models--o--m/snapshots/{COMMIT}"))
    );
    for (name, bytes) in files() {
        let there = std::fs::read(dir.join(name)).ok();
        assert_eq!(there, wanted(name).then_some(bytes), "{name}");
    }
    // The layout that Python's tools read.
    let link = std::fs::read_link(dir.join("config.json")).unwrap();
    assert!(link.starts_with("../../blobs"), "{}", link.display());
    let branch = std::fs::read_to_string(cache.path().join("models--o--m/refs/main"));
    assert_eq!(branch.unwrap(), COMMIT);
    hub.dir(&url("hf://o/m"), wanted).unwrap();
    assert_eq!(server.n_asked("/api/"), 1);
    assert_eq!(server.n_asked("/resolve/"), 2);
    assert_eq!(server.n_asked("pytorch"), 0);
    assert_eq!(
        hub.pinned(&url("hf://o/m/x")),
        Some(format!("hf://o/m@{COMMIT}/x"))
    );
}

#[test]
fn a_file_below_a_folder_and_one_of_no_bytes_come_too() {
    let (server, cache) = (
        StandIn::begin(&files(), Trouble::None),
        tempfile::tempdir().unwrap(),
    );
    let hub = server.hub(&cache);
    let file = hub.file(&url("hf://o/m/onnx/a b.onnx")).unwrap();
    assert_eq!(std::fs::read(file).unwrap(), b"graph");
    let empty = hub.file(&url("hf://o/m@main/empty.txt")).unwrap();
    assert_eq!(std::fs::read(empty).unwrap(), b"");
    let names = |entries: Vec<crate::storage::Entry>| -> Vec<(String, bool)> {
        let entries = entries.into_iter();
        entries
            .map(|e| (e.name.into_string().unwrap(), e.is_dir))
            .collect()
    };
    let top = names(hub.list(&url("hf://o/m")).unwrap());
    assert!(
        top.contains(&("onnx".to_owned(), true)) && top.len() == 5,
        "{top:?}"
    );
    let below = names(hub.list(&url("hf://o/m/onnx")).unwrap());
    assert_eq!(below, [("a b.onnx".to_owned(), false)]);
    assert_eq!(hub.list_all(&url("hf://o/m")).unwrap().len(), files().len());
    let found = |text: &str| hub.metadata(&url(text)).unwrap();
    assert_eq!(
        found("hf://o/m/config.json").map(|f| (f.n_bytes, f.is_dir)),
        Some((2, false))
    );
    assert!(found("hf://o/m/onnx").unwrap().is_dir && found("hf://o/m").unwrap().is_dir);
    assert_eq!(found("hf://o/m/nothing"), None);
    let absent = hub.file(&url("hf://o/m/nothing")).unwrap_err();
    assert!(absent.is_not_found());
}

#[test]
fn a_hub_that_is_busy_or_breaks_off_is_asked_again_for_the_rest() {
    for trouble in [Trouble::Busy, Trouble::Cut] {
        let (server, cache) = (
            StandIn::begin(&files(), trouble),
            tempfile::tempdir().unwrap(),
        );
        let file = server
            .hub(&cache)
            .file(&url("hf://o/m/model.safetensors"))
            .unwrap();
        assert_eq!(std::fs::read(file).unwrap(), files()[2].1, "{trouble:?}");
    }
}

#[test]
fn bytes_that_are_not_those_listed_are_refused_and_do_not_stay() {
    for name in ["config.json", "model.safetensors"] {
        let (server, cache) = (
            StandIn::begin(&files(), Trouble::Damaged),
            tempfile::tempdir().unwrap(),
        );
        let got = server.hub(&cache).file(&url(&format!("hf://o/m/{name}")));
        let (kind, message) = refusal(got);
        assert!(message.contains("expected"), "{message}");
        assert_eq!(kind, Kind::Failed);
        let blobs = std::fs::read_dir(cache.path().join("models--o--m/blobs")).unwrap();
        assert_eq!(blobs.count(), 0);
    }
}

#[test]
fn names_that_lead_out_of_the_cache_are_refused() {
    let (server, cache) = (
        StandIn::begin(&files(), Trouble::Outside),
        tempfile::tempdir().unwrap(),
    );
    let (_, message) = refusal(server.hub(&cache).file(&url("hf://o/m/config.json")));
    assert!(message.contains("inside the repository"), "{message}");
}

#[test]
fn without_a_token_the_message_names_the_variable() {
    let (server, cache) = (
        StandIn::begin(&files(), Trouble::None),
        tempfile::tempdir().unwrap(),
    );
    let hub = server.hub_of(&cache, None, false);
    let (kind, message) = refusal(hub.file(&url("hf://o/m/config.json")));
    assert!(message.contains("HF_TOKEN"), "{message}");
    assert_eq!(kind, Kind::Usage);
    let absent = server.hub(&cache);
    let (kind, message) = refusal(absent.file(&url("hf://o/nothing/config.json")));
    assert!(message.contains("no such repository"), "{message}");
    assert_eq!(kind, Kind::Usage);
}

#[test]
fn offline_the_cache_alone_is_asked() {
    let (server, cache) = (
        StandIn::begin(&files(), Trouble::None),
        tempfile::tempdir().unwrap(),
    );
    let file = server
        .hub(&cache)
        .file(&url("hf://o/m/config.json"))
        .unwrap();
    // Another process, whose endpoint does not answer.
    let offline = Hub::new(Settings {
        endpoint: "http://127.0.0.1:9".to_owned(),
        token: None,
        cache: cache.path().to_path_buf(),
        is_offline: true,
    });
    assert_eq!(offline.file(&url("hf://o/m/config.json")).unwrap(), file);
    assert_eq!(
        offline
            .file(&url(&format!("hf://o/m@{COMMIT}/config.json")))
            .unwrap(),
        file
    );
    assert!(
        offline
            .file(&url("hf://o/m/model.safetensors"))
            .unwrap_err()
            .is_not_found()
    );
    let (kind, message) = refusal(offline.file(&url("hf://o/other/config.json")));
    assert!(message.contains("HF_HUB_OFFLINE"), "{message}");
    assert_eq!(kind, Kind::Usage);
}
