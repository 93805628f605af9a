//! Locates ONNX Runtime, checks its version, and loads it once per process.

use super::error::TeacherError;
use super::search::{Place, Searched, cheap_places, library_in, slow_places};
use ort::environment::Environment;
use std::ffi::{CStr, c_char, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

/// The oldest ONNX Runtime with the C API used here (API 22).
pub const MIN_RUNTIME_VERSION: &str = "1.22";
const MIN_RUNTIME_MINOR: u32 = 22;

/// A loaded ONNX Runtime.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RuntimeLibrary {
    /// The shared library.
    pub path: PathBuf,
    /// As it reports itself, such as `1.22.0`.
    pub version: String,
    /// The kind of place where it was.
    pub found_by: String,
    /// Every place that was searched, this one last.
    #[serde(skip)]
    pub searched: Vec<Searched>,
}

struct Loaded {
    library: RuntimeLibrary,
    environment: Environment,
}

/// ONNX Runtime allows one environment per process, for its whole life.
static LOADED: OnceLock<Loaded> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// Finds and loads ONNX Runtime: `flag`, `ORT_DYLIB_PATH`, beside the executable and in `../lib`, the active virtual or
/// conda environment, `.venv`, `python3`'s packages, the system. A library that nobody chose is loaded only if no one
/// but root and this user can write there.
///
/// A second call returns the first one's result, and fails if `flag` names another file.
pub fn load_runtime(flag: Option<&Path>) -> Result<RuntimeLibrary, TeacherError> {
    let _one_at_a_time = LOADING
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(loaded) = LOADED.get() {
        return already_loaded(&loaded.library, flag);
    }
    let library = locate(flag)?;
    // The loader would search a bare file name in the system's folders, not in this one.
    let path = std::path::absolute(&library.path).unwrap_or_else(|_| library.path.clone());
    let library = RuntimeLibrary { path, ..library };
    let environment = start(&library.path)?;
    Ok(LOADED
        .get_or_init(|| Loaded {
            library,
            environment,
        })
        .library
        .clone())
}

/// The environment for sessions; loads the runtime if necessary.
pub(super) fn environment() -> Result<(&'static Environment, &'static RuntimeLibrary), TeacherError>
{
    load_runtime(None)?;
    let loaded = LOADED
        .get()
        .expect("load_runtime returned, so it has set this");
    Ok((&loaded.environment, &loaded.library))
}

fn already_loaded(
    library: &RuntimeLibrary,
    flag: Option<&Path>,
) -> Result<RuntimeLibrary, TeacherError> {
    let same = |requested: &Path| {
        let requested = if requested.is_dir() {
            library_in(requested)
        } else {
            Some(requested.to_owned())
        };
        requested.and_then(|path| path.canonicalize().ok()) == library.path.canonicalize().ok()
    };
    match flag {
        Some(requested) if !same(requested) => Err(TeacherError::RuntimeAlreadyLoaded {
            loaded: library.path.clone(),
            requested: requested.to_owned(),
        }),
        _ => Ok(library.clone()),
    }
}

fn start(path: &Path) -> Result<Environment, TeacherError> {
    let fail = |source: Box<dyn std::error::Error + Send + Sync>| TeacherError::RuntimeLoad {
        path: path.to_owned(),
        source,
    };
    let builder = ort::init_from(path).map_err(|error| fail(error.to_string().into()))?;
    let environment = builder
        .with_name("saltworks")
        .with_telemetry(false)
        .build()
        .map_err(|error| fail(Box::new(error)))?;
    // Failures are returned as errors; printing them too would break a progress bar in two.
    environment.set_log_level(ort::logging::LogLevel::Fatal);
    Ok(environment)
}

/// A library that was named must work; one that was merely found may be skipped.
fn locate(flag: Option<&Path>) -> Result<RuntimeLibrary, TeacherError> {
    if let Some(path) = flag {
        return named_library("--ort-lib", path);
    }
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        return variable_library("ORT_DYLIB_PATH", Path::new(&path));
    }
    let mut searched = Vec::new();
    let mut newest_too_old = None;
    for place in [cheap_places, slow_places]
        .into_iter()
        .flat_map(|places| places())
    {
        if let Some(library) = look_in(&place, &mut searched, &mut newest_too_old) {
            return Ok(RuntimeLibrary {
                searched,
                ..library
            });
        }
    }
    Err(match newest_too_old {
        Some(found) => TeacherError::RuntimeTooOld {
            found,
            min_version: MIN_RUNTIME_VERSION,
            searched,
        },
        None => TeacherError::RuntimeMissing { searched },
    })
}

fn look_in(
    place: &Place,
    searched: &mut Vec<Searched>,
    newest_too_old: &mut Option<String>,
) -> Option<RuntimeLibrary> {
    let mut note = |path: &Path, outcome: String| {
        searched.push(Searched {
            place: place.name.clone(),
            path: path.to_owned(),
            outcome,
        });
    };
    let Some(path) = library_in(&place.folder) else {
        note(&place.folder, "not there".to_owned());
        return None;
    };
    if let Some(reason) = place.why_skipped(&path) {
        note(&path, reason);
        return None;
    }
    match runtime_version(&path) {
        Ok(version) if is_new_enough(&version) => {
            note(&path, format!("found {version}"));
            let found_by = place.name.clone();
            Some(RuntimeLibrary {
                path,
                version,
                found_by,
                searched: Vec::new(),
            })
        }
        Ok(version) => {
            note(&path, format!("too old: {version}"));
            newest_too_old.get_or_insert(version);
            None
        }
        Err(problem) => {
            note(&path, problem);
            None
        }
    }
}

