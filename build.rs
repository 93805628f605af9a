//! Tells the binaries their target and where git logs what is checked out.
//!
//! The log is read by the binaries themselves (`src/bin/common/version.rs`), so a commit makes only
//! them anew, and not the library: this script does not depend on it.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(saltworks_git)");
    let target = std::env::var("TARGET").unwrap_or_else(|_| "unknown".to_owned());
    println!("cargo::rustc-env=SALTWORKS_TARGET={target}");
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| ".".into(), PathBuf::from);
    let Some(git) = git_dir(&root) else {
        return;
    };
    let log = git.join("logs/HEAD");
    if log.is_file() {
        println!("cargo::rustc-cfg=saltworks_git");
        println!("cargo::rustc-env=SALTWORKS_GIT_LOG={}", log.display());
    }
    // Written once, so that only a repository that goes away runs this again.
    for constant in ["description", "commondir"] {
        let constant = git.join(constant);
        if constant.is_file() {
            println!("cargo::rerun-if-changed={}", constant.display());
        }
    }
}

/// Of the repository whose root is `root`; in a worktree `.git` is a file that names it.
fn git_dir(root: &Path) -> Option<PathBuf> {
    let git = root.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let text = std::fs::read_to_string(git).ok()?;
    Some(root.join(text.strip_prefix("gitdir:")?.trim()))
}
