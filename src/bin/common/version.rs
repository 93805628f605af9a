//! What `--version` prints in addition to the number.

use std::sync::LazyLock;

/// Number, commit and target, one per line.
pub(crate) static LONG: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{}\ncommit {}\ntarget {}",
        env!("CARGO_PKG_VERSION"),
        commit(),
        env!("SALTWORKS_TARGET")
    )
});

/// The commit that was checked out, else what `SALTWORKS_COMMIT` said in the build, else `unknown`.
pub(crate) fn commit() -> &'static str {
    #[cfg(saltworks_git)]
    if let Ok(commit) = std::str::from_utf8(&COMMIT) {
        return commit;
    }
    option_env!("SALTWORKS_COMMIT").unwrap_or("unknown")
}

/// By value, so that nothing else from git's log gets into the program.
#[cfg(saltworks_git)]
static COMMIT: [u8; 12] = last_commit(include_bytes!(env!("SALTWORKS_GIT_LOG")));

/// The first digits of the second hash of the last line.
#[cfg(any(saltworks_git, test))]
const fn last_commit(log: &[u8]) -> [u8; 12] {
    let mut at = log.len().saturating_sub(1);
    while at > 0 && log[at - 1] != b'\n' {
        at -= 1;
    }
    while at < log.len() && log[at] != b' ' {
        at += 1;
    }
    let mut commit = [b'?'; 12];
    let mut i = 0;
    while i < commit.len() && at + 1 + i < log.len() {
        commit[i] = log[at + 1 + i];
        i += 1;
    }
    commit
}

#[cfg(test)]
mod tests {
    use super::last_commit;

    #[test]
    fn the_commit_is_that_of_the_last_reflog_line() {
        let [zero, one, two] = ["0", "1", "2"].map(|digit| digit.repeat(40));
        let log = format!("{zero} {one} a <b> 1 +0000\tclone\n{one} {two} a <b> 2 +0000\tcommit\n");
        assert_eq!(last_commit(log.as_bytes()), *b"222222222222");
        assert_eq!(last_commit(b""), *b"????????????");
    }
}
