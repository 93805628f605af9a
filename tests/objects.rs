//! Labelling and training at a real S3 server over loopback (moto's, in the environment of `make setup-scale`): the whole
//! chain, the faults of networks and stores, and user errors. Run by `make scale-test`.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "objects/proxy.rs"]
mod proxy;
#[path = "objects/server.rs"]
mod server;
mod support;

use proxy::{Fault, Proxy};
use saltworks::corpus::Tally;
use saltworks::tokens::{CorpusWriter, Tokenizer, WriterSettings};
use server::Server;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::process::{signal, spawn, wait_until};
use support::{Inputs, fail_with, saltworks, succeed};

/// Tokens of the small corpus: some shards of some row groups.
const N_TOKENS: usize = 12_000;
/// Tries of one command until it is done.
const MAX_TRIES: usize = 30;

/// A call against the server behind `endpoint`.
fn against(endpoint: &str, mut command: Command) -> Command {
    command
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_ALLOW_HTTP", "true");
    command
}

fn program(endpoint: &str, words: &[&str]) -> Command {
    let mut command = saltworks();
    command.args(words);
    against(endpoint, command)
}

/// `plan` or `label` of the small corpus into `output`.
fn labelling(inputs: &Inputs, endpoint: &str, word: &str, output: &str) -> Command {
    let mut command = program(endpoint, &[word]);
    command.arg("--teacher").arg(inputs.path("teacher.onnx"));
    command.arg("--tokens").arg(inputs.path("tokens.bin"));
    command.args(["--tokens-format", "nanogpt", "--eod", "299"]);
    command.args(["--device", "cpu", "--threads", "1", "--seq-len", "32"]);
    command.args(["--top-k", "8", "--shard-bytes", "42000"]);
    command.args(["--output", output]);
    command
}

/// Everything under a local directory, but for the record of options, which names places.
fn local_files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for sub in ["", "scores/", "positions/", "documents/"] {
        for entry in std::fs::read_dir(dir.join(sub)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{sub}{}", entry.file_name().to_string_lossy());
            if entry.path().is_file() && name != "label.toml" {
                files.insert(name, std::fs::read(entry.path()).unwrap());
            }
        }
    }
    files
}

fn stored_files(server: &Server, prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = server.objects(prefix);
    files.remove("label.toml");
    files
}

fn assert_same(stored: &BTreeMap<String, Vec<u8>>, local: &BTreeMap<String, Vec<u8>>, what: &str) {
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(stored), names(local), "{what}");
    for (name, bytes) in local {
        assert!(stored[name] == *bytes, "{what}: {name} differs");
    }
}

fn labels_of_a_directory(inputs: &Inputs) -> PathBuf {
    let dir = inputs.path("local");
    succeed(&mut labelling(
        inputs,
        "http://127.0.0.1:9",
        "label",
        dir.to_str().unwrap(),
    ));
    dir
}

