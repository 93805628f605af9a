//! This call of the program, recorded next to its output.

use super::print::say;
use super::version;
use saltworks::invocations::{Invocation, utc};
use std::path::Path;
use std::time::SystemTime;

/// Records this call in `dir`. A failure to record is only a note.
pub(crate) fn record(dir: &Path) {
    if let Err(error) = this().record(dir) {
        say!("note: this command is not recorded: {error}");
    }
}

/// This call, as it was typed.
pub(crate) fn this() -> Invocation {
    let argv = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    of(argv.collect())
}

/// A call with these words, by a program that was built with this one.
pub(crate) fn of(argv: Vec<String>) -> Invocation {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let program = argv
        .first()
        .map_or("", |path| path.rsplit('/').next().unwrap_or(path))
        .to_owned();
    let argv = without_secrets(argv);
    Invocation {
        time: utc(now.unwrap_or_default().as_secs()),
        program: format!("{program} {}", env!("CARGO_PKG_VERSION")),
        commit: version::commit().to_owned(),
        target: env!("SALTWORKS_TARGET").to_owned(),
        machine: machine(),
        directory: std::env::current_dir().unwrap_or_default(),
        argv,
    }
}

/// The words without the values of `--storage-option`: keys and tokens are among them.
fn without_secrets(argv: Vec<String>) -> Vec<String> {
    const OPTION: &str = "--storage-option";
    let hidden = |pair: &str| match pair.split_once('=') {
        Some((key, _)) => format!("{key}=(not recorded)"),
        None => pair.to_owned(),
    };
    let mut is_value = false;
    let words = argv.into_iter().map(|word| {
        let was_value = std::mem::replace(&mut is_value, word == OPTION);
        match word
            .strip_prefix(OPTION)
            .and_then(|rest| rest.strip_prefix('='))
        {
            Some(pair) => format!("{OPTION}={}", hidden(pair)),
            None if was_value => hidden(&word),
            None => word,
        }
    });
    words.collect()
}

/// Processor, cores and memory.
fn machine() -> String {
    let cpu = cpu_name().unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = meminfo("MemTotal:").map(|bytes| format!(", {} GiB of memory", bytes >> 30));
    let cores = if cores == 1 {
        "1 core".to_owned()
    } else {
        format!("{cores} cores")
    };
    format!(
        "{cpu}, {cores}{}, {}",
        memory.unwrap_or_default(),
        std::env::consts::OS
    )
}

/// Name of the processor.
pub(crate) fn cpu_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Bytes, of a line of /proc/meminfo.
pub(crate) fn meminfo(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_storage_options_are_not_recorded() {
        let argv = "x --storage-option token=abc --storage-option=region=r --output s3://b";
        let argv = argv.split(' ').map(str::to_owned).collect();
        assert_eq!(
            of(argv).argv[1..],
            [
                "--storage-option",
                "token=(not recorded)",
                "--storage-option=region=(not recorded)",
                "--output",
                "s3://b"
            ]
        );
    }
}
