//! `saltworks doctor` as a user runs it, with runtimes that are present, missing, foreign or old.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

fn doctor(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_saltworks"));
    command.arg("doctor").current_dir(folder).env_clear();
    command
}

fn output(command: &mut Command) -> (Output, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output, out, err)
}

/// What `make setup` brings.
fn runtime() -> PathBuf {
    let path = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
    path.or_else(|| {
        let library = saltworks::teacher::load_runtime(None).ok()?;
        library.path.canonicalize().ok()
    })
    .expect("this test needs ONNX Runtime: run `make setup`, or set ORT_DYLIB_PATH")
}

/// A shared library that says it is ONNX Runtime of some version.
fn fake_runtime(folder: &Path, version: &str) -> PathBuf {
    let source = folder.join("fake.rs");
    let code = format!(
        r#"
        use std::ffi::{{c_char, c_void}};
        #[repr(C)]
        pub struct Base {{ api: extern "C" fn(u32) -> *const c_void, version: extern "C" fn() -> *const c_char }}
        extern "C" fn api(_: u32) -> *const c_void {{ std::ptr::null() }}
        extern "C" fn version() -> *const c_char {{ c"{version}".as_ptr() }}
        static BASE: Base = Base {{ api, version }};
        #[unsafe(no_mangle)]
        pub extern "C" fn OrtGetApiBase() -> *const Base {{ &BASE }}
        "#
    );
    std::fs::write(&source, code).unwrap();
    let library = folder.join(format!("libonnxruntime.so.{version}"));
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let status = Command::new(rustc)
        .args(["--edition", "2024", "--crate-type", "cdylib", "-o"])
        .args([&library, &source])
        .status()
        .unwrap();
    assert!(status.success());
    library
}

#[test]
fn it_names_the_runtime_its_providers_and_what_would_run_where() {
    let folder = tempfile::tempdir().unwrap();
    let (run, out, err) = output(doctor(folder.path()).arg("--ort-lib").arg(runtime()));
    assert!(run.status.success(), "{err}");
    for part in [
        "--ort-lib",
        "CPUExecutionProvider",
        "--device auto",
        "cores",
        "memory",
        "disk",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
}

#[test]
fn its_json_is_one_object_with_the_same_facts() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = doctor(folder.path());
    let (run, out, err) = output(command.arg("--json").env("ORT_DYLIB_PATH", runtime()));
    assert!(run.status.success(), "{err}");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["runtime"]["found_by"], "ORT_DYLIB_PATH");
    assert_eq!(json["devices"][0]["device"], "cpu");
    assert_eq!(json["devices"][0]["works"], true);
    assert!(json["machine"]["cores"].as_u64().unwrap() >= 1);
}

#[test]
fn a_library_that_is_not_there_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    for (flag, variable) in [(true, "--ort-lib"), (false, "ORT_DYLIB_PATH")] {
        let mut command = doctor(folder.path());
        let command = match flag {
            true => command.args(["--ort-lib", "/nowhere/libonnxruntime.so"]),
            false => command.env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so"),
        };
        let (run, _, err) = output(command);
        assert!(!run.status.success());
        for part in [
            variable,
            "/nowhere/libonnxruntime.so",
            "does not exist",
            "pip install onnxruntime",
        ] {
            assert!(err.contains(part), "{part} in {err}");
        }
    }
}

#[test]
fn a_file_that_is_no_library_and_a_library_that_is_no_runtime_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libonnxruntime.so");
    std::fs::write(&text, "not a library").unwrap();
    let (run, _, err) = output(doctor(folder.path()).arg("--ort-lib").arg(&text));
    assert!(!run.status.success());
    assert!(err.contains("cannot be loaded"), "{err}");
    let empty = tempfile::tempdir().unwrap();
    let (run, _, err) = output(doctor(folder.path()).arg("--ort-lib").arg(empty.path()));
    assert!(!run.status.success());
    assert!(err.contains("no libonnxruntime in this folder"), "{err}");
}

#[test]
fn a_runtime_that_is_too_old_is_refused_by_name_and_passed_over_in_a_search() {
    let folder = tempfile::tempdir().unwrap();
    let old = fake_runtime(folder.path(), "1.10.0");
    let (run, _, err) = output(doctor(folder.path()).arg("--ort-lib").arg(&old));
    assert!(!run.status.success());
    for part in ["1.10.0", "1.22", "pip install onnxruntime"] {
        assert!(err.contains(part), "{part} in {err}");
    }
    let environment = environment_with(&old);
    let mut command = doctor(folder.path());
    let (_, out, _) = output(command.arg("--json").env("VIRTUAL_ENV", environment.path()));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let places = json["searched"].as_array().unwrap();
    let found = places
        .iter()
        .any(|place| place["place"] == "VIRTUAL_ENV" && place["outcome"] == "too old: 1.10.0");
    assert!(found, "{out}");
}