#[test]
fn the_whole_chain_makes_the_bytes_of_a_directory() {
    let server = Server::start();
    let inputs = Inputs::new(N_TOKENS);
    let local = labels_of_a_directory(&inputs);
    let at = server.endpoint();
    let url = "s3://bucket/run/labels";
    succeed(&mut labelling(&inputs, &at, "plan", url));
    let tasks: Vec<_> = (0..4)
        .map(|i| {
            let mut command = labelling(&inputs, &at, "label", url);
            spawn(command.args(["--task", &format!("{i}/4")]))
        })
        .collect();
    for task in tasks {
        let output = task.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    succeed(&mut program(&at, &["finalize", url]));
    assert_same(
        &stored_files(&server, "run/labels"),
        &local_files(&local),
        "four tasks",
    );
    succeed(&mut program(&at, &["verify", url]));
    let shown = |place: &str, words: &[&str]| {
        let mut command = program(&at, &[words, &[place, "--json"]].concat());
        let text = String::from_utf8(succeed(&mut command).stdout).unwrap();
        text.replace(place, "LABELS")
    };
    let local_text = local.to_str().unwrap();
    for words in [&["stats"][..], &["inspect", "--row", "3"]] {
        assert_eq!(shown(url, words), shown(local_text, words), "{words:?}");
    }
    let selection = "s3://bucket/run/selection.parquet";
    let select = |labels: &str, output: &str| {
        succeed(&mut program(
            &at,
            &["select", labels, "--fraction", "0.3", "--output", output],
        ));
    };
    select(url, selection);
    let beside = inputs.path("selection.parquet");
    select(local_text, beside.to_str().unwrap());
    let stored = server.objects("run");
    assert!(stored["selection.parquet"] == std::fs::read(&beside).unwrap());
    let chosen = inputs.path("chosen");
    for (selection, output) in [
        (selection, "s3://bucket/run/chosen"),
        (beside.to_str().unwrap(), chosen.to_str().unwrap()),
    ] {
        let mut command = labelling(&inputs, &at, "label", output);
        succeed(command.args(["--selection", selection]));
    }
    assert_same(
        &stored_files(&server, "run/chosen"),
        &local_files(&chosen),
        "a selection",
    );
    succeed(&mut program(&at, &["report", url]));
    assert!(server.objects("run/labels").contains_key("report.html"));
    // Once more, and nothing is made again.
    let again = succeed(&mut labelling(&inputs, &at, "label", url));
    assert!(String::from_utf8_lossy(&again.stdout).contains("nothing to do"));
}

/// Runs the command that `make` gives until it is done; gives the number of tries.
fn finish(mut make: impl FnMut() -> Command, what: &str) -> usize {
    let mut said = String::new();
    for n in 1..=MAX_TRIES {
        let Output { status, stderr, .. } = make().output().unwrap();
        let text = String::from_utf8_lossy(&stderr).into_owned();
        match status.code() {
            Some(0) => return n,
            Some(1) => said = text,
            code => panic!("{what}: exit {code:?}\n{text}"),
        }
    }
    panic!("{what}: never done; the last try: {said}");
}

#[test]
fn whatever_the_network_does_nothing_is_lost_and_the_same_command_finishes() {
    let server = Server::start();
    let inputs = Inputs::new(N_TOKENS);
    let local = local_files(&labels_of_a_directory(&inputs));
    println!("| fault | every | requests | injected | tries | lost | wrong |");
    for fault in Fault::ALL {
        // Each silence is a wait of seconds; and a process whose credentials end ends, and needs others that last
        // until it has seen what is done.
        let often: &[u64] = match fault {
            Fault::Silence => &[20],
            Fault::Expired => &[140],
            _ => &[3, 7, 20],
        };
        for &every in often {
            let proxy = Proxy::start(server.port, fault, every);
            // In small letters: the client takes `SlowDown` in the answer to a removal for one, also in a name.
            let name = format!("faults/{fault:?}-{every}").to_lowercase();
            let url = format!("s3://bucket/{name}");
            let tries = finish(
                || {
                    let mut command = labelling(&inputs, &proxy.endpoint(), "label", &url);
                    command.args(["--storage-option", "timeout=2s"]);
                    command
                },
                &name,
            );
            let stored = stored_files(&server, &name);
            let n_lost = local
                .keys()
                .filter(|name| !stored.contains_key(*name))
                .count();
            let n_wrong = stored
                .iter()
                .filter(|(name, bytes)| local.get(*name) != Some(bytes))
                .count();
            let (n_requests, n_injected) = proxy.counts();
            println!(
                "| {fault:?} | {every} | {n_requests} | {n_injected} | {tries} | {n_lost} | {n_wrong} |"
            );
            assert!(n_injected > 0, "{name}");
            assert_eq!((n_lost, n_wrong), (0, 0), "{name}");
            succeed(&mut program(&server.endpoint(), &["verify", &url]));
        }
    }
}

#[test]
fn a_stop_leaves_no_parts_and_a_kill_costs_nothing_but_time() {
    let server = Server::start();
    let inputs = Inputs::new(N_TOKENS);
    let local = local_files(&labels_of_a_directory(&inputs));
    for (name, is_kill) in [("stopped", false), ("killed", true)] {
        let proxy = Proxy::start(server.port, Fault::SlowPart, 1);
        let url = format!("s3://bucket/{name}");
        let labels = |endpoint: &str| {
            let mut command = labelling(&inputs, endpoint, "label", &url);
            command.args(["--storage-option", "multipart_threshold=1"]);
            command
        };
        let mut child = spawn(&mut labels(&proxy.endpoint()));
        wait_until(&mut child, "a part was on its way", || proxy.counts().1 > 0);
        signal(
            &child,
            if is_kill {
                libc::SIGKILL
            } else {
                libc::SIGTERM
            },
        );
        let output = child.wait_with_output().unwrap();
        if !is_kill {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(75), "{text}");
            assert_eq!(server.n_unfinished_uploads(), 0, "{text}");
        }
        succeed(&mut labels(&server.endpoint()));
        assert_same(&stored_files(&server, name), &local, name);
    }
}

