//! Where ONNX Runtime's library may be, in order of preference.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// python3 answers in some 20 ms; a broken one must not hang a start.
const PYTHON_TIMEOUT: Duration = Duration::from_secs(5);

/// One place that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Searched {
    /// What kind of place: `--ort-lib`, `ORT_DYLIB_PATH`, `VIRTUAL_ENV`, …
    pub place: String,
    /// The folder or file.
    pub path: PathBuf,
    /// What was there.
    pub outcome: String,
}

/// A place's name and its folder.
pub(super) type Place = (String, PathBuf);

/// The end of a message: every place on its own line, or nothing.
pub(super) fn list_searched(searched: &[Searched]) -> String {
    let head = if searched.is_empty() {
        ""
    } else {
        "; looked in:"
    };
    searched.iter().fold(head.to_owned(), |mut text, s| {
        let _ = write!(
            text,
            "\n  {}: {} ({})",
            s.place,
            s.path.display(),
            s.outcome
        );
        text
    })
}

/// Every folder to look in that needs no process to be run.
pub(super) fn quick_places() -> Vec<Place> {
    let mut places = beside_executable();
    for variable in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        if let Some(root) = std::env::var_os(variable).filter(|root| !root.is_empty()) {
            places.extend(environment_places(variable, Path::new(&root)));
        }
    }
    places.extend(environment_places(".venv", Path::new(".venv")));
    places
}

/// `python3`'s own packages, then the system's libraries.
pub(super) fn slow_places() -> Vec<Place> {
    let python = python_purelib().map(|folder| ("python3".to_owned(), capi(&folder)));
    let mut places: Vec<Place> = python.into_iter().collect();
    if let Some(paths) = std::env::var_os("LD_LIBRARY_PATH") {
        let folders = std::env::split_paths(&paths).filter(|p| !p.as_os_str().is_empty());
        places.extend(folders.map(|folder| ("LD_LIBRARY_PATH".to_owned(), folder)));
    }
    let system = [
        "/usr/local/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/opt/onnxruntime/lib",
        "/opt/homebrew/lib",
    ];
    places.extend(system.map(|folder| ("system".to_owned(), PathBuf::from(folder))));
    places
}

fn beside_executable() -> Vec<Place> {
    let Some(folder) = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(Path::to_owned))
    else {
        return Vec::new();
    };
    let place = |path| ("executable".to_owned(), path);
    vec![place(folder.clone()), place(folder.join("../lib"))]
}

/// A Python environment's packages, and (conda) its own `lib`.
fn environment_places(name: &str, root: &Path) -> Vec<Place> {
    let lib = root.join("lib");
    let mut pythons: Vec<PathBuf> = std::fs::read_dir(&lib)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    pythons.retain(|path| {
        path.file_name()
            .and_then(OsStr::to_str)
            .is_some_and(|n| n.starts_with("python"))
    });
    pythons.sort();
    let mut folders: Vec<PathBuf> = pythons
        .iter()
        .map(|python| capi(&python.join("site-packages")))
        .collect();
    if cfg!(windows) {
        folders.push(capi(&root.join("Lib").join("site-packages")));
    }
    folders.push(lib);
    folders
        .into_iter()
        .map(|folder| (name.to_owned(), folder))
        .collect()
}

/// Where the PyPI wheels `onnxruntime` and `onnxruntime-gpu` keep the library.
fn capi(site_packages: &Path) -> PathBuf {
    site_packages.join("onnxruntime").join("capi")
}

fn python_purelib() -> Option<PathBuf> {
    let mut child = Command::new("python3")
        .args([
            "-c",
            "import sysconfig; print(sysconfig.get_paths()['purelib'])",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let deadline = Instant::now() + PYTHON_TIMEOUT;
    while child.try_wait().ok()?.is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // The answer is one short line, so the pipe cannot have filled while nobody read it.
    let output = child.wait_with_output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(text.trim())).filter(|path| path.is_absolute())
}

/// The library in a folder: the wheels call it `libonnxruntime.so.<version>`, so the newest name.
pub(super) fn library_in(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .filter(|path| is_library(path))
        .max_by_key(|path| version_key(path))
}

fn is_library(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(OsStr::to_str) else {
        return false;
    };
    let named = if cfg!(target_os = "macos") {
        name.starts_with("libonnxruntime.") && name.ends_with(".dylib")
    } else if cfg!(windows) {
        name.eq_ignore_ascii_case("onnxruntime.dll")
    } else {
        name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")
    };
    named && path.is_file()
}

fn version_key(path: &Path) -> Vec<u64> {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect()
}
