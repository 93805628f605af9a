//! `saltworks-train eval`, `export` and `generate` as a user runs them, against the slow forward pass.

use crate::llama;
use crate::support::process::{signal, wait_until_sigterm_is_handled};
use crate::support::{self, fail_with, snapshot, succeed, text};
use saltworks::train::export::{SpecialIds, write_hf};
use saltworks::train::model::{ModelSpec, Params};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Command;

/// Mean of f32 log-probabilities against the mean of the same in f64.
const NLL_TOLERANCE: f64 = 1e-5;

/// A model with its tokenizer, in a directory to work in.
struct Workspace {
    dir: tempfile::TempDir,
    params: Params,
}

impl Workspace {
    fn new() -> Self {
        let spec = ModelSpec {
            vocab_size: 97,
            ..llama::spec()
        };
        let dir = tempfile::tempdir().unwrap();
        let params = llama::params_of(&spec);
        let special = SpecialIds {
            bos: Some(0),
            eos: vec![1],
        };
        let tokenizer = llama::tokenizer_json();
        write_hf(
            &dir.path().join("model"),
            &params,
            &special,
            Some(tokenizer.as_bytes()),
        )
        .unwrap();
        Self { dir, params }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// `saltworks-train COMMAND --model …`.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_saltworks-train"));
        command.arg(name).arg("--model").arg(self.path("model"));
        command
    }

    fn eval(&self, kind: &str, input: &str, more: &[&str]) -> Value {
        let mut eval = self.command("eval");
        eval.arg(kind)
            .arg(self.path(input))
            .arg("--json")
            .args(more);
        serde_json::from_slice(&succeed(&mut eval).stdout).unwrap()
    }

    /// NLL of the targets of some sequences, nats, and their number, the slow way.
    fn nll(&self, sequences: &[Vec<u32>]) -> (f64, usize) {
        let logprobs = sequences
            .iter()
            .flat_map(|ids| llama::target_logprobs(&self.params, ids));
        let logprobs: Vec<f64> = logprobs.collect();
        (-logprobs.iter().sum::<f64>(), logprobs.len())
    }

    fn assert_score(&self, found: &Value, sequences: &[Vec<u32>], n_bytes: u64) {
        let (nll, n_targets) = self.nll(sequences);
        assert_eq!(found["n_targets"], n_targets, "{found}");
        let number = |key: &str| found[key].as_f64().unwrap();
        let mean = nll / n_targets as f64;
        assert!(
            (number("mean_nll_nats") - mean).abs() < NLL_TOLERANCE,
            "{found}: {mean}"
        );
        assert!((number("perplexity") / mean.exp() - 1.0).abs() < 2.0 * NLL_TOLERANCE);
        assert_eq!(found["n_bytes"], n_bytes, "{found}");
        let bits = nll / std::f64::consts::LN_2 / n_bytes as f64;
        assert!(
            (number("bits_per_byte") - bits).abs() < 2.0 * NLL_TOLERANCE,
            "{found}: {bits}"
        );
    }
}

/// The tokenizer's ids of printable ASCII, `<s>` in front and `</s>` behind where asked.
fn encoded(text: &str, bos: bool, eod: bool) -> Vec<u32> {
    let id = |c: char| match c {
        ' ' => 96,
        _ => u32::from(c) - u32::from('!') + 2,
    };
    let front = bos.then_some(0);
    let behind = eod.then_some(1);
    front
        .into_iter()
        .chain(text.chars().map(id))
        .chain(behind)
        .collect()
}

/// As `document` packing cuts: chunks of t + 1 that share an id.
fn chunks(ids: &[u32], t: usize) -> Vec<Vec<u32>> {
    let starts = (0..ids.len() - 1).step_by(t);
    starts
        .map(|start| ids[start..ids.len().min(start + t + 1)].to_vec())
        .collect()
}