#[test]
fn what_a_person_gets_wrong_is_said_before_the_work() {
    let server = Server::start();
    let inputs = Inputs::new(N_TOKENS);
    let at = server.endpoint();
    let refused = |command: &mut Command, words: &[&str]| {
        let text = fail_with(command, 2);
        for word in words {
            assert!(text.contains(word), "{word} in:\n{text}");
        }
    };
    let label = |url: &str| labelling(&inputs, &at, "label", url);
    refused(&mut label("s4://bucket/x"), &["did you mean s3://"]);
    refused(
        &mut label("s3://no-such-bucket/x"),
        &["no such bucket", "s3://no-such-bucket"],
    );
    refused(
        label("s3://bucket/x").args(["--storage-option", "regoin=x"]),
        &["no store has an option `regoin`"],
    );
    refused(
        label("s3://bucket/x").env_remove("AWS_ALLOW_HTTP"),
        &["allow_http=true"],
    );
    refused(
        label("s3://bucket/x")
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY"),
        &["expected credentials", "AWS_ACCESS_KEY_ID"],
    );
    refused(
        &mut program(&at, &["stats", "s3://bucket/nothing"]),
        &["s3://bucket/nothing is empty"],
    );
    // Rights are tried before the runtime is even looked for.
    let proxy = Proxy::start(server.port, Fault::Denied, 1);
    let mut denied = labelling(&inputs, &proxy.endpoint(), "label", "s3://bucket/denied");
    refused(
        denied.env("ORT_DYLIB_PATH", "/nonexistent"),
        &["access was denied"],
    );
    // A store that overwrites what it should only create.
    let proxy = Proxy::start(server.port, Fault::Unconditional, 1);
    let overwriting = || labelling(&inputs, &proxy.endpoint(), "plan", "s3://bucket/alone");
    refused(&mut overwriting(), &["--single-writer"]);
    succeed(overwriting().arg("--single-writer"));
    assert!(server.objects("alone").contains_key("plan.json"));
    // Another plan at the same place.
    succeed(&mut labelling(&inputs, &at, "plan", "s3://bucket/other"));
    refused(
        labelling(&inputs, &at, "plan", "s3://bucket/other").args(["--round", "f16"]),
        &["--round"],
    );
}

/// A call of the trainer against the server behind `endpoint`, with a cache of its own.
fn trainer(endpoint: &str, cache: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_saltworks-train"));
    command.args(words).env("SALTWORKS_CACHE_DIR", cache);
    against(endpoint, command)
}

/// The configuration of a run that reads `labels` and `tokens`.
fn run_toml(inputs: &Inputs, labels: &str, tokens: &str) -> PathBuf {
    let config = format!(
        "[model]\nd_model = 16\nn_layers = 1\nn_heads = 2\nd_ff = 24\n\
         [data]\nlabels = {labels:?}\ntokens = {tokens:?}\ntokens_format = \"nanogpt\"\neod = 299\n\
         [kd]\nmode = \"salt\"\nn_kd = 25\n[train]\nsteps = 50\nbatch_size = 4\nthreads = 1\n[log]\nevery = 1\n"
    );
    let path = inputs.path("run.toml");
    std::fs::write(&path, config).unwrap();
    path
}

/// A run that reads `labels` and `tokens`, and its losses.
fn trained(inputs: &Inputs, at: &str, labels: &str, tokens: &str, output: &str) -> Vec<f64> {
    let (run, path) = (inputs.path(output), run_toml(inputs, labels, tokens));
    let mut command = trainer(at, &inputs.path("cache"), &["run", "--config"]);
    succeed(command.arg(&path).arg("--output").arg(&run));
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = metrics
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let loss = |line: serde_json::Value| line["loss"].as_f64();
    lines.filter_map(loss).collect()
}

