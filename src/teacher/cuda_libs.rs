//! CUDA's libraries, where pip puts them: `nvidia/<package>/lib` beside the `onnxruntime` package, which the dynamic
//! loader never searches. If they are opened first, both ONNX Runtime's provider and `cudarc` later find them by name:
//! the loader uses an open library whose own name (`libnvrtc.so.13`) is the requested one.
//!
//! Packages for CUDA 12 have a folder each (`nvidia/cuda_nvrtc/lib`), those for CUDA 13 share one (`nvidia/cu13/lib`).
//! If both exist, both are opened, and each user requests its own.

use super::trust::why_unsafe;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// Each after those it depends on.
const LIBRARIES: [&str; 8] = [
    "libcudart.so",
    "libnvJitLink.so",
    "libnvrtc.so",
    "libcublasLt.so",
    "libcublas.so",
    "libcurand.so",
    "libcufft.so",
    "libcudnn.so",
];

static PRELOADED: Once = Once::new();

/// Opens the libraries found, once per process. A missing one, or one on the loader's own path, is left to ONNX
/// Runtime, whose message names it.
pub(super) fn preload(runtime: &Path) {
    PRELOADED.call_once(|| {
        packaged_libraries(runtime)
            .iter()
            .filter(|path| why_unsafe(path, Some(runtime)).is_none())
            .for_each(|path| open(path))
    });
}

/// In the order of [`LIBRARIES`]. `runtime` is `site-packages/onnxruntime/capi/libonnxruntime.so.N`.
pub(super) fn packaged_libraries(runtime: &Path) -> Vec<PathBuf> {
    let Some(packages) = packages_beside(runtime) else {
        return Vec::new();
    };
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().map(|e| e.path()));
        entries.map(Iterator::collect).unwrap_or_default()
    };
    let mut files: Vec<PathBuf> = entries(&packages)
        .iter()
        .flat_map(|package| entries(&package.join("lib")))
        .collect();
    files.sort();
    let named = |stem: &str| {
        let is_it = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.strip_prefix(stem)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        files.iter().filter(is_it).cloned().collect::<Vec<_>>()
    };
    LIBRARIES.iter().flat_map(|stem| named(stem)).collect()
}

/// `site-packages/nvidia`, if the runtime is where a wheel puts it: for any other library the same step upwards could
/// lead to an unrelated folder.
fn packages_beside(runtime: &Path) -> Option<PathBuf> {
    let capi = runtime.parent()?;
    let package = capi.parent()?;
    let is_wheel = capi.ends_with("capi") && package.ends_with("onnxruntime");
    let packages = package.parent()?.join("nvidia");
    is_wheel.then_some(packages)
}

#[cfg(unix)]
fn open(path: &Path) {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // Local: found by name all the same, and CUDA 12's symbols never replace CUDA 13's.
    // SAFETY: NVIDIA's libraries have no initialisers that depend on the program; they are kept
    // open for the life of the process.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    std::mem::forget(library);
}

#[cfg(not(unix))]
fn open(_path: &Path) {}