#[test]
fn text_is_scored_as_the_slow_forward_pass_says_by_document() {
    let place = Workspace::new();
    let long = "all work and no play ".repeat(6);
    place.write(
        "in.txt",
        format!(" one fine day \n---\n{long}\n---\n---\nx"),
    );
    let found = place.eval(
        "--text",
        "in.txt",
        &["--split-on", "---", "--seq-len", "32"],
    );
    let mut sequences = Vec::new();
    for text in ["one fine day", long.trim(), "x"] {
        sequences.extend(chunks(&encoded(text, true, true), 32));
    }
    let n_bytes = 12 + long.trim().len() as u64 + 1;
    place.assert_score(&found, &sequences, n_bytes);
    assert_eq!(found["n_sequences"], sequences.len());
    assert_eq!(
        (&found["packing"], &found["seq_len"]),
        (&json!("document"), &json!(32))
    );
}

#[test]
fn documents_are_scored_apart_by_what_a_field_says() {
    let place = Workspace::new();
    let documents = [
        ("poem/1", "roses are red"),
        ("tale/1", "once"),
        ("poem/2", "violets"),
    ];
    let line = |(id, text): &(&str, &str)| json!({ "id": id, "text": text }).to_string() + "\n";
    place.write("in.jsonl", documents.iter().map(line).collect::<String>());
    let more = [
        "--by",
        "id",
        "--by-until",
        "/",
        "--bos",
        "none",
        "--eod",
        "none",
    ];
    let of = |kinds: &str| -> Vec<Vec<u32>> {
        let chosen = documents.iter().filter(|(id, _)| id.starts_with(kinds));
        chosen
            .map(|(_, text)| encoded(text, false, false))
            .collect()
    };
    let found = place.eval("--text", "in.jsonl", &more);
    place.assert_score(&found, &of(""), 12 + 3 + 6);
    let by_kind = found["by_kind"].as_array().unwrap();
    assert_eq!(by_kind.len(), 2);
    for (group, kind, n_bytes) in [(&by_kind[0], "poem", 18), (&by_kind[1], "tale", 3)] {
        assert_eq!(group["kind"], kind);
        place.assert_score(group, &of(kind), n_bytes);
    }

    let concat = place.eval(
        "--text",
        "in.jsonl",
        &[&more[..], &["--packing", "concat"]].concat(),
    );
    let one_after_the_other = [of("").concat()];
    place.assert_score(&concat, &one_after_the_other, 13 + 4 + 7 - 1);
    let kinds = concat["by_kind"].as_array().unwrap();
    assert_eq!(
        (&kinds[0]["n_targets"], &kinds[1]["n_targets"]),
        (&json!(19), &json!(4))
    );
}

#[test]
fn a_token_corpus_is_scored_whatever_the_micro_batches() {
    let place = Workspace::new();
    let ids = llama::ids(300, 97, 4);
    let bytes: Vec<u8> = ids
        .iter()
        .flat_map(|&id| (id as u16).to_le_bytes())
        .collect();
    place.write("tokens.bin", bytes);
    // Every id but the two special ones stands for one byte.
    let n_bytes = ids[1..].iter().filter(|&&id| id > 1).count() as u64;
    let sequences = chunks(&ids, 20);
    for batch_tokens in ["1", "50", "4096"] {
        let more = ["--seq-len", "20", "--batch-tokens", batch_tokens];
        let found = place.eval("--tokens", "tokens.bin", &more);
        place.assert_score(&found, &sequences, n_bytes);
        assert_eq!(found["packing"], "concat");
    }
    let with_bos = place.eval(
        "--tokens",
        "tokens.bin",
        &["--seq-len", "20", "--sequence-bos", "0"],
    );
    let sequences: Vec<Vec<u32>> = ids.chunks(20).map(|ids| [&[0], ids].concat()).collect();
    let n_bytes = ids.iter().filter(|&&id| id > 1).count() as u64;
    place.assert_score(&with_bos, &sequences, n_bytes);
    let some = place.eval(
        "--tokens",
        "tokens.bin",
        &["--seq-len", "20", "--max-sequences", "3"],
    );
    assert_eq!(
        (&some["n_sequences"], &some["n_targets"]),
        (&json!(3), &json!(60))
    );
}