#[test]
fn inputs_in_a_store_make_the_labels_and_the_run_that_local_ones_make() {
    let server = Server::start();
    let inputs = Inputs::new(N_TOKENS);
    let at = server.endpoint();
    let local = labels_of_a_directory(&inputs);
    for name in ["teacher.onnx", "tokens.bin"] {
        server.put(
            &format!("in/{name}"),
            &std::fs::read(inputs.path(name)).unwrap(),
        );
    }
    let cache = inputs.path("cache");
    let label = |output: &str| {
        let mut command = program(&at, &["label"]);
        command.args(["--teacher", "s3://bucket/in/teacher.onnx"]);
        command.args(["--tokens", "s3://bucket/in/tokens.bin"]);
        command.args(["--tokens-format", "nanogpt", "--eod", "299"]);
        command.args(["--device", "cpu", "--threads", "1", "--seq-len", "32"]);
        command.args(["--top-k", "8", "--shard-bytes", "42000"]);
        command
            .args(["--output", output])
            .env("SALTWORKS_CACHE_DIR", &cache);
        command
    };
    let url = "s3://bucket/labels";
    succeed(&mut label(url));
    assert_same(
        &stored_files(&server, "labels"),
        &local_files(&local),
        "inputs",
    );
    let record = String::from_utf8(server.objects("labels")["label.toml"].clone()).unwrap();
    for place in ["s3://bucket/in/teacher.onnx", "s3://bucket/in/tokens.bin"] {
        assert!(record.contains(place), "{record}");
    }
    let tokens = inputs.path("tokens.bin");
    let of_files = trained(
        &inputs,
        &at,
        local.to_str().unwrap(),
        tokens.to_str().unwrap(),
        "a",
    );
    let of_store = trained(&inputs, &at, url, "s3://bucket/in/tokens.bin", "b");
    assert!(of_files.len() >= 50);
    assert_eq!(of_store, of_files);
    // Other tokens of the same size than were planned.
    let mut bytes = std::fs::read(&tokens).unwrap();
    bytes[0] ^= 1;
    server.put("in/tokens.bin", &bytes);
    let text = fail_with(&mut label(url), 2);
    assert!(text.contains("--tokens"), "{text}");
    let absent = fail_with(
        label(url).args(["--teacher", "s3://bucket/in/nothing.onnx"]),
        2,
    );
    assert!(!absent.is_empty());
}

/// By name.
type Files = BTreeMap<String, Vec<u8>>;

/// Runs of one configuration, with a checkpoint of every other step.
struct Runs {
    server: Server,
    inputs: Inputs,
    config: PathBuf,
}

impl Runs {
    fn new() -> Self {
        let (server, inputs) = (Server::start(), Inputs::new(N_TOKENS));
        let labels = labels_of_a_directory(&inputs);
        let tokens = inputs.path("tokens.bin");
        let config = run_toml(&inputs, labels.to_str().unwrap(), tokens.to_str().unwrap());
        Self {
            server,
            inputs,
            config,
        }
    }

    /// A run on the machine whose cache is called `machine`.
    fn run(&self, endpoint: &str, machine: &str, output: &str) -> Command {
        let mut command = trainer(endpoint, &self.inputs.path(machine), &["run"]);
        command.arg("--config").arg(&self.config);
        command.args(["--output", output, "--set", "checkpoint.every=2"]);
        let validation = self.inputs.path("tokens.bin");
        let validation = format!("data.validation={}", validation.display());
        command.args(["--set", &validation]);
        command.args(["--set", "eval.every=5", "--set", "eval.sequences=4"]);
        command
    }

    fn resume(&self, machine: &str, output: &str) -> Command {
        let mut command = self.run(&self.server.endpoint(), machine, output);
        command.arg("--resume");
        command
    }

    /// Metrics without times, and every file of the trained model.
    fn result(files: &Files) -> (Vec<serde_json::Value>, Files) {
        let metrics = String::from_utf8(files["metrics.jsonl"].clone()).unwrap();
        let without_times = |line: &str| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            for key in ["seconds", "tokens_per_s", "mfu"] {
                line.as_object_mut().unwrap().remove(key);
            }
            line
        };
        let mut model = files.clone();
        model.retain(|name, _| name.starts_with("final/"));
        (metrics.lines().map(without_times).collect(), model)
    }

    /// The same of a run in a directory that nothing disturbs.
    fn reference(&self) -> (Vec<serde_json::Value>, Files) {
        let dir = self.inputs.path("reference");
        let at = self.server.endpoint();
        succeed(&mut self.run(&at, "nowhere", dir.to_str().unwrap()));
        Self::result(&support::snapshot(&dir))
    }

    fn assert_same(&self, prefix: &str, reference: &(Vec<serde_json::Value>, Files)) {
        let (metrics, model) = Self::result(&self.server.objects(prefix));
        assert_eq!(metrics, reference.0, "{prefix}");
        assert_same(&model, &reference.1, prefix);
    }

    /// Steps of the whole checkpoints in the store.
    fn steps(&self, prefix: &str) -> Vec<u64> {
        let names = self.server.names(prefix).into_iter();
        let step = |name: String| {
            let name = name.strip_prefix("checkpoints/step-")?;
            name.strip_suffix("/checkpoint.json")?.parse().ok()
        };
        let mut steps: Vec<u64> = names.filter_map(step).collect();
        steps.sort_unstable();
        steps
    }
}

