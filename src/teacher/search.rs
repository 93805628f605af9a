//! Where ONNX Runtime's library may be, in order of preference.

use super::trust::why_unsafe;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// python3 answers in some 20 ms; a broken one must not block the start.
const PYTHON_TIMEOUT: Duration = Duration::from_secs(5);

/// One place that was searched.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Searched {
    /// What kind of place: `--ort-lib`, `ORT_DYLIB_PATH`, `VIRTUAL_ENV`, …
    pub place: String,
    /// The folder or file.
    pub path: PathBuf,
    /// What was there.
    pub outcome: String,
}

/// A folder to look in.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    /// Whether the user chose it: by an active environment, by `LD_LIBRARY_PATH`, or by the python3 on `PATH`. Any
    /// other place has to be safe by itself.
    pub(super) is_chosen: bool,
}

impl Place {
    fn chosen(name: &str, folder: PathBuf) -> Self {
        let name = name.to_owned();
        Self {
            name,
            folder,
            is_chosen: true,
        }
    }

    fn found(name: &str, folder: PathBuf) -> Self {
        Self {
            is_chosen: false,
            ..Self::chosen(name, folder)
        }
    }

    /// Why its `library` is not loaded; `None` if it is.
    pub(super) fn why_skipped(&self, library: &Path) -> Option<String> {
        if self.is_chosen {
            return None;
        }
        let executable = std::env::current_exe().ok();
        let beside = executable.filter(|_| self.name == EXECUTABLE);
        let why = why_unsafe(library, beside.as_deref())?;
        Some(format!(
            "skipped, since {why}; if it is yours, pass it with --ort-lib or activate its environment"
        ))
    }
}

const EXECUTABLE: &str = "executable";

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

/// Every folder that can be found without running a process.
pub(super) fn cheap_places() -> Vec<Place> {
    let mut places = beside_executable();
    for variable in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        // A relative one would be another folder in every directory.
        let root = std::env::var_os(variable).map(PathBuf::from);
        if let Some(root) = root.filter(|root| root.is_absolute()) {
            let folders = environment_folders(&root);
            places.extend(folders.map(|folder| Place::chosen(variable, folder)));
        }
    }
    if let Ok(root) = std::path::absolute(".venv") {
        let folders = environment_folders(&root);
        places.extend(folders.map(|folder| Place::found(".venv", folder)));
    }
    places
}

/// `python3`'s own packages, then the system's libraries.
pub(super) fn slow_places() -> Vec<Place> {
    let python = python_purelib().map(|folder| Place::chosen("python3", capi(&folder)));
    let mut places: Vec<Place> = python.into_iter().collect();
    let libraries = absolute_entries("LD_LIBRARY_PATH").into_iter();
    places.extend(libraries.map(|folder| Place::chosen("LD_LIBRARY_PATH", folder)));
    let system = [
        "/usr/local/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/opt/onnxruntime/lib",
        "/opt/homebrew/lib",
    ];
    places.extend(system.map(|folder| Place::found("system", folder.into())));
    places
}

/// The folders of a variable such as `PATH`. Empty and relative ones refer to the current directory and are left out:
/// code is not run just because it is there.
fn absolute_entries(variable: &str) -> Vec<PathBuf> {
    let paths = std::env::var_os(variable).unwrap_or_default();
    std::env::split_paths(&paths)
        .filter(|folder| folder.is_absolute())
        .collect()
}

fn beside_executable() -> Vec<Place> {
    let Some(folder) = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(Path::to_owned))
    else {
        return Vec::new();
    };
    let place = |path| Place::found(EXECUTABLE, path);
    vec![place(folder.clone()), place(folder.join("../lib"))]
}

/// A Python environment's packages, and (conda) its own `lib`.
fn environment_folders(root: &Path) -> impl Iterator<Item = PathBuf> {
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
    folders.into_iter()
}

/// Where the PyPI wheels `onnxruntime` and `onnxruntime-gpu` keep the library.
fn capi(site_packages: &Path) -> PathBuf {
    site_packages.join("onnxruntime").join("capi")
}

fn python_purelib() -> Option<PathBuf> {
    let python = absolute_entries("PATH")
        .into_iter()
        .map(|folder| folder.join("python3"))
        .find(|python| python.is_file())?;
    // Isolated: its modules come from its own library, never from the current directory or PYTHONPATH.
    let mut child = Command::new(python)
        .args([
            "-I",
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
    // The answer is one short line, so the pipe cannot have filled up.
    let output = child.wait_with_output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(text.trim())).filter(|path| path.is_absolute())
}

/// The library in a folder: the wheels call it `libonnxruntime.so.<version>`, so take the newest name.
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
