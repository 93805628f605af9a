//! Edge cases of the command line: paths that are not local files, outputs that would overwrite other things,
//! huge numbers, names that would affect a terminal, limits and signals.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use support::process::{self, wait_until_sigterm_is_handled};
use support::{Inputs, fail_with, saltworks, snapshot, succeed, text};

const USAGE: i32 = 2;
const INTERRUPTED: i32 = 75;

/// `saltworks` with the words of `line`, in `folder`.
fn typed(folder: &Path, line: &str) -> Command {
    let mut command = saltworks();
    command.args(line.split(' ')).current_dir(folder);
    command
}

fn with_text(inputs: &Inputs) {
    let line = r#"{"text":"the sea gives salt and the salt gives taste"}"#;
    std::fs::write(inputs.path("text.jsonl"), [line; 50].join("\n")).unwrap();
}

#[test]
fn places_elsewhere_are_refused_in_flags_and_keys_and_nothing_is_made() {
    let inputs = Inputs::new(500);
    with_text(&inputs);
    let folder = inputs.dir.path();
    let before = snapshot(folder);
    let lines = [
        "label --teacher teacher.onnx --tokens tokens.bin --seq-len 8 --output s4://bucket/labels",
        "plan --teacher teacher.onnx --tokens tokens.bin --seq-len 8 --output=gcs://bucket/labels",
        "label --teacher hdfs://a/b --tokens tokens.bin --seq-len 8 --output labels",
        "tokenize --input azz://box/x.jsonl --tokenizer t.json --output tokens",
        "tokenize --input text.jsonl --tokenizer t.json --output hdfs://host/tokens",
        "tokenizer train --input text.jsonl --vocab-size 270 --output ~/t.json",
        "select labels --rows 4 --output ${OUT}/x.parquet",
        "demo --teacher ngram --output https://host/demo",
        "stats file://labels",
        "doctor --ort-lib http://host/libonnxruntime.so",
    ];
    for line in lines {
        let printed = fail_with(&mut typed(folder, line), USAGE);
        assert!(printed.contains("local path"), "{line}: {printed}");
    }
    for key in ["teacher", "tokens", "output", "selection", "ort_lib"] {
        for place in ["s4://bucket/x", "~/x", ""] {
            let config = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(config.path(), format!("{key} = \"{place}\"")).unwrap();
            let mut command = typed(folder, "label --config");
            let printed = fail_with(command.arg(config.path()), USAGE);
            assert!(
                printed.contains("local path") && printed.contains(key),
                "{printed}"
            );
        }
    }
    let after = snapshot(folder);
    assert_eq!(
        after.keys().collect::<Vec<_>>(),
        before.keys().collect::<Vec<_>>()
    );
}

#[test]
fn labels_get_a_directory_of_their_own() {
    let inputs = Inputs::new(500);
    with_text(&inputs);
    let folder = inputs.dir.path();
    let train = "tokenizer train --input text.jsonl --vocab-size 300 --output t.json";
    succeed(&mut typed(folder, train));
    succeed(&mut typed(
        folder,
        "tokenize --input text.jsonl --tokenizer t.json --output tokens",
    ));
    std::fs::create_dir_all(folder.join("model")).unwrap();
    std::fs::copy(folder.join("teacher.onnx"), folder.join("model/model.onnx")).unwrap();
    std::fs::create_dir_all(folder.join("photos")).unwrap();
    std::fs::write(folder.join("photos/cat.jpg"), "cat").unwrap();
    std::os::unix::fs::symlink("tokens", folder.join("alias")).unwrap();
    let before = snapshot(folder);
    let cases = [
        ("photos", "contains \"cat.jpg\" and no labels"),
        ("tokens", "which is --tokens"),
        ("./model/../tokens", "which is --tokens"),
        ("alias", "which is --tokens"),
        ("tokens/labels", "inside --tokens"),
        ("alias/deep/labels", "inside --tokens"),
        ("model", "where --teacher is"),
        ("model/model.onnx", "where --teacher is"),
        (".", "no labels"),
        ("t.json", "which is a file"),
    ];
    for command in ["label", "plan", "label --dry-run"] {
        for (output, words) in cases {
            let line = format!(
                "{command} --teacher model/model.onnx --tokens tokens --seq-len 8 --device cpu --output {output}"
            );
            let printed = fail_with(&mut typed(folder, &line), USAGE);
            assert!(printed.contains(words), "{line}: {printed}");
        }
    }
    assert_eq!(snapshot(folder), before);
}