#[test]
fn a_run_in_a_store_killed_at_any_moment_is_resumed_by_another_machine_to_the_same_bytes() {
    let runs = Runs::new();
    let reference = runs.reference();
    let url = "s3://bucket/killed";
    let (mut n_killed, mut round) = (0, 0_u64);
    while n_killed < 5 {
        round += 1;
        assert!(round < 30, "only {n_killed} of {round} runs were killed");
        let machine = format!("machine-{round}");
        let mut child = spawn(&mut runs.resume(&machine, url));
        std::thread::sleep(std::time::Duration::from_millis(300 + round * 7919 % 1500));
        n_killed += u64::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        std::fs::remove_dir_all(runs.inputs.path(&machine)).unwrap();
    }
    succeed(&mut runs.resume("last", url));
    runs.assert_same("killed", &reference);
    let steps = runs.steps("killed");
    assert_eq!(steps.last(), Some(&50), "{steps:?}");
    assert!(steps.len() <= 2, "{steps:?}");
    let text = support::text(&succeed(&mut runs.resume("other", url)));
    assert!(text.contains("s3://bucket/killed/final"), "{text}");
}

#[test]
fn a_stopped_run_is_saved_in_the_store_and_a_second_process_takes_it_over_or_is_refused() {
    let runs = Runs::new();
    let (at, url) = (runs.server.endpoint(), "s3://bucket/shared");
    let mut child = spawn(&mut runs.run(&at, "first", url));
    wait_until(&mut child, "a checkpoint is in the store", || {
        !runs.steps("shared").is_empty()
    });
    let refused = fail_with(&mut runs.run(&at, "second", url), 2);
    assert!(refused.contains("has checkpoints already"), "{refused}");
    signal(&child, libc::SIGTERM);
    let output = child.wait_with_output().unwrap();
    let text = support::text(&output);
    assert_eq!(output.status.code(), Some(75), "{text}");
    let last = *runs.steps("shared").last().unwrap();
    assert!(
        text.contains(&format!("{url}/checkpoints/step-{last} is saved")),
        "{text}"
    );
    // Two machines that both resume it.
    let mut slow = runs.resume("second", url);
    let mut child = spawn(slow.args(["--set", "checkpoint.every=1"]));
    wait_until(&mut child, "it goes on", || {
        runs.steps("shared").last() > Some(&(last + 1))
    });
    // What the other one still puts meanwhile is told; then it has stopped.
    finish(|| runs.resume("third", url), "taken over");
    let output = child.wait_with_output().unwrap();
    let text = support::text(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("has taken over the run at s3://bucket/shared"),
        "{text}"
    );
    runs.assert_same("shared", &runs.reference());
}

#[test]
fn a_store_that_fails_stops_a_run_and_the_same_machine_goes_on_from_what_it_has() {
    let runs = Runs::new();
    let reference = runs.reference();
    for (fault, every) in [
        (Fault::Expired, 120),
        (Fault::LostAnswer, 7),
        (Fault::Reset, 7),
    ] {
        let proxy = Proxy::start(runs.server.port, fault, every);
        let name = format!("failing/{fault:?}").to_lowercase();
        let url = format!("s3://bucket/{name}");
        let resume = || {
            let mut command = runs.run(&proxy.endpoint(), &format!("{fault:?}"), &url);
            command.args(["--resume", "--storage-option", "multipart_threshold=1000"]);
            command.args(["--set", "checkpoint.every=8"]);
            command
        };
        let n_tries = finish(resume, &name);
        assert!(
            proxy.counts().1 > 0 && (fault != Fault::Expired || n_tries > 1),
            "{name}"
        );
        runs.assert_same(&name, &reference);
    }
    let proxy = Proxy::start(runs.server.port, Fault::Denied, 1);
    let text = fail_with(
        &mut runs.run(&proxy.endpoint(), "denied", "s3://bucket/denied"),
        2,
    );
    assert!(text.contains("access was denied"), "{text}");
}

