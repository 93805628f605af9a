//! Help: completions, man pages, versions, and the notes printed along with results.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::process::Command;
use support::{Inputs, fail_with, saltworks, succeed, text};

const PROGRAMS: [(&str, &str); 2] = [
    ("saltworks", env!("CARGO_BIN_EXE_saltworks")),
    ("saltworks-train", env!("CARGO_BIN_EXE_saltworks-train")),
];

fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

fn stderr(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn completions_load_in_bash_and_name_the_program_elsewhere() {
    for (name, program) in PROGRAMS {
        let load = format!("source <('{program}' completions bash) && complete -p {name}");
        let loaded = stdout(Command::new("bash").args(["-c", &load]));
        assert!(loaded.ends_with(&format!(" {name}\n")), "{loaded}");
        for shell in ["zsh", "fish", "powershell", "elvish"] {
            let script = text(&succeed(Command::new(program).args(["completions", shell])));
            assert!(script.contains(name) && script.contains("quiet"), "{shell}");
        }
        fail_with(Command::new(program).args(["completions", "tcsh"]), 2);
    }
}

/// Names of a command's own commands, as its help lists them.
fn commands_of(program: &str, names: &[&str]) -> Vec<String> {
    let help = stdout(Command::new(program).args(names).arg("--help"));
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_has_a_man_page() {
    for (name, program) in PROGRAMS {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("man1");
        succeed(Command::new(program).args(["man", "--output"]).arg(&dir));
        let there: BTreeSet<String> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let commands = commands_of(program, &[]);
        assert!(commands.len() >= 10, "{commands:?}");
        for command in &commands {
            assert!(
                there.contains(&format!("{name}-{command}.1")),
                "{command} in {there:?}"
            );
            let page = text(&succeed(Command::new(program).args(["man", command])));
            assert!(page.contains(&format!(".TH {name}-{command}")), "{page}");
        }
        assert!(there.contains(&format!("{name}.1")));
    }
    let unknown = fail_with(saltworks().args(["man", "salt"]), 2);
    assert!(
        unknown.contains("`salt`") && unknown.contains("tokenize"),
        "{unknown}"
    );
}

#[test]
fn the_long_version_says_commit_and_target() {
    for (name, program) in PROGRAMS {
        let short = stdout(Command::new(program).arg("-V"));
        assert_eq!(short, format!("{name} {}\n", env!("CARGO_PKG_VERSION")));
        let long = stdout(Command::new(program).arg("--version"));
        let lines: Vec<&str> = long.lines().collect();
        let [number, commit, target] = lines[..] else {
            panic!("{long}")
        };
        assert_eq!(number, short.trim_end());
        let commit = commit.strip_prefix("commit ").unwrap();
        let is_hash = commit.len() == 12 && commit.chars().all(|c| c.is_ascii_hexdigit());
        assert!(is_hash || commit == "unknown", "{long}");
        assert!(
            target.starts_with("target ") && target.contains(std::env::consts::ARCH),
            "{long}"
        );
    }
}

#[test]
fn progress_is_text_in_a_log_and_json_or_nothing_where_asked_for() {
    let inputs = Inputs::new(3_000);
    let run = |name: &str, options: &[&str]| stderr(inputs.label(name).args(options));
    let plain = run("plain", &[]);
    assert!(
        plain.lines().last().unwrap().starts_with("100% "),
        "{plain}"
    );
    assert!(!plain.contains('{') && !plain.contains('\u{1b}'), "{plain}");
    let json = run("json", &["--progress", "json"]);
    let last: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "labelled");
    let none = run("none", &["--progress=none"]);
    assert!(
        !none.contains("100%") && none.contains("labelling"),
        "{none}"
    );
    assert_eq!(run("quiet", &["--quiet"]), "");
    let quiet = stdout(inputs.label("quiet").arg("-q"));
    assert!(quiet.contains("labels are complete"), "{quiet}");
    let failed = fail_with(saltworks().args(["stats", "nowhere", "-q"]), 2);
    assert!(failed.starts_with("error: "), "{failed}");
}

/// What `line` prints, which must be one JSON object, in `folder`.
fn json(program: &str, folder: &std::path::Path, line: &str) -> serde_json::Value {
    let mut command = Command::new(program);
    command.args(line.split(' ')).current_dir(folder);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{line}\n{}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn results_come_as_one_json_object_where_asked_for() {
    let inputs = Inputs::new(3_000);
    let folder = inputs.dir.path();
    let words = "{\"text\":\"the sea gives salt and the salt gives taste\"}\n";
    std::fs::write(inputs.path("text.jsonl"), words.repeat(200)).unwrap();
    std::fs::write(
        inputs.path("run.toml"),
        "output = \"run\"\n[model]\nd_model = 16\nn_layers = 1\nn_heads = 1\nd_ff = 16\n\
         [data]\ntokens = \"corpus\"\ntokenizer = \"words.json\"\nseq_len = 16\n\
         [train]\nsteps = 2\nbatch_size = 2\n[schedule]\nlr = 1e-3\nwarmup_steps = 0\n",
    )
    .unwrap();
    let [(_, label), (_, train)] = PROGRAMS;
    let trained = "tokenizer train --input text.jsonl --vocab-size 270 -o words.json --json";
    assert_eq!(json(label, folder, trained)["n_documents"], 200);
    let tokenize = "tokenize --input text.jsonl --tokenizer words.json -o corpus --json";
    assert_eq!(json(label, folder, tokenize)["n_documents"], 200);
    let mut made = inputs.label("labels");
    let made: serde_json::Value = serde_json::from_str(&stdout(made.arg("--json"))).unwrap();
    assert_eq!(made["is_complete"], true);
    let finalized = json(label, folder, "finalize labels --json");
    assert_eq!(finalized["n_rows"].as_u64().map(|n| n > 0), Some(true));
    let run = json(train, folder, "run --config run.toml --json");
    assert_eq!(
        (&run["n_steps"], &run["was_finished"]),
        (&2.into(), &false.into())
    );
    let export = json(train, folder, "export --model run -o hf --json");
    assert_eq!(export["output"], "hf");
    let sample = json(train, folder, "generate --model run --max-tokens 3 --json");
    assert_eq!(sample["ids"].as_array().unwrap().len(), 3);
    let plotted = json(train, folder, "plot run --output curves --json");
    assert!(inputs.path(plotted["svg"].as_str().unwrap()).is_file());
}