#[test]
fn outputs_stay_out_of_what_is_read() {
    let inputs = Inputs::new(500);
    let folder = inputs.dir.path();
    std::fs::create_dir(folder.join("texts")).unwrap();
    with_text(&inputs);
    std::fs::rename(folder.join("text.jsonl"), folder.join("texts/a.jsonl")).unwrap();
    succeed(&mut typed(
        folder,
        "tokenizer train --input texts --vocab-size 270 --output t.json",
    ));
    succeed(&mut inputs.label("labels"));
    let before = snapshot(folder);
    for line in [
        "tokenize --input texts --tokenizer t.json --output texts",
        "tokenize --input texts --tokenizer t.json --output texts/tokens",
        "tokenize --input texts/*.jsonl --tokenizer t.json --output ./texts",
        "tokenizer train --input texts/a.jsonl --vocab-size 270 --output texts/a.jsonl --overwrite",
        "tokenizer train --input texts --vocab-size 270 --output texts/t.json",
        "select labels --rows 3 --output labels/positions/part-00000.parquet",
        "select labels --rows 3 --output labels/../labels/chosen.parquet",
    ] {
        let printed = fail_with(&mut typed(folder, line), USAGE);
        assert!(printed.contains("outside the inputs"), "{line}: {printed}");
    }
    assert_eq!(snapshot(folder), before);
}

#[test]
fn an_empty_directory_a_new_volume_and_labels_in_progress_are_taken() {
    let inputs = Inputs::new(500);
    std::fs::create_dir_all(inputs.path("labels/lost+found")).unwrap();
    std::fs::write(inputs.path("labels/.hidden"), "").unwrap();
    succeed(&mut inputs.label("labels"));
    std::fs::write(inputs.path("labels/notes.txt"), "mine").unwrap();
    succeed(&mut inputs.label("labels"));
}

#[test]
fn every_missing_option_is_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["label", "plan", "label --dry-run"] {
        let printed = fail_with(&mut typed(folder.path(), command), USAGE);
        for flag in ["--teacher", "--tokens", "--output", "--seq-len"] {
            assert!(printed.contains(flag), "{command}: {printed}");
        }
        let line = format!("{command} --teacher x --seq-len 8 --output y");
        let printed = fail_with(&mut typed(folder.path(), &line), USAGE);
        assert!(
            printed.contains("tokens (--tokens) is missing"),
            "{printed}"
        );
    }
}

#[test]
fn the_option_that_was_changed_over_labels_is_named() {
    let inputs = Inputs::new(2000);
    succeed(&mut inputs.label("labels"));
    let changes = [
        ("--seq-len", "16"),
        ("--packing", "document"),
        ("--sequence-bos", "1"),
        ("--eod", "298"),
        ("--top-k", "4"),
        ("--groups", "stats"),
        ("--samples", "3"),
        ("--samples-tau", "0.9"),
        ("--samples-seed", "6"),
        ("--temperatures", "3"),
        ("--round", "f32"),
        ("--order-seed", "7"),
        ("--zstd-level", "4"),
        ("--shard-bytes", "20000"),
    ];
    for (flag, value) in changes {
        let mut given = Vec::new();
        let usual = inputs.label("labels");
        let mut usual = usual.get_args().map(|arg| arg.to_str().unwrap().to_owned());
        while let Some(arg) = usual.next() {
            // Those that would no longer go together with it.
            let is_of_lists = ["--samples", "--temperatures"]
                .iter()
                .any(|start| flag == "--groups" && arg.starts_with(start));
            if arg == flag || is_of_lists {
                usual.next();
            } else {
                given.push(arg);
            }
        }
        let printed = fail_with(saltworks().args(given).args([flag, value]), USAGE);
        let words = format!("another {flag}:");
        assert!(printed.contains(&words), "{flag} {value}: {printed}");
    }
}