#[test]
fn the_copy_probe_prints_each_distance_and_the_same_for_a_seed() {
    let place = Workspace::new();
    let probe = |more: &[&str]| {
        let mut eval = place.command("eval");
        eval.args(["--probe", "copy", "--probe-sequences", "4"]);
        String::from_utf8(succeed(eval.args(more)).stdout).unwrap()
    };
    let json: Value = serde_json::from_str(&probe(&["--json"])).unwrap();
    let by_distance = json["by_distance"].as_array().unwrap();
    let distances: Vec<_> = by_distance
        .iter()
        .map(|score| score["distance"].as_u64())
        .collect();
    assert_eq!(distances, [Some(8), Some(16), Some(32)]);
    assert_eq!(by_distance[1]["n_targets"], 4 * 15);
    assert!(
        by_distance
            .iter()
            .all(|score| score["first_nll_nats"].as_f64().unwrap() > 1.0)
    );
    assert_eq!(
        probe(&["--json"]),
        probe(&["--json", "--batch-tokens", "1"])
    );
    assert_ne!(probe(&["--seed", "1"]), probe(&[]));
    let table = probe(&["--distances", "16,9"]);
    let rows: Vec<&str> = table.lines().skip(4).map(|row| row.trim_start()).collect();
    assert!(
        rows[0].starts_with("16 ") && rows[1].starts_with("9 "),
        "{table}"
    );
}

#[test]
fn a_run_directory_stands_for_its_final_model() {
    let place = Workspace::new();
    place.write("in.txt", "abc");
    let alone = place.eval("--text", "in.txt", &[]);
    std::fs::create_dir(place.path("run")).unwrap();
    std::fs::rename(place.path("model"), place.path("run/final")).unwrap();
    std::fs::rename(place.path("run"), place.path("model")).unwrap();
    let of_run = place.eval("--text", "in.txt", &[]);
    assert_eq!(alone["mean_nll_nats"], of_run["mean_nll_nats"]);
    assert!(of_run["model"].as_str().unwrap().ends_with("model/final"));
}

#[test]
fn the_table_for_people_has_the_same_numbers() {
    let place = Workspace::new();
    place.write("in.jsonl", "{\"text\":\"abc\",\"kind\":\"poem\"}\n");
    let json = place.eval("--text", "in.jsonl", &[]);
    let mut eval = place.command("eval");
    eval.arg("--text")
        .arg(place.path("in.jsonl"))
        .args(["--by", "kind"]);
    let printed = text(&succeed(&mut eval));
    let mean = format!("{:.4}", json["mean_nll_nats"].as_f64().unwrap());
    assert_eq!(printed.matches(&mean).count(), 2, "{printed}");
    for word in [
        "bits/byte",
        "poem",
        "bos 0 `<s>`; eod 1 `</s>`",
        "document packing",
    ] {
        assert!(printed.contains(word), "{word}: {printed}");
    }
}

