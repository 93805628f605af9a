//! The demo's whole chain at tiny size: from text to a report, stopped and resumed.
#![cfg(all(feature = "label", feature = "train"))]
// clippy.toml exempts tests, but not the functions that they call.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;
use std::path::Path;
use std::process::Command;
use support::process::{signal, wait_for, with_default_sighup};
use support::{fail_with, saltworks, succeed, text};

/// The demo over the text in `corpus`, a file.
fn demo(corpus: &Path, output: &Path) -> Command {
    let mut command = saltworks();
    command.args(["demo", "--quick", "--megabytes", "1", "--corpus"]);
    command.arg(corpus).arg("--output").arg(output);
    command
}

/// One long text, as a user has it in a file: no documents to tell apart.
fn write_text(path: &Path, n_paragraphs: usize) {
    let paragraph = |i: usize| {
        let words = (0..40)
            .map(|j| ["salt", "sea", "the", "of", "wind", "runs"][(i * 7 + j * (i % 5 + 1)) % 6]);
        let words: Vec<&str> = words.collect();
        format!("{i}. {}.\n\n", words.join(" "))
    };
    std::fs::write(path, (0..n_paragraphs).map(paragraph).collect::<String>()).unwrap();
}

fn results(output: &Path) -> Value {
    let text = std::fs::read(output.join("experiment/results.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn one_command_goes_from_a_text_file_to_a_report_and_goes_on_where_it_was_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (corpus, output) = (dir.path().join("book.txt"), dir.path().join("demo"));
    write_text(&corpus, 3000);

    let mut child = with_default_sighup(&mut demo(&corpus, &output))
        .spawn()
        .unwrap();
    wait_for(&output.join("slm/config.toml"), &mut child);
    // As by a terminal that was closed.
    signal(&child, libc::SIGHUP);
    // The command that it waits for has ended with it.
    assert_eq!(child.wait().unwrap().code(), Some(75));

    let printed = text(&succeed(&mut demo(&corpus, &output)));
    assert!(
        printed.contains("tokenize the text: already done"),
        "{printed}"
    );
    assert!(printed.contains("$ saltworks select"), "{printed}");
    assert!(printed.contains("report.html"), "{printed}");
    let results = results(&output);
    let arms = results["arms"].as_array().unwrap();
    let names: Vec<_> = arms
        .iter()
        .map(|arm| arm["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["baseline", "salt", "salt-ds"]);
    for arm in arms {
        let branches = arm["runs"][0]["branches"].as_array().unwrap();
        assert_eq!(branches.len(), 3, "{arm}");
        let nll = branches[2]["scores"][0]["nll"].as_f64().unwrap();
        // Less than a uniform guess over the vocabulary: something was learnt from each of them.
        assert!(nll > 0.0 && nll < 512f64.ln(), "{nll}");
    }
    let report = std::fs::read_to_string(output.join("experiment/report.html")).unwrap();
    assert!(report.contains("salt-ds"));
    // What was typed, from the first stage to the last, and what every arm writes after the same words.
    for command in [
        "saltworks tokenize --input",
        "saltworks label --teacher",
        "saltworks-train run",
        "saltworks-train compare",
    ] {
        assert!(
            report.contains(&format!("\n{command}")) || report.contains(&format!(">{command}")),
            "{command}"
        );
    }
    let samples = std::fs::read(output.join("experiment/samples.json")).unwrap();
    let samples: Value = serde_json::from_slice(&samples).unwrap();
    assert_eq!(samples["texts"].as_array().unwrap().len(), 3, "{samples}");
    let prompt = samples["prompt"].as_str().unwrap();
    for sample in samples["texts"].as_array().unwrap() {
        assert!(
            sample["text"].as_str().unwrap().starts_with(prompt),
            "{sample}"
        );
    }
    assert!(report.contains("<section id=\"samples\">"));

    let again = text(&succeed(&mut demo(&corpus, &output)));
    assert_eq!(again.matches("already done").count(), 11, "{again}");
}

#[test]
fn a_text_too_small_to_learn_from_is_refused_before_anything_is_trained() {
    let dir = tempfile::tempdir().unwrap();
    let (corpus, output) = (dir.path().join("book.txt"), dir.path().join("demo"));
    write_text(&corpus, 20);
    let printed = fail_with(&mut demo(&corpus, &output), 2);
    assert!(printed.contains("bytes of text are too few"), "{printed}");
    // Nothing was made of that one, so the directory is free for another text.
    let printed = fail_with(&mut demo(&dir.path().join("other.txt"), &output), 2);
    assert!(printed.contains("other.txt"), "{printed}");
    std::fs::write(output.join("mine"), "").unwrap();
    let printed = fail_with(&mut demo(&corpus, &output), 2);
    assert!(printed.contains("a demo with other settings"), "{printed}");
}