#[test]
fn huge_numbers_neither_panic_nor_exhaust_memory() {
    let inputs = Inputs::new(2000);
    with_text(&inputs);
    succeed(&mut inputs.label("labels"));
    let most = u64::MAX;
    let lines = [
        format!("inspect labels --row {most}"),
        format!("inspect labels --seq-id {most}"),
        format!("inspect labels --positions 0..{most} --alternatives {most}"),
        format!("inspect labels --positions {}..{most}", most - 1),
        format!("stats labels --bound-k {}", u32::MAX),
        format!("select labels --rows {most} --output x.parquet"),
        format!("select labels --token-budget {most} --output x.parquet"),
        "select labels --fraction 1e308 --output x.parquet".to_owned(),
        "select labels --rows 3 --policy weighted --temperature 1e-308 --output x.parquet"
            .to_owned(),
        format!(
            "tokenizer train --input text.jsonl --vocab-size {} --output t.json",
            u32::MAX
        ),
        format!(
            "tokenizer train --input text.jsonl --vocab-size 300 --max-text-bytes {most} --output t.json"
        ),
        format!("tokenize --input text.jsonl --tokenizer t.json --output tokens --threads {most}"),
        "tokenize --input text.jsonl --tokenizer t.json --output tokens --threads 5000".to_owned(),
    ];
    for line in &lines {
        assert_ends_well(&mut typed(inputs.dir.path(), line));
    }
    for (flag, value) in [
        ("--seq-len", u64::from(u32::MAX)),
        ("--threads", 257),
        ("--threads", most),
        ("--batch-tokens", u64::from(u32::MAX)),
        ("--shard-bytes", most),
        ("--shard-bytes", 1),
        ("--top-k", u64::from(u32::MAX)),
        ("--samples", u64::from(u32::MAX)),
        ("--max-sequences", most),
        ("--eod", u64::from(u32::MAX)),
    ] {
        let mut command = saltworks();
        command.args(["label", "--dry-run", "--threads", "1", "--seq-len", "32"]);
        inputs.add_inputs(&mut command, "dry");
        // A flag that is given twice is refused too.
        let config = inputs.path("config.toml");
        let key = flag.trim_start_matches("--").replace('-', "_");
        let number = i64::try_from(value).unwrap_or(i64::MAX);
        std::fs::write(&config, format!("{key} = {number}")).unwrap();
        assert_ends_well(command.arg("--config").arg(&config));
        assert_ends_well(command.args([flag, &value.to_string()]));
    }
    for columns in [
        "0",
        "1",
        "7",
        "1000000",
        "18446744073709551615",
        "-1",
        "wide",
    ] {
        for command in [
            "inspect labels",
            "stats labels",
            "select labels --rows 3 --output x.parquet",
        ] {
            let mut command = typed(inputs.dir.path(), command);
            let output = succeed(command.env("COLUMNS", columns));
            assert!(output.stdout.len() < 1 << 20, "{columns}");
        }
    }
}

/// Success or a refusal, within the time and memory that a small job needs.
fn assert_ends_well(command: &mut Command) {
    let output = command.output().unwrap();
    let code = output.status.code();
    assert!(
        matches!(code, Some(0 | 2 | 3)),
        "{command:?} {code:?}\n{}",
        text(&output)
    );
    assert!(!text(&output).contains("panicked"), "{}", text(&output));
}

#[test]
fn threads_of_a_configuration_file_have_the_same_limit() {
    let inputs = Inputs::new(500);
    std::fs::write(inputs.path("label.toml"), "threads = 100000").unwrap();
    let mut command = inputs.label("labels");
    let printed = fail_with(
        command.arg("--config").arg(inputs.path("label.toml")),
        USAGE,
    );
    assert!(
        printed.contains("--threads is 100000, expected at most 256"),
        "{printed}"
    );
}

#[test]
fn a_variable_that_asks_for_too_many_threads_is_refused_by_name() {
    let inputs = Inputs::new(500);
    for value in ["100000", "18446744073709551616"] {
        let mut doctor = saltworks();
        let printed = fail_with(doctor.arg("doctor").env("RAYON_NUM_THREADS", value), USAGE);
        let said = format!("RAYON_NUM_THREADS is {value}: expected at most 256");
        assert!(printed.contains(&said), "{printed}");
    }
    for value in ["0", "2", "many", ""] {
        let mut label = inputs.label("labels");
        label.arg("--dry-run");
        succeed(label.env("RAYON_NUM_THREADS", value));
    }
}

/// Everything that could act on a terminal, or make one name look like another.
const HOSTILE: &str =
    "a\u{1b}[2J\u{1b}]0;t\u{7}\nerror: b\r\u{8}\u{9b}1m\u{202e}gpj\u{2066}\u{200f}\u{61c}";

fn assert_visible(printed: &str) {
    let acts =
        |c: &char| c.is_control() && *c != '\n' || "\u{202e}\u{2066}\u{200f}\u{61c}".contains(*c);
    let acting: Vec<char> = printed.chars().filter(acts).collect();
    assert!(acting.is_empty(), "{acting:?} in {printed:?}");
    let spoofed = printed.lines().any(|line| line.starts_with("error: b"));
    assert!(!spoofed, "{printed}");
}

