//! Help at hand: completions, man pages, versions, and what is said beside results.

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