#[test]
fn what_cannot_be_evaluated_is_refused_with_what_to_do() {
    let place = Workspace::new();
    place.write("in.txt", "abc");
    place.write("one.bin", [5, 0]);
    place.write("foreign.bin", [5, 0, 200, 0]);
    let refused = |args: &[&str], code: i32, words: &[&str]| {
        let mut eval = place.command("eval");
        let printed = fail_with(eval.args(args).current_dir(place.dir.path()), code);
        for word in words {
            assert!(printed.contains(word), "{word}: {printed}");
        }
    };
    refused(
        &["--text", "in.txt", "--seq-len", "65"],
        2,
        &["--seq-len 65", "64"],
    );
    refused(
        &["--text", "in.txt", "--seq-len", "0"],
        2,
        &["(--seq-len) is 0"],
    );
    refused(
        &["--text", "in.txt", "--sequence-bos", "97"],
        2,
        &["id 97", "--sequence-bos"],
    );
    refused(&["--text", "in.txt", "--by", "id"], 2, &["`id`", "--by"]);
    refused(&["--text", "absent.txt"], 2, &["absent.txt"]);
    refused(&["--tokens", "one.bin"], 2, &["nothing to predict"]);
    refused(&["--tokens", "foreign.bin"], 3, &["200", "foreign.bin"]);
    refused(
        &["--text", "in.txt", "--tokenizer", "absent.json"],
        2,
        &["absent.json"],
    );
    refused(&[], 2, &["--tokens", "--text"]);
    for distance in ["7", "33"] {
        refused(
            &["--probe", "copy", "--distances", distance],
            2,
            &[distance, "--distances from 8 to 32"],
        );
    }
    refused(&["--probe", "copy", "--text", "in.txt"], 2, &["--probe"]);
    // Options of another kind of input are not ignored.
    for [option, value] in [
        ["--distances", "8"],
        ["--seed", "8"],
        ["--selection", "s.parquet"],
        ["--sequences", "0..5"],
        ["--dtype", "u16"],
        ["--eod-position", "back"],
    ] {
        refused(&["--text", "in.txt", option, value], 2, &[option, "--text"]);
    }
    for [option, value] in [["--by", "id"], ["--split-on", "x"]] {
        refused(
            &["--tokens", "one.bin", option, value],
            2,
            &[option, "--tokens"],
        );
    }
    std::fs::remove_file(place.path("model/tokenizer.json")).unwrap();
    refused(&["--text", "in.txt"], 2, &["tokenizer.json", "--tokenizer"]);
    std::fs::remove_file(place.path("model/config.json")).unwrap();
    refused(&["--text", "in.txt"], 2, &["config.json", "RUN/final"]);
}

#[test]
fn a_corpus_of_another_tokenizer_is_refused() {
    let place = Workspace::new();
    place.write("in.txt", "abc");
    let other = llama::tokenizer_json().replace("\"~\"", "\"é\"");
    place.write("other.json", other);
    let mut tokenize = support::saltworks();
    tokenize
        .arg("tokenize")
        .arg("--input")
        .arg(place.path("in.txt"));
    tokenize.arg("--tokenizer").arg(place.path("other.json"));
    succeed(tokenize.arg("--output").arg(place.path("corpus")));
    let mut eval = place.command("eval");
    let printed = fail_with(eval.arg("--tokens").arg(place.path("corpus")), 2);
    assert!(
        printed.contains("blake3:") && printed.contains("tokenizer.json"),
        "{printed}"
    );
}

#[test]
fn a_named_tokenizer_that_is_not_the_models_own_is_refused() {
    let place = Workspace::new();
    place.write("in.txt", "abc");
    let other = llama::tokenizer_json().replace("\"~\"", "\"é\"");
    place.write("other.json", other);
    let mut eval = place.command("eval");
    eval.arg("--text").arg(place.path("in.txt"));
    let printed = fail_with(eval.arg("--tokenizer").arg(place.path("other.json")), 2);
    assert!(
        printed.contains("other.json is the tokenizer blake3:")
            && printed.contains("omit --tokenizer"),
        "{printed}"
    );
}