/// A variable applies in every directory, so a relative path in it would load whatever is in the current one.
fn variable_library(variable: &str, path: &Path) -> Result<RuntimeLibrary, TeacherError> {
    if path.is_absolute() {
        return named_library(variable, path);
    }
    Err(TeacherError::RuntimeUnfit {
        path: path.to_owned(),
        named_by: variable.to_owned(),
        problem: "expected an absolute path, which means the same file in every directory"
            .to_owned(),
        min_version: MIN_RUNTIME_VERSION,
    })
}

fn named_library(named_by: &str, path: &Path) -> Result<RuntimeLibrary, TeacherError> {
    let unfit = |problem: String| TeacherError::RuntimeUnfit {
        path: path.to_owned(),
        named_by: named_by.to_owned(),
        problem,
        min_version: MIN_RUNTIME_VERSION,
    };
    let file = if path.is_dir() {
        library_in(path).ok_or_else(|| unfit("no libonnxruntime in this folder".to_owned()))?
    } else {
        path.to_owned()
    };
    if !file.exists() {
        return Err(unfit("the file does not exist".to_owned()));
    }
    let version = runtime_version(&file).map_err(unfit)?;
    if !is_new_enough(&version) {
        return Err(unfit(format!("it is version {version}")));
    }
    let outcome = format!("found {version}");
    let searched = vec![Searched {
        place: named_by.to_owned(),
        path: file.clone(),
        outcome,
    }];
    Ok(RuntimeLibrary {
        path: file,
        version,
        found_by: named_by.to_owned(),
        searched,
    })
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    major > 1 || (major == 1 && minor >= MIN_RUNTIME_MINOR)
}

/// The first fields of `OrtApiBase`, unchanged since ONNX Runtime 1.0.
#[repr(C)]
struct ApiBase {
    get_api: unsafe extern "C" fn(u32) -> *const c_void,
    get_version_string: unsafe extern "C" fn() -> *const c_char,
}

/// Asks a library for its version with only the dynamic loader, since the binding panics on an unsuitable library.
fn runtime_version(path: &Path) -> Result<String, String> {
    // A bare name would be searched for by the loader; a path is what the user sees in messages.
    let path = path.canonicalize().map_err(|error| error.to_string())?;
    // SAFETY: loading runs the library's initialisers, which is what loading a runtime means.
    let library = unsafe { libloading::Library::new(&path) }.map_err(|e| loader_message(&e))?;
    // SAFETY: the symbol has had this signature in every release of ONNX Runtime.
    let get_base =
        unsafe { library.get::<unsafe extern "C" fn() -> *const ApiBase>(b"OrtGetApiBase\0") }
            .map_err(|_| "it does not export OrtGetApiBase".to_owned())?;
    // SAFETY: no arguments; returns a pointer to a static, or null.
    let base = unsafe { get_base() };
    // SAFETY: checked for null by as_ref; otherwise a static of the library, which is still loaded.
    let base = unsafe { base.as_ref() }.ok_or("OrtGetApiBase returned nothing")?;
    // SAFETY: no arguments; returns a static C string, or null.
    let text = unsafe { (base.get_version_string)() };
    if text.is_null() {
        return Err("GetVersionString returned nothing".to_owned());
    }
    // SAFETY: not null, and a static C string of a library that is still loaded.
    let version = unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned();
    if is_new_enough(&version) {
        // It is about to be loaded again: keep the mapping rather than run finalisers in between.
        std::mem::forget(library);
    }
    Ok(version)
}

fn loader_message(error: &libloading::Error) -> String {
    use std::error::Error;
    let source = error
        .source()
        .map(|source| format!(": {source}"))
        .unwrap_or_default();
    format!("it cannot be loaded: {error}{source}")
}

/// Execution providers that the loaded runtime was built with, such as `CPUExecutionProvider`. Loads the runtime if
/// necessary.
pub fn available_providers() -> Result<Vec<String>, TeacherError> {
    let (_, library) = environment()?;
    let api = ort::api();
    let mut names: *mut *mut c_char = std::ptr::null_mut();
    let mut n_names = 0;
    // SAFETY: both pointers are valid for writing; a failure status leaves them as they are.
    let status = unsafe { (api.GetAvailableProviders)(&mut names, &mut n_names) };
    // SAFETY: the status comes from the call above and is not used again.
    unsafe { ort::Error::result_from_status(status) }.map_err(|error| {
        TeacherError::RuntimeLoad {
            path: library.path.clone(),
            source: Box::new(error),
        }
    })?;
    let name_at = |idx: i32| {
        // SAFETY: the runtime returned n_names C strings, released only below.
        unsafe { CStr::from_ptr(*names.offset(idx as isize)) }
            .to_string_lossy()
            .into_owned()
    };
    let providers = (0..n_names).map(name_at).collect();
    // SAFETY: what GetAvailableProviders returned, released once.
    let status = unsafe { (api.ReleaseAvailableProviders)(names, n_names) };
    // SAFETY: the status comes from the call above; a failure to release has no consequence here.
    let _ = unsafe { ort::Error::result_from_status(status) };
    Ok(providers)
}
