//! Output that cannot be written: a reader that went away, a full disk under either stream. The work is done
//! anyway, and nothing panics.
#![cfg(target_os = "linux")] // /dev/full
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs::File;
use std::io::pipe;
use std::process::{Command, Output, Stdio};
use support::{Inputs, assert_same_files, saltworks, snapshot, succeed, text};

/// Inputs, with labels of them, and every command as a user would give it. Those that write replace
/// what the last one wrote, or find it done.
struct Commands {
    inputs: Inputs,
}

impl Commands {
    fn new() -> Self {
        let inputs = Inputs::new(2000);
        std::fs::write(inputs.path("text.txt"), "the sea gives salt ".repeat(50)).unwrap();
        succeed(&mut inputs.label("labels"));
        Self { inputs }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = saltworks();
        command.args(arguments).current_dir(self.inputs.dir.path());
        command
    }

    fn all(&self) -> Vec<Command> {
        let inputs = &self.inputs;
        let label = |arguments: &[&str]| {
            let mut command = inputs.label("labels");
            command.args(arguments);
            command
        };
        let mut plan = self.command(&["plan"]);
        inputs.add_options(&mut plan, "planned");
        let mut commands = vec![
            plan,
            label(&[]),
            label(&["--profile"]),
            label(&["--dry-run"]),
        ];
        let lines = [
            "--help",
            "--version",
            "label --help",
            "help select",
            "doctor",
            "doctor --json",
            "tokenizer train --input text.txt --vocab-size 270 --output words.json --overwrite",
            "tokenize --input text.txt --tokenizer words.json --output tokens --overwrite",
            "finalize labels",
            "verify labels",
            "verify labels --json",
            "inspect labels",
            "inspect labels --json",
            "stats labels",
            "stats labels --json",
            "select labels --rows 5 --output chosen.parquet --preview",
            "select labels --rows 5 --output chosen.parquet --json",
        ];
        commands.extend(lines.map(|line| self.command(&line.split(' ').collect::<Vec<_>>())));
        commands
    }
}

fn full() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

fn closed() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

/// Runs every command with streams that `break_streams` has spoilt, asserts the exit code, and that
/// nothing panicked.
fn assert_ends(commands: &Commands, code: i32, break_streams: fn(&mut Command)) -> Vec<Output> {
    let mut ended = Vec::new();
    for mut command in commands.all() {
        command.stderr(Stdio::piped());
        break_streams(&mut command);
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        let printed = text(&output);
        assert_eq!(output.status.code(), Some(code), "{command:?}\n{printed}");
        assert!(!printed.contains("panicked"), "{command:?}\n{printed}");
        ended.push(output);
    }
    ended
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let ended = assert_ends(&Commands::new(), 0, |command| {
        command.stdout(closed());
    });
    for output in ended {
        assert!(!text(&output).contains("error"), "{}", text(&output));
    }
}

#[test]
fn a_result_that_cannot_be_written_is_an_error_and_says_so() {
    let ended = assert_ends(&Commands::new(), 1, |command| {
        command.stdout(full());
    });
    for output in ended {
        let printed = text(&output);
        assert!(
            printed.contains("cannot write to standard output"),
            "{printed}"
        );
        assert!(printed.contains("No space left"), "{printed}");
    }
}

#[test]
fn a_demo_with_closed_output_still_finishes() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = saltworks();
    demo.args(["demo", "--teacher", "ngram", "--megabytes", "1", "--output"]);
    demo.arg(dir.path()).stdout(full()).stderr(full());
    assert_eq!(demo.status().unwrap().code(), Some(1));
    assert!(dir.path().join("labels/manifest.json").exists());
}

#[test]
fn a_full_disk_of_the_log_ends_no_work() {
    let commands = Commands::new();
    assert_ends(&commands, 0, |command| {
        command.stdout(Stdio::piped()).stderr(full());
    });
    let mut again = commands.inputs.label("again");
    again.stdout(closed()).stderr(full());
    assert!(again.status().unwrap().success());
    let labels = |name: &str| snapshot(&commands.inputs.path(name).join("positions"));
    assert_same_files(&labels("again"), &labels("labels"));
}

#[test]
fn both_streams_gone_leave_the_exit_code_of_what_went_wrong() {
    let mut command = saltworks();
    command.args(["stats", "/nowhere"]);
    let status = command.stdout(full()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(2));
}

#[test]
fn a_path_that_is_not_unicode_is_no_panic_of_json() {
    use std::os::unix::ffi::OsStrExt;
    let commands = Commands::new();
    let name = |bytes: &'static [u8]| std::ffi::OsStr::from_bytes(bytes);
    let mut label = saltworks();
    commands.inputs.add_options(&mut label, "labels");
    let options: Vec<_> = label.get_args().map(std::ffi::OsStr::to_owned).collect();
    let output = commands.inputs.dir.path().join(name(b"l\xff"));
    let is_output =
        |option: &std::ffi::OsString| option.as_os_str() == commands.inputs.path("labels");
    let options = options.iter().map(|option| match is_output(option) {
        true => output.clone().into_os_string(),
        false => option.clone(),
    });
    let mut label = saltworks();
    label.arg("label").args(options).arg("--json");
    let mut train = commands.command(&["tokenizer", "train", "--json", "--input", "text.txt"]);
    train.args(["--vocab-size", "270", "--output"]);
    for command in [&mut label, train.arg(name(b"t\xff.json"))] {
        let printed = succeed(command).stdout;
        let facts: serde_json::Value = serde_json::from_slice(&printed).unwrap();
        assert!(
            facts["output"].as_str().unwrap().contains('\u{fffd}'),
            "{facts}"
        );
    }
}
