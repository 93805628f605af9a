//! A disk that may fail at any time: a clear error, no bad shard, and the next run finishes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use support::{Inputs, assert_same_files, fault_shim, saltworks, snapshot, succeed, text};

/// Two shards: every kind of operation happens, and there are not too many of them.
const N_TOKENS: usize = 900;

/// Runs with the `at`-th operation on the output failing; the operation's name, or `None` if there
/// are fewer.
fn run_with_fault(
    inputs: &Inputs,
    shim: &Path,
    output: &str,
    at: u32,
    stays: bool,
) -> Option<String> {
    let log = inputs.path("fault.log");
    let _ = std::fs::remove_file(&log);
    let mut command = inputs.label(output);
    command
        .env("LD_PRELOAD", shim)
        .env("FAULT_DIR", inputs.path(output))
        .env("FAULT_LOG", &log);
    command.env("FAULT_AT", at.to_string());
    if stays {
        command.env("FAULT_STAYS", "1");
    }
    let result = command.output().unwrap();
    let printed = text(&result);
    let failed = std::fs::read_to_string(&log).ok()?;
    assert!(
        !printed.contains("panicked"),
        "operation {at} ({failed}): {printed}"
    );
    if !result.status.success() {
        assert_eq!(
            result.status.code(),
            Some(1),
            "operation {at} ({failed}): {printed}"
        );
        assert!(
            printed.contains("error: "),
            "operation {at} ({failed}): {printed}"
        );
    }
    Some(failed)
}

fn every_fault_is_survived(stays: bool) {
    let inputs = Inputs::new(N_TOKENS);
    succeed(&mut inputs.label("reference"));
    let want = snapshot(&inputs.path("reference"));
    let shim = fault_shim(inputs.dir.path());
    let mut at = 1;
    while let Some(failed) = run_with_fault(&inputs, &shim, &format!("labels-{at}"), at, stays) {
        let output = inputs.path(&format!("labels-{at}"));
        assert_published_files_are_good(&output, &want, at, &failed);
        succeed(&mut inputs.label(&format!("labels-{at}")));
        assert_same_files(&snapshot(&output), &want);
        std::fs::remove_dir_all(&output).unwrap();
        at += 1;
    }
    assert!(
        at > 20,
        "only {at} operations were seen: the shim does not see them all"
    );
}

/// Whatever has its final name has its final bytes.
fn assert_published_files_are_good(
    output: &Path,
    want: &std::collections::BTreeMap<String, Vec<u8>>,
    at: u32,
    failed: &str,
) {
    if !output.exists() {
        return;
    }
    for (name, bytes) in snapshot(output) {
        let is_temporary = name.rsplit('/').next().unwrap().starts_with('.');
        assert!(
            is_temporary || want.get(&name) == Some(&bytes),
            "operation {at} ({failed}) left a bad {name}"
        );
    }
}

#[test]
fn any_single_failing_operation_leaves_a_directory_that_resumes() {
    every_fault_is_survived(false);
}

#[test]
fn a_disk_that_fails_from_any_moment_on_leaves_a_directory_that_resumes() {
    every_fault_is_survived(true);
}

#[test]
fn a_full_disk_is_named() {
    let inputs = Inputs::new(N_TOKENS);
    let shim = fault_shim(inputs.dir.path());
    let mut command = inputs.label("labels");
    command
        .env("LD_PRELOAD", shim)
        .env("FAULT_DIR", inputs.path("labels/positions"));
    command.env("FAULT_AT", "1").env("FAULT_STAYS", "1");
    let printed = support::fail_with(&mut command, 1);
    assert!(printed.contains("no space left"), "{printed}");
    succeed(&mut inputs.label("labels"));
    succeed(saltworks().arg("verify").arg(inputs.path("labels")));
}
