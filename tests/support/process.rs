//! A program at work in a process of its own, and what a test does to it meanwhile.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses a part of it"
)]

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long something is waited for before the test gives up.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The command with SIGHUP as it is by default: under nohup the tests ignore it themselves, and so would
/// the child.
pub fn with_default_sighup(command: &mut Command) -> &mut Command {
    let reset = || {
        // SAFETY: two integers; `signal` may be called between fork and exec.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_DFL) };
        Ok(())
    };
    // SAFETY: `reset` does nothing else.
    unsafe { command.pre_exec(reset) }
}

/// Starts the command; what it prints is kept for the end.
pub fn spawn(command: &mut Command) -> Child {
    let command = with_default_sighup(command);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits until `is_so`, while the child runs.
pub fn wait_until(child: &mut Child, what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        let is_running = child.try_wait().unwrap().is_none();
        assert!(is_running, "ended before {what}");
        assert!(started.elapsed() < TIMEOUT, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until `path` is there, while the child runs.
pub fn wait_for(path: &Path, child: &mut Child) {
    let what = format!("{} was there", path.display());
    wait_until(child, &what, || path.exists());
}

/// Waits until the child handles SIGTERM itself.
pub fn wait_until_sigterm_is_handled(child: &mut Child) {
    let status = format!("/proc/{}/status", child.id());
    wait_until(child, "SIGTERM was handled", || {
        let status = std::fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        caught & (1 << (libc::SIGTERM - 1)) != 0
    });
}

pub fn signal(child: &Child, signal: i32) {
    // SAFETY: two integers; the child has not been waited for, so the number is its own.
    unsafe { libc::kill(child.id() as i32, signal) };
}

/// Flips one byte in the middle of a file; again, and it is as it was.
pub fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