/// A virtual environment whose onnxruntime package holds `library`.
fn environment_with(library: &Path) -> TempDir {
    let environment = tempfile::tempdir().unwrap();
    let capi = environment
        .path()
        .join("lib/python3.11/site-packages/onnxruntime/capi");
    std::fs::create_dir_all(&capi).unwrap();
    std::fs::copy(library, capi.join(library.file_name().unwrap())).unwrap();
    environment
}

#[test]
fn the_active_environment_and_a_local_venv_are_searched() {
    let library = runtime();
    let folder = tempfile::tempdir().unwrap();
    let environment = environment_with(&library);
    let mut command = doctor(folder.path());
    let (_, out, err) = output(command.arg("--json").env("VIRTUAL_ENV", environment.path()));
    let json: serde_json::Value = serde_json::from_str(&out).expect(&err);
    assert_eq!(json["runtime"]["found_by"], "VIRTUAL_ENV");
    std::fs::rename(environment.path(), folder.path().join(".venv")).unwrap();
    let (_, out, err) = output(doctor(folder.path()).arg("--json"));
    let json: serde_json::Value = serde_json::from_str(&out).expect(&err);
    assert_eq!(json["runtime"]["found_by"], ".venv");
}

#[cfg(unix)]
#[test]
fn a_bare_file_name_means_the_file_in_this_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(runtime(), folder.path().join("libmine.so")).unwrap();
    let (run, out, err) = output(doctor(folder.path()).args(["--ort-lib", "libmine.so"]));
    assert!(run.status.success(), "{err}");
    assert!(out.contains("libmine.so"), "{out}");
}

#[cfg(unix)]
fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A folder of somebody else's data: every way by which a search for Python could run its files.
#[cfg(unix)]
#[test]
fn nothing_in_the_current_directory_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let ran = folder.path().join("ran");
    let python = format!("open({:?}, 'w').close()", ran.to_str().unwrap());
    for module in [
        "sysconfig.py",
        "os.py",
        "sitecustomize.py",
        "usercustomize.py",
    ] {
        std::fs::write(folder.path().join(module), &python).unwrap();
    }
    let shell = format!("#!/bin/sh\ntouch '{}'\n", ran.display());
    script(&folder.path().join("python3"), &shell);
    std::fs::create_dir(folder.path().join("bin")).unwrap();
    script(&folder.path().join("bin/python3"), &shell);
    let path = std::env::var("PATH").unwrap();
    for before in ["", ":", ".:", "bin:", "./bin:"] {
        let mut command = doctor(folder.path());
        command.env("PATH", format!("{before}{path}"));
        command.env("PYTHONPATH", folder.path());
        let (_, out, _) = output(command.env("PYTHONHOME", "").arg("--json"));
        assert!(!ran.exists(), "PATH={before}…: {out}");
    }
}

#[cfg(unix)]
#[test]
fn a_venv_of_the_current_directory_that_others_can_write_is_passed_over_with_the_reason() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let environment = environment_with(&runtime());
    let venv = folder.path().join(".venv");
    std::fs::rename(environment.path(), &venv).unwrap();
    std::fs::set_permissions(&venv, std::fs::Permissions::from_mode(0o777)).unwrap();
    let (_, out, err) = output(doctor(folder.path()).arg("--json"));
    let json: serde_json::Value = serde_json::from_str(&out).expect(&err);
    assert_ne!(json["runtime"]["found_by"], ".venv");
    let places = json["searched"].as_array().unwrap();
    let reason = places
        .iter()
        .filter(|place| place["place"] == ".venv")
        .find_map(|place| {
            place["outcome"]
                .as_str()
                .filter(|text| text.contains("skipped"))
        });
    let reason = reason.expect(&out);
    for part in ["can be written by others", "--ort-lib", "activate"] {
        assert!(reason.contains(part), "{part} in {reason}");
    }
    // Whoever activates an environment has chosen it.
    let mut command = doctor(folder.path());
    let (_, out, _) = output(command.arg("--json").env("VIRTUAL_ENV", &venv));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["runtime"]["found_by"], "VIRTUAL_ENV");
}

#[test]
fn relative_places_in_variables_are_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let environment = environment_with(&runtime());
    let there = folder.path().join("env");
    std::fs::rename(environment.path(), &there).unwrap();
    let capi = "env/lib/python3.11/site-packages/onnxruntime/capi";
    let relative = [
        ("VIRTUAL_ENV", "env".to_owned()),
        ("CONDA_PREFIX", "./env".to_owned()),
        ("LD_LIBRARY_PATH", format!(":{capi}:.")),
    ];
    for (variable, value) in relative {
        let mut command = doctor(folder.path());
        let (_, out, _) = output(command.arg("--json").env(variable, &value));
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_ne!(json["runtime"]["found_by"], variable, "{value}");
    }
    let mut command = doctor(folder.path());
    let (run, _, err) = output(command.env("ORT_DYLIB_PATH", capi));
    assert!(!run.status.success());
    assert!(err.contains("absolute path"), "{err}");
}