#[test]
fn a_run_in_a_store_is_read_where_it_is() {
    let runs = Runs::new();
    let (at, url) = (runs.server.endpoint(), "s3://bucket/read");
    succeed(&mut runs.run(&at, "writer", url));
    let call = |words: &[&str]| trainer(&at, &runs.inputs.path("reader"), words);
    let (tokens, exported) = (runs.inputs.path("tokens.bin"), runs.inputs.path("exported"));
    for model in [
        url.to_owned(),
        format!("{url}/final"),
        format!("{url}/checkpoints/step-50"),
    ] {
        let mut eval = call(&["eval", "--model", &model, "--seq-len", "16", "--json"]);
        eval.arg("--tokens")
            .arg(&tokens)
            .args(["--tokens-format", "nanogpt"]);
        eval.args(["--max-sequences", "4"]);
        let text = support::text(&succeed(&mut eval));
        assert!(text.contains("s3://bucket/read"), "{text}");
        assert!(
            text.contains("is text that the model was trained on"),
            "{text}"
        );
    }
    let mut export = call(&["export", "--model", url, "--output"]);
    succeed(export.arg(&exported));
    let weights = std::fs::read(exported.join("model.safetensors")).unwrap();
    assert!(weights == runs.server.objects("read")["final/model.safetensors"]);
    let mut plot = call(&["plot", url, "--output"]);
    succeed(plot.arg(runs.inputs.path("curves")));
    assert!(runs.inputs.path("curves.svg").exists());
    let mut init = call(&["init", "--from", url, "--output"]);
    succeed(init.arg(runs.inputs.path("next")));
    let text = std::fs::read_to_string(runs.inputs.path("next/run.toml")).unwrap();
    assert!(text.contains("init = \"s3://bucket/read/final\""), "{text}");
    let grid = format!("a={url}");
    let text = fail_with(&mut call(&["compare", "--runs", &grid, "--output", "x"]), 2);
    assert!(
        text.contains("expected a directory of this machine"),
        "{text}"
    );
}

/// A tokenizer of some 280 ids, and documents for it.
fn tokenizer_and_documents(inputs: &Inputs) -> (PathBuf, PathBuf) {
    let (tokenizer, documents) = (inputs.path("tokenizer.json"), inputs.path("in.jsonl"));
    let line = |i: usize| {
        let text = "salt of the sea ".repeat(i % 9);
        format!("{{\"text\":\"document {i}: {text}\"}}\n")
    };
    std::fs::write(&documents, (0..400).map(line).collect::<String>()).unwrap();
    let mut train = saltworks();
    train.args(["tokenizer", "train", "--vocab-size", "280", "--input"]);
    train.arg(&documents).arg("--output").arg(&tokenizer);
    succeed(&mut train);
    (tokenizer, documents)
}

#[test]
fn tokens_are_written_to_a_store_as_to_a_directory() {
    let server = Server::start();
    let inputs = Inputs::new(N_TOKENS);
    let (tokenizer, documents) = tokenizer_and_documents(&inputs);
    let tokenize = |endpoint: &str, output: &str| {
        let mut command = program(endpoint, &["tokenize", "--output", output]);
        command.arg("--input").arg(&documents);
        command.arg("--tokenizer").arg(&tokenizer);
        command
    };
    let (at, local) = (server.endpoint(), inputs.path("tokens"));
    let url = "s3://bucket/tokens";
    succeed(&mut tokenize(&at, local.to_str().unwrap()));
    succeed(&mut tokenize(&at, url));
    let expected = local_files_of(&local);
    assert_same(&server.objects("tokens"), &expected, "tokens");
    let text = fail_with(&mut tokenize(&at, url), 2);
    assert!(text.contains("s3://bucket/tokens/corpus.json"), "{text}");
    succeed(tokenize(&at, url).arg("--overwrite"));
    assert_same(&server.objects("tokens"), &expected, "overwritten");
    // Whatever fails, there is no corpus.json of a corpus that is not whole, and the same command finishes.
    for fault in [Fault::SlowDown, Fault::Reset, Fault::LostAnswer] {
        let proxy = Proxy::start(server.port, fault, 5);
        let name = format!("faults/{fault:?}").to_lowercase();
        let output = format!("s3://bucket/{name}");
        finish(|| tokenize(&proxy.endpoint(), &output), &name);
        assert!(proxy.counts().1 > 0, "{name}");
        assert_same(&server.objects(&name), &expected, &name);
    }
    let text = fail_with(&mut tokenize(&at, "hf://owner/name"), 2);
    assert!(text.contains("can only be read"), "{text}");
}