#[test]
fn generated_text_is_the_likeliest_at_temperature_0_and_the_same_for_a_seed() {
    let place = Workspace::new();
    let said = |more: &[&str]| {
        let mut generate = place.command("generate");
        generate
            .args(["--prompt", "abc", "--max-tokens", "12", "--eod", "none"])
            .args(more);
        String::from_utf8(succeed(&mut generate).stdout).unwrap()
    };
    let greedy = said(&["--temperature", "0"]);
    let mut ids = encoded("abc", true, false);
    for _ in 0..12 {
        let logits = llama::logits(&place.params, &ids);
        let last = &logits[logits.len() - 97..];
        let best = (0..97)
            .max_by(|&a, &b| last[a].total_cmp(&last[b]))
            .unwrap();
        ids.push(best as u32);
    }
    let spelt = |id: &u32| match id {
        0 => "<s>".to_owned(),
        1 => "</s>".to_owned(),
        96 => " ".to_owned(),
        id => char::from((id - 2) as u8 + b'!').to_string(),
    };
    let want: String = ids[1..].iter().map(spelt).collect();
    assert_eq!(greedy, want + "\n");
    assert_eq!(said(&["--top-k", "1"]), greedy);
    let drawn = said(&["--seed", "1", "--temperature", "3"]);
    assert_eq!(
        drawn,
        said(&["--seed", "1", "--temperature", "3", "--threads", "1"])
    );
    assert_ne!(drawn, said(&["--seed", "2", "--temperature", "3"]));
    assert_eq!(
        said(&["--samples", "2", "--temperature", "3"])
            .matches("abc")
            .count(),
        2
    );
}

#[test]
fn generation_ends_at_the_models_limit_and_refuses_what_it_cannot_do() {
    let place = Workspace::new();
    let mut generate = place.command("generate");
    generate.args([
        "--prompt",
        "abc",
        "--max-tokens",
        "500",
        "--eod",
        "none",
        "--temperature",
        "0",
    ]);
    let printed = text(&succeed(&mut generate));
    assert!(
        printed.contains("61 tokens; the model's maximum length reached"),
        "{printed}"
    );
    let long = "a".repeat(64);
    for (args, word) in [
        (["--prompt", long.as_str()], "65 tokens"),
        (["--bos", "none"], "no tokens"),
        (["--temperature", "-1"], "--temperature"),
        (["--top-k", "0"], "--top-k"),
    ] {
        let args = [&args[..1], &[args[1]]].concat().join("=");
        let printed = fail_with(place.command("generate").arg(args), 2);
        assert!(printed.contains(word), "{word}: {printed}");
    }
}

#[test]
fn an_exported_model_is_the_same_model_and_is_not_overwritten_unasked() {
    let place = Workspace::new();
    let mut export = place.command("export");
    export.arg("--output").arg(place.path("out"));
    export
        .arg("--onnx")
        .arg(place.path("onnx/m.onnx"))
        .arg("--external-data");
    succeed(&mut export);
    support::assert_same_files(
        &snapshot(&place.path("out")),
        &snapshot(&place.path("model")),
    );
    let names: Vec<String> = snapshot(&place.path("onnx")).into_keys().collect();
    assert_eq!(names, ["config.json", "m.onnx", "m.onnx.data"]);
    let printed = fail_with(&mut export, 2);
    assert!(printed.contains("--overwrite"), "{printed}");
    succeed(export.arg("--overwrite"));
    // Nor is what would be left of a model that is none any more.
    let files = [
        "onnx/m.onnx.data",
        "out/tokenizer.json",
        "out/model.safetensors",
    ];
    for file in files {
        place.write("other", "not a model's");
        for dir in ["out", "onnx"] {
            std::fs::remove_dir_all(place.path(dir)).unwrap();
            std::fs::create_dir(place.path(dir)).unwrap();
        }
        std::fs::copy(place.path("other"), place.path(file)).unwrap();
        let mut export = place.command("export");
        export.arg("--output").arg(place.path("out"));
        export.arg("--onnx").arg(place.path("onnx/m.onnx"));
        let printed = fail_with(export.arg("--external-data"), 2);
        assert!(printed.contains(file), "{file}: {printed}");
        let left = std::fs::read_to_string(place.path(file)).unwrap();
        assert_eq!(left, "not a model's");
    }
    let printed = fail_with(&mut place.command("export"), 2);
    assert!(printed.contains("--output"), "{printed}");
}