#[test]
fn names_from_outside_are_printed_visibly() {
    let inputs = Inputs::new(2000);
    with_text(&inputs);
    succeed(&mut inputs.label("labels"));
    let folder = inputs.dir.path().join(HOSTILE);
    std::fs::create_dir(&folder).unwrap();
    std::fs::rename(inputs.path("labels"), folder.join("labels")).unwrap();
    let foreign = folder.join("labels/positions").join(HOSTILE);
    std::fs::write(&foreign, "foreign").unwrap();
    let labels = folder.join("labels");
    let commands: [(&[&str], Option<&Path>); 9] = [
        (&["verify"], Some(&labels)),
        (&["verify", "--json"], Some(&labels)),
        (&["finalize"], Some(&labels)),
        (&["stats"], Some(&labels)),
        (&["inspect"], Some(&foreign)),
        (&["inspect", "--tokenizer", HOSTILE], Some(&labels)),
        (
            &[
                "select",
                "--rows",
                "3",
                "--json",
                "--output",
                "x/\u{1b}[2J\u{202e}",
            ],
            Some(&labels),
        ),
        (&["label", "--config"], Some(&foreign)),
        (
            &[
                "tokenize",
                "--tokenizer",
                HOSTILE,
                "--output",
                "o",
                "--input",
            ],
            Some(&foreign),
        ),
    ];
    for (arguments, path) in commands {
        let mut command = saltworks();
        command
            .args(arguments)
            .args(path)
            .current_dir(inputs.dir.path());
        let output = command.output().unwrap();
        assert_visible(&text(&output));
        let shown = text(&output);
        let is_named = ["\\u{1b}[2J", "\\u001b[2J", "\\u{202e}"]
            .iter()
            .any(|words| shown.contains(words));
        assert!(
            is_named || output.status.success(),
            "{arguments:?}: {shown}"
        );
    }
    for argument in [
        HOSTILE,
        &format!("--x{HOSTILE}"),
        &format!("--row={HOSTILE}"),
    ] {
        let printed = fail_with(saltworks().args(["inspect", argument, argument]), USAGE);
        assert_visible(&printed);
    }
}

#[test]
fn a_file_past_its_limit_is_an_error_with_a_message() {
    let inputs = Inputs::new(20_000);
    let label = inputs.label("labels");
    let words: Vec<_> = label.get_args().map(|arg| arg.to_str().unwrap()).collect();
    let line = format!(
        "ulimit -f 8; exec {} {}",
        env!("CARGO_BIN_EXE_saltworks"),
        words.join(" ")
    );
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("File too large"),
        "{}",
        text(&output)
    );
    succeed(&mut inputs.label("labels"));
}

#[test]
fn doctor_says_what_is_wrong_with_tmpdir_and_reports_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let mut doctor = typed(folder.path(), "doctor");
    let printed = fail_with(doctor.env("TMPDIR", folder.path().join("nowhere")), 1);
    for words in ["TMPDIR", "nowhere", "cores", "ONNX Runtime"] {
        assert!(printed.contains(words), "{words} in {printed}");
    }
}

/// Sends `signal` once the command has begun, and gives the exit code.
fn signalled(command: &mut Command, signal: i32) -> Option<i32> {
    let mut child = process::with_default_sighup(command)
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until_sigterm_is_handled(&mut child);
    process::signal(&child, signal);
    child.wait().unwrap().code()
}

#[cfg(target_os = "linux")]
#[test]
fn long_commands_end_with_75_on_any_stop_signal() {
    let inputs = Inputs::new(400_000);
    let text =
        "the sea gives salt and the salt gives taste to whoever asks for it\n".repeat(300_000);
    std::fs::write(inputs.path("long.txt"), text).unwrap();
    let train = "tokenizer train --input long.txt --vocab-size 5000 --output t.json";
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
        assert_eq!(
            signalled(&mut typed(inputs.dir.path(), train), signal),
            Some(INTERRUPTED)
        );
        assert_eq!(
            signalled(&mut inputs.label("labels"), signal),
            Some(INTERRUPTED)
        );
    }
    assert!(!inputs.path("t.json").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn an_ignored_hangup_stays_ignored() {
    let inputs = Inputs::new(3000);
    let label = inputs.label("labels");
    let words: Vec<_> = label.get_args().map(|arg| arg.to_str().unwrap()).collect();
    let line = format!(
        "trap '' HUP; exec {} {}",
        env!("CARGO_BIN_EXE_saltworks"),
        words.join(" ")
    );
    let mut command = Command::new("sh");
    assert_eq!(
        signalled(command.args(["-c", &line]), libc::SIGHUP),
        Some(0)
    );
}