fn local_files_of(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let file = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, std::fs::read(entry.path()).unwrap())
    };
    entries.map(file).collect()
}

/// A corpus of five blocks of 1 MiB, at `tokens` in the store too.
fn large_corpus(inputs: &Inputs, server: &Server) -> PathBuf {
    let (tokenizer, _) = tokenizer_and_documents(inputs);
    let tokenizer = Tokenizer::open(&tokenizer).unwrap();
    let dir = inputs.path("large");
    let mut writer = CorpusWriter::create(&dir, &tokenizer, WriterSettings::default()).unwrap();
    for document in 0..2_400_u32 {
        let ids = (0..1_000).map(|i| (document * 31 + i * 7) % tokenizer.vocab_size());
        writer.push_document(&ids.collect::<Vec<_>>(), 1).unwrap();
    }
    writer.finish(Tally::default()).unwrap();
    for (name, bytes) in local_files_of(&dir) {
        server.put(&format!("tokens/{name}"), &bytes);
    }
    dir
}

#[test]
fn labels_of_a_part_fetch_that_part_of_the_tokens_and_a_small_cache_is_enough() {
    let server = Server::start();
    let inputs = Inputs::new(N_TOKENS);
    let local = large_corpus(&inputs, &server);
    let at = server.endpoint();
    let label = |tokens: &str, output: &Path, cache: &Path, words: &[&str]| {
        let mut command = program(&at, &["label", "--tokens", tokens]);
        command.arg("--teacher").arg(inputs.path("teacher.onnx"));
        command.args(["--device", "cpu", "--threads", "1", "--seq-len", "32"]);
        command.args(["--top-k", "8", "--mask-vocab-padding"]);
        command.arg("--output").arg(output).args(words);
        command.env("SALTWORKS_CACHE_DIR", cache);
        command
    };
    let blocks_in = |cache: &Path| {
        let listed = saltworks::storage::list_all(&cache.join("blocks")).unwrap();
        listed.len()
    };
    let url = "s3://bucket/tokens";
    let (of_files, of_store) = (inputs.path("of-files"), inputs.path("of-store"));
    let cache = inputs.path("cache");
    let part = ["--sequences", "70000..70200", "--order-seed", "none"];
    succeed(&mut label(
        local.to_str().unwrap(),
        &of_files,
        &cache,
        &part,
    ));
    let mut planned = label(url, &of_store, &cache, &part);
    succeed(&mut planned);
    let labelled = |dir: &Path| {
        let mut files = local_files(dir);
        // That of local tokens lies in the folder above them, and the card says so.
        files.remove("tokenizer.json");
        files.remove("README.md");
        files
    };
    assert_same(&labelled(&of_store), &labelled(&of_files), "by blocks");
    // That of the sequences, and those of the two that the teacher is tried on.
    let n_blocks = blocks_in(&cache);
    assert!((1..=3).contains(&n_blocks), "{n_blocks} of 5");
    // Processes that share a cache with room for two blocks.
    let small = inputs.path("small-cache");
    let tasks: Vec<_> = (0..3)
        .map(|i| {
            let output = inputs.path(&format!("small-{i}"));
            let words = [
                "--max-sequences",
                "200",
                "--storage-option",
                "cache_size=2MiB",
            ];
            let mut command = label(url, &output, &small, &words);
            (spawn(&mut command), output)
        })
        .collect();
    for (task, output) in tasks {
        let ended = task.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success(), "{text}");
        assert!(output.join("manifest.json").exists());
    }
    assert!(blocks_in(&small) <= 3);
    // A block that is damaged in the store is told by its bytes.
    let mut bytes = std::fs::read(local.join("tokens.bin")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    server.put("damaged/tokens.bin", &bytes);
    for name in ["tokens.idx", "corpus.json"] {
        let bytes = std::fs::read(local.join(name)).unwrap();
        server.put(&format!("damaged/{name}"), &bytes);
    }
    let output = inputs.path("of-damaged");
    let text = fail_with(&mut label("s3://bucket/damaged", &output, &cache, &part), 3);
    assert!(
        text.contains("are not those that its writer hashed"),
        "{text}"
    );
}