#[test]
fn a_model_for_very_long_sequences_is_measured_on_shorter_ones_and_never_past_the_memory() {
    let place = Workspace::new();
    let path = place.path("model/config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["max_position_embeddings"] = json!(1 << 24);
    std::fs::write(&path, config.to_string()).unwrap();
    // Which says that it is not the one that was written.
    std::fs::remove_file(place.path("model/saltworks.json")).unwrap();
    place.write("text.txt", "abc");
    assert_eq!(place.eval("--text", "text.txt", &[])["seq_len"], 2048);
    let mut generate = place.command("generate");
    generate.args(["--prompt", "a", "--max-tokens", "16000000"]);
    let printed = fail_with(&mut generate, 2);
    assert!(
        printed.contains("activations") && printed.contains("--max-tokens"),
        "{printed}"
    );
}

#[test]
fn missing_files_are_distinguished_from_system_failures() {
    let place = Workspace::new();
    let trainer = || Command::new(env!("CARGO_BIN_EXE_saltworks-train"));
    let printed = fail_with(trainer().arg("plot").arg(place.path("model")), 2);
    assert!(printed.contains("is not a run"), "{printed}");
    let mut init = trainer();
    init.arg("init").arg("--output").arg(place.path("run"));
    succeed(&mut init);
    let printed = fail_with(&mut init, 2);
    assert!(
        printed.contains("run.toml") && printed.contains("--output"),
        "{printed}"
    );
}

/// A named pipe that the command waits at, so that it can be met in the midst of its work.
fn named_pipe(path: &std::path::Path) {
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the path is a string that outlives the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
}

#[test]
fn sigterm_ends_an_export_as_interrupted_and_leaves_nothing() {
    let place = Workspace::new();
    named_pipe(&place.path("pipe"));
    let mut export = place.command("export");
    export.arg("--output").arg(place.path("out"));
    export.arg("--tokenizer").arg(place.path("pipe"));
    let mut child = export.spawn().unwrap();
    wait_until_sigterm_is_handled(&mut child);
    signal(&child, libc::SIGTERM);
    // It goes on once it has what it waits for, and finds that it is to stop.
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let mut options = std::fs::File::options();
        options.write(true).custom_flags(libc::O_NONBLOCK);
        // Nobody may be reading it yet, or any more; it is read more than once.
        if let Ok(mut pipe) = options.open(place.path("pipe")) {
            let _ = pipe.write_all(llama::tokenizer_json().as_bytes());
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(75));
    assert!(!place.path("out").exists());
}

#[test]
fn a_result_that_nobody_can_read_panics_nothing() {
    let place = Workspace::new();
    place.write("text.txt", "the sea");
    let input = place.path("text.txt").display().to_string();
    let out = |name: &str| place.path(name).display().to_string();
    let (exported, onnx, begun) = (out("exported"), out("m.onnx"), out("begun"));
    let full = || {
        let file = std::fs::File::options().write(true).open("/dev/full");
        std::process::Stdio::from(file.unwrap())
    };
    let commands: [&[&str]; 4] = [
        &["eval", "--text", &input],
        &["eval", "--text", &input, "--json"],
        &["generate", "--max-tokens", "3"],
        &[
            "export",
            "--output",
            &exported,
            "--onnx",
            &onnx,
            "--overwrite",
        ],
    ];
    for arguments in commands {
        let run = |stdout: std::process::Stdio| {
            let mut command = place.command(arguments[0]);
            command.args(&arguments[1..]).stdout(stdout);
            command.stderr(std::process::Stdio::piped());
            let output = command.spawn().unwrap().wait_with_output().unwrap();
            let said = text(&output);
            assert!(!said.contains("panicked"), "{said}");
            (output.status.code(), said)
        };
        let (code, said) = run(full());
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(said.contains("cannot write to standard output"), "{said}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(run(writer.into()).0, Some(0), "{arguments:?}");
    }
    assert!(place.path("exported/config.json").is_file());
    let mut init = Command::new(env!("CARGO_BIN_EXE_saltworks-train"));
    init.args(["init", "--output", &begun]).stdout(full());
    assert_eq!(init.status().unwrap().code(), Some(1));
    assert!(place.path("begun/run.toml").is_file());
}
