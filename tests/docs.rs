//! Every fenced snippet of README.md and docs/*.md is run here, so that what the pages show works.
//!
//! The snippets of a page run from top to bottom in one directory, in which small stand-ins have the names that
//! the page uses (`model.onnx`, `tokens`, ...). `sh` runs in bash with the programs under test, `sql` in
//! DuckDB, `python` with what `make setup` installs; all Python of a page runs in one namespace after the rest.
//! A `toml` snippet that begins with `# NAME.toml` becomes that file. Sizes of training runs are reduced
//! (`SMALLER`).
//!
//! A snippet that no test can run says so in its fence, "sh not-run: reason", and is listed in `NOT_RUN`. Even
//! there, commands of the two programs and all their options must exist.
// clippy.toml exempts tests, but not the functions that they call.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use support::{Inputs, python, saltworks, succeed, text};

/// Snippets that no test can run: page, first line, reason.
const NOT_RUN: &[(&str, &str, &str)] = &[
    (
        "README.md",
        "make demo     # set up, build, and run the whole chain on generated text",
        "it sets up the machine",
    ),
    (
        "deploy/kubernetes/README.md",
        "make wheel",
        "needs Kubernetes",
    ),
    ("deploy/skypilot/README.md", "make wheel", "needs SkyPilot"),
    (
        "deploy/slurm/README.md",
        "saltworks init label.toml                 # teacher, tokens, seq_len, output = \"labels\"",
        "needs Slurm",
    ),
    (
        "docs/experiments.md",
        "TEACHERS=tenth scripts/overtaken.sh overtaken books.train.jsonl.zst books.valid.jsonl.zst tech.valid.jsonl.zst \\",
        "it trains for hours",
    ),
    (
        "docs/experiments.md",
        "EXPERIMENT=small TEACHERS=tenth-cosine scripts/overtaken.sh overtaken books.train.jsonl.zst books.valid.jsonl.zst tech.valid.jsonl.zst",
        "it trains for hours",
    ),
    (
        "docs/experiments.md",
        "scripts/experiment.sh books books.train.jsonl.zst books.valid.jsonl.zst tech.valid.jsonl.zst",
        "it trains for hours",
    ),
    (
        "docs/experiments.md",
        "TOKENIZER=books/tokenizer.json scripts/experiment.sh tech tech.train.jsonl.zst tech.valid.jsonl.zst books.valid.jsonl.zst \\",
        "it trains for hours",
    ),
    (
        "docs/guide.md",
        "saltworks label --teacher path/to/SmolLM2-135M --tokens tokens --seq-len 2048 --output labels --dry-run",
        "needs a checkpoint",
    ),
    (
        "docs/guide.md",
        "optimum-cli export onnx --model path/to/slm --task text-generation --no-post-process exported",
        "needs PyTorch and a checkpoint",
    ),
    (
        "docs/guide.md",
        "import torch",
        "needs PyTorch and a checkpoint",
    ),
    (
        "docs/guide.md",
        "pip install \"onnxruntime-gpu[cuda,cudnn]\"      # in place of the onnxruntime that `make setup` installed",
        "needs a GPU",
    ),
    (
        "docs/input.md",
        "saltworks tokenize --input 'hf://datasets/OWNER/NAME/data/*.jsonl.zst' --tokenizer hf://OWNER/MODEL/tokenizer.json --output tokens",
        "needs the hub",
    ),
    (
        "docs/object-stores.md",
        "saltworks plan  --teacher model.onnx --tokens tokens --seq-len 2048 --output s3://bucket/run/labels",
        "needs a bucket",
    ),
    (
        "docs/object-stores.md",
        "saltworks-train run --config run.toml --output s3://bucket/run --resume",
        "needs a bucket",
    ),
    (
        "docs/python-training.md",
        "from saltworks_lm.losses import Head, KdPolicy, TopK, head_loss, topk_targets",
        "needs PyTorch",
    ),
    (
        "docs/python-training.md",
        "python -m saltworks_lm.train --config run.toml --precision bf16",
        "needs PyTorch",
    ),
    (
        "docs/python-training.md",
        "from saltworks_lm import Labels",
        "needs PyTorch",
    ),
    (
        "docs/python-training.md",
        "from saltworks_lm.losses import KdPolicy",
        "needs torchtitan",
    ),
    ("docs/python.md", "import torch", "needs PyTorch"),
    (
        "docs/python.md",
        "state = stream.state_after(n_steps=3)  # seed 0, epoch 0, position 12, and the source: keep it with the checkpoint",
        "needs PyTorch",
    ),
    (
        "docs/python.md",
        "python -m saltworks_lm.ray label --config label.toml --ray-address auto --cpus-per-task 8",
        "needs a Ray cluster",
    ),
    ("docs/python.md", "import ray", "needs a Ray cluster"),
    (
        "docs/python.md",
        "from datatrove.executor import LocalPipelineExecutor",
        "needs datatrove",
    ),
    (
        "docs/training.md",
        "saltworks-train run --config examples/llm.toml --output whole --set checkpoint.keep_every=400",
        "it trains for half an hour",
    ),
    (
        "docs/training.md",
        "saltworks-train compare --runs baseline=runs/llm --runs salt=runs/salt --output compared",
        "it needs finished runs",
    ),
    ("docs/your-trainer.md", "import torch", "needs PyTorch"),
];

/// Keys of training configurations, and what they are here.
const SMALLER: &[(&str, &str)] = &[
    ("d_model", "32"),
    ("n_layers", "1"),
    ("n_heads", "2"),
    ("d_ff", "64"),
    ("steps", "12"),
    ("batch_size", "2"),
    ("warmup_steps", "2"),
    ("decay_steps", "4"),
    ("n_kd", "6"),
];

/// A fenced snippet.
#[derive(Debug, Clone)]
struct Snippet {
    page: String,
    /// Of its fence, counted from 1.
    line: usize,
    language: String,
    /// What stands behind `not-run:` in the fence.
    not_run: Option<String>,
    code: String,
}

impl Snippet {
    fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }

    fn is_to_run(&self) -> bool {
        self.not_run.is_none()
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// README.md, docs/*.md and the pages of deploy/, by their paths from the root.
fn pages() -> Vec<String> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap();
    let mut pages: Vec<String> = docs
        .map(|entry| format!("docs/{}", entry.unwrap().file_name().to_string_lossy()))
        .filter(|name| name.ends_with(".md"))
        .collect();
    for engine in ["slurm", "kubernetes", "skypilot"] {
        pages.push(format!("deploy/{engine}/README.md"));
    }
    pages.push("README.md".to_owned());
    pages.sort();
    pages
}

fn snippets_of(page: &str) -> Vec<Snippet> {
    parse(page, &std::fs::read_to_string(root().join(page)).unwrap())
}

/// Fences may be indented, as in lists; those without a language are diagrams.
fn parse(page: &str, markdown: &str) -> Vec<Snippet> {
    let mut snippets = Vec::new();
    let mut lines = markdown.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let code: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line.get(indent..).unwrap_or(""))
            .take_while(|line| !line.starts_with("```"))
            .collect();
        let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
        if !language.is_empty() {
            snippets.push(Snippet {
                page: page.to_owned(),
                line: at + 1,
                language: language.to_owned(),
                not_run: rest.strip_prefix("not-run: ").map(str::to_owned),
                code: code.join("\n") + "\n",
            });
        }
    }
    snippets
}

/// What the demo leaves, made once: a corpus, tokens, a teacher, labels.
fn demo() -> &'static Path {
    static DEMO: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = DEMO.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("demo");
        succeed(
            saltworks()
                .args(["demo", "--teacher", "ngram", "--megabytes", "1", "--output"])
                .arg(output),
        );
        dir
    });
    dir.path()
}

/// The directory in which a page is played.
struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    /// Programs, an environment and configurations, as a checkout has them after its build.
    fn new() -> Self {
        let stage = Stage {
            dir: tempfile::tempdir().unwrap(),
        };
        let venv = Path::new(&python().get_program().to_owned())
            .parent()
            .unwrap()
            .to_owned();
        stage.link(venv.parent().unwrap(), ".venv");
        stage.link(
            Path::new(env!("CARGO_BIN_EXE_saltworks")),
            "target/release/saltworks",
        );
        stage.link(
            Path::new(env!("CARGO_BIN_EXE_saltworks-train")),
            "target/release/saltworks-train",
        );
        // The programs are built already.
        stage.write("bin/cargo", "#!/bin/sh\ntest \"$*\" = 'build --release'\n");
        succeed(Command::new("chmod").arg("+x").arg(stage.path("bin/cargo")));
        for name in ["llm.toml", "slm.toml", "experiment.toml"] {
            let config = std::fs::read_to_string(root().join("examples").join(name)).unwrap();
            stage.write(&format!("examples/{name}"), smaller(&config));
        }
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn link(&self, original: &Path, name: &str) {
        let link = self.path(name);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(original, link).unwrap();
    }

    /// One of the demo's artefacts under another name.
    fn link_demo(&self, artefact: &str, name: &str) {
        self.link(&demo().join("demo").join(artefact), name);
    }

    /// A checkpoint as people have them, for longer sequences than the quick demo's: without a graph and
    /// without the seal over its files.
    fn checkpoint(&self, model: &str, name: &str) {
        let model = self.dir.path().join(model);
        for file in ["model.safetensors", "tokenizer.json"] {
            self.link(&model.join(file), &format!("{name}/{file}"));
        }
        let config = std::fs::read(model.join("config.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        config["max_position_embeddings"] = 2048.into();
        self.write(&format!("{name}/config.json"), config.to_string());
    }

    /// `share` of the demo's documents as JSON lines.
    fn documents(&self, name: &str, share: std::ops::Range<f64>) {
        let lines = std::fs::read_to_string(demo().join("demo/corpus.jsonl")).unwrap();
        let lines: Vec<&str> = lines.lines().collect();
        let at = |share: f64| (share * lines.len() as f64) as usize;
        let documents = lines[at(share.start)..at(share.end)].join("\n") + "\n";
        let compressed = zstd::encode_all(documents.as_bytes(), 1).unwrap();
        self.write(name, compressed);
    }

    fn run(&self, snippet: &Snippet) {
        match snippet.language.as_str() {
            "sh" => self.run_shell(snippet),
            "sql" => self.run_sql(snippet),
            "toml" => self.keep_toml(snippet),
            other => panic!("{}: no test knows how to run {other}", snippet.place()),
        }
    }

    fn run_shell(&self, snippet: &Snippet) {
        let path = std::env::var("PATH").unwrap();
        let path = ["bin", "target/release"]
            .map(|dir| self.path(dir).display().to_string())
            .join(":")
            + ":"
            + &path;
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &snippet.code]);
        let output = bash
            .current_dir(self.dir.path())
            .env("PATH", path)
            .output()
            .unwrap();
        let place = snippet.place();
        assert!(
            output.status.success(),
            "{place}\n{}\n{}",
            snippet.code,
            text(&output)
        );
    }

    /// A query gives a row or writes a file.
    fn run_sql(&self, snippet: &Snippet) {
        let script = "import duckdb, sys; print(len(duckdb.sql(sys.argv[1]).fetchall()) if 'COPY' not in sys.argv[1] \
                      else duckdb.execute(sys.argv[1]).fetchone()[0])";
        let mut command = python();
        command
            .args(["-c", script, &snippet.code])
            .current_dir(self.dir.path());
        let n_rows = text(&succeed(&mut command));
        let place = snippet.place();
        assert!(
            n_rows.trim().parse::<u64>().unwrap() > 0,
            "{place} gives no row"
        );
    }

    fn keep_toml(&self, snippet: &Snippet) {
        let name = snippet
            .code
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# "));
        let name = name.filter(|name| name.ends_with(".toml"));
        let name = name.unwrap_or_else(|| panic!("{}: begin with `# NAME.toml`", snippet.place()));
        self.write(name, smaller(&snippet.code));
    }

    /// All in one namespace, as on a page that is read from top to bottom.
    fn run_python(&self, snippets: &[&Snippet]) {
        let listed: Vec<(String, &str)> = snippets
            .iter()
            .map(|snippet| (snippet.place(), snippet.code.as_str()))
            .collect();
        self.write("snippets.json", serde_json::to_vec(&listed).unwrap());
        let mut command = python();
        command
            .env("PYTHONPATH", root().join("python"))
            .env(
                "SALTWORKS_BIN",
                Path::new(env!("CARGO_BIN_EXE_saltworks")).parent().unwrap(),
            )
            .arg(root().join("tests/python/run_snippets.py"))
            .arg("snippets.json");
        succeed(command.current_dir(self.dir.path()));
    }

    /// The whole page.
    fn play(&self, page: &str) {
        let snippets = snippets_of(page);
        let to_run = snippets.iter().filter(|snippet| snippet.is_to_run());
        let (python, others): (Vec<&Snippet>, Vec<&Snippet>) =
            to_run.partition(|snippet| snippet.language == "python");
        others.into_iter().for_each(|snippet| self.run(snippet));
        if !python.is_empty() {
            self.run_python(&python);
        }
    }
}

/// The configuration with the sizes of `SMALLER`.
fn smaller(config: &str) -> String {
    let line = |line: &str| {
        let key = line.split('=').next().unwrap().trim();
        let value = SMALLER.iter().find(|(name, _)| *name == key);
        value.map_or(line.to_owned(), |(name, value)| format!("{name} = {value}"))
    };
    config.lines().map(|text| line(text) + "\n").collect()
}

/// A set of every group, finished, under the name `labels`.
fn stage_with_all_groups() -> Stage {
    let stage = Stage::new();
    let inputs = Inputs::new(3_000);
    succeed(&mut inputs.label("labels"));
    std::fs::rename(inputs.path("labels"), stage.path("labels")).unwrap();
    stage
}

#[test]
fn the_snippets_of_the_page_on_shards_work() {
    stage_with_all_groups().play("docs/format.md");
}

/// The same with the tokens beside the labels.
#[test]
fn the_snippets_of_the_page_on_python_work() {
    let stage = Stage::new();
    let inputs = Inputs::new(3_000);
    succeed(&mut inputs.label("labels"));
    for name in ["labels", "tokens.bin"] {
        std::fs::rename(inputs.path(name), stage.path(name)).unwrap();
    }
    stage.play("docs/python.md");
}

#[test]
fn the_snippets_of_the_page_on_other_trainers_work() {
    stage_with_all_groups().play("docs/your-trainer.md");
}

/// What the guide starts from: documents, a tokenizer, a teacher, an early checkpoint of it.
fn stage_of_the_guide() -> Stage {
    let stage = Stage::new();
    stage.documents("corpus/part.jsonl.zst", 0.0..0.3);
    stage.documents("held-out/part.jsonl.zst", 0.9..1.0);
    stage.link_demo("tokenizer.json", "tokenizer.json");
    stage.link_demo("teacher.onnx", "model.onnx");
    stage.link_demo("teacher.onnx", "early.onnx");
    stage
}

#[test]
fn the_snippets_of_the_guide_work() {
    stage_of_the_guide().play("docs/guide.md");
}

/// The same losses in two languages: a step of the trainer, and the page's NumPy over the same labels
/// and the same model.
#[test]
fn the_losses_in_numpy_are_those_of_the_trainer() {
    let stage = stage_with_all_groups();
    let snippets = snippets_of("docs/your-trainer.md");
    let losses = snippets
        .iter()
        .find(|snippet| snippet.code.contains("def log_softmax"));
    stage.write("losses.py", &losses.unwrap().code);
    let manifest = std::fs::read(stage.path("labels/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let n_rows = manifest["n_rows"].as_u64().unwrap();
    for (name, tau) in [("tail-bucket", 1.0), ("sampled", 0.8)] {
        let config = format!(
            "output = \"run-{name}\"\n[model]\nd_model = 32\nn_layers = 1\nn_heads = 2\nd_ff = 64\n\
             [data]\nlabels = \"labels\"\n[train]\nsteps = 1\nbatch_size = {n_rows}\n\
             [schedule]\nlr = 1e-30\nwarmup_steps = 0\n\
             [kd]\nmode = \"rkd\"\nloss = \"{name}\"\ntau = {tau}\nomega = 0.3\n[log]\nevery = 1\n"
        );
        stage.write("losses.toml", config);
        let mut run = Command::new(env!("CARGO_BIN_EXE_saltworks-train"));
        run.args(["run", "--config", "losses.toml"]);
        succeed(run.current_dir(stage.dir.path()));
        let mut check = python();
        check.arg(root().join("tests/python/check_losses.py"));
        check
            .args(["losses.py", "labels", name])
            .arg(format!("run-{name}"));
        succeed(check.current_dir(stage.dir.path()));
    }
}

#[test]
fn the_snippets_of_the_page_on_training_work() {
    let stage = Stage::new();
    stage.documents("train.jsonl.zst", 0.0..0.9);
    stage.documents("valid.jsonl.zst", 0.9..1.0);
    stage.play("docs/training.md");
}

/// The whole experiment in small: three of its arms, one of its seeds, and twice, as after a stop.
#[test]
fn the_script_of_the_experiment_goes_from_text_to_its_report() {
    let stage = Stage::new();
    for script in ["scripts/experiment.sh", "scripts/experiment-inputs.sh"] {
        stage.link(&root().join(script), script);
    }
    stage.link_demo("tokenizer.json", "tokenizer.json");
    stage.documents("train.jsonl.zst", 0.0..0.8);
    stage.documents("valid.jsonl.zst", 0.8..0.9);
    stage.documents("other.jsonl.zst", 0.9..1.0);
    let config = std::fs::read_to_string(stage.path("examples/experiment.toml")).unwrap();
    let config = config.replace("kd.n_kd = 1080", "kd.n_kd = 10");
    stage.write("examples/experiment.toml", config);
    for _ in 0..2 {
        let mut script = Command::new("sh");
        script.args(["scripts/experiment.sh", "out", "train.jsonl.zst"]);
        script.args(["valid.jsonl.zst", "other.jsonl.zst"]);
        script.args(["--seeds", "0", "--only", "baseline,salt-auto,salt-ds"]);
        script
            .env("TOKENIZER", "tokenizer.json")
            .env("MIN_LEARNABLE", "0");
        succeed(script.current_dir(stage.dir.path()));
    }
    let halves = ["valid", "reported"].map(|name| {
        let lines = std::fs::read_to_string(stage.path(&format!("out/{name}.jsonl"))).unwrap();
        lines.lines().count()
    });
    assert!(halves[0] - halves[1] <= 1 && halves[1] > 0, "{halves:?}");
    let results = std::fs::read(stage.path("out/experiment/results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_slice(&results).unwrap();
    for arm in results["arms"].as_array().unwrap() {
        let branches = arm["runs"][0]["branches"].as_array().unwrap();
        assert_eq!(branches.len(), 6, "{arm}");
        assert_eq!(branches[5]["scores"].as_array().unwrap().len(), 2);
    }
    assert!(stage.path("out/experiment/report.html").is_file());
}

#[test]
fn the_snippets_of_the_readme_work() {
    let stage = Stage::new();
    let mut demo = saltworks();
    demo.args(["demo", "--quick", "--megabytes", "1", "--output", "demo"]);
    succeed(demo.current_dir(stage.dir.path()));
    stage.link(
        &stage.dir.path().join("demo/tokenizer.json"),
        "tokenizer.json",
    );
    stage.checkpoint("demo/slm/final", "slm");
    stage.checkpoint("demo/slm/final", "slm-early");
    stage.documents("corpus/part.jsonl.zst", 0.0..0.5);
    stage.documents("held-out/part.jsonl.zst", 0.9..1.0);
    stage.play("README.md");
}

#[test]
fn every_page_with_snippets_is_played_by_a_test() {
    let played = [
        "README.md",
        "docs/format.md",
        "docs/guide.md",
        "docs/python.md",
        "docs/training.md",
        "docs/your-trainer.md",
    ];
    let with_snippets: Vec<String> = pages()
        .into_iter()
        .filter(|page| snippets_of(page).iter().any(Snippet::is_to_run))
        .collect();
    assert_eq!(with_snippets, played);
}

#[test]
fn what_is_not_run_is_known_by_name() {
    let found: Vec<(String, String, String)> = pages()
        .iter()
        .flat_map(|page| snippets_of(page))
        .filter_map(|snippet| {
            let first = snippet.code.lines().next().unwrap_or("").to_owned();
            snippet.not_run.map(|reason| (snippet.page, first, reason))
        })
        .collect();
    let known: Vec<(String, String, String)> = NOT_RUN
        .iter()
        .map(|(page, first, reason)| (page.to_string(), first.to_string(), reason.to_string()))
        .collect();
    assert_eq!(found, known);
}

#[test]
fn commands_of_snippets_that_are_not_run_exist_with_their_options() {
    let not_run = pages().into_iter().flat_map(|page| snippets_of(&page));
    for snippet in not_run.filter(|snippet| snippet.not_run.is_some()) {
        for command in commands_of(&snippet.code) {
            check_command(&command, &snippet.place());
        }
    }
}

#[test]
fn links_lead_to_files_and_headings() {
    let broken: Vec<String> = pages()
        .into_iter()
        .flat_map(|page| broken_links(&page))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Links of a page to files that are not there, or to headings that their page does not have.
fn broken_links(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let folder = root().join(page).parent().unwrap().to_owned();
    let is_broken = |link: &String| {
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = match path {
            "" => root().join(page),
            path => folder.join(path),
        };
        !target.exists() || !(anchor.is_empty() || anchors(&target).contains(anchor))
    };
    let links = links_of(&text).into_iter().filter(is_broken);
    links.map(|link| format!("{page}: {link}")).collect()
}

/// Targets of `[text](target)`, without those on other sites.
fn links_of(markdown: &str) -> Vec<String> {
    let targets = markdown.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split_once(')'));
    let local = targets.map(|(target, _)| target.to_owned());
    local.filter(|target| !target.starts_with("http")).collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(page).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| -> String {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_and_anchors_are_read_as_on_github() {
    let links = links_of("[a](b.md#c) ![d](e.png) [f](https://g) [h](#i)");
    assert_eq!(links, ["b.md#c", "e.png", "#i"]);
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("p.md");
    std::fs::write(&page, "# Draws, and `the_rest`\n").unwrap();
    assert!(anchors(&page).contains("draws-and-the_rest"));
}

/// Words from the name of one of the programs on, of each line that calls it; continued lines are
/// joined, comments left out.
fn commands_of(code: &str) -> Vec<Vec<String>> {
    let joined = code.replace("\\\n", " ");
    let command = |line: &str| -> Option<Vec<String>> {
        let line = line.split(" #").next().unwrap();
        let name = |word: &str| word.rsplit('/').next().unwrap_or("").to_owned();
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let is_call =
            |word: &String| ["saltworks", "saltworks-train"].contains(&name(word).as_str());
        let at = words.iter().position(is_call)?;
        let rest = words[at + 1..].iter().cloned();
        Some(std::iter::once(name(&words[at])).chain(rest).collect())
    };
    joined.lines().filter_map(command).collect()
}

fn check_command(words: &[String], place: &str) {
    let program = match words[0].as_str() {
        "saltworks" => env!("CARGO_BIN_EXE_saltworks"),
        _ => env!("CARGO_BIN_EXE_saltworks-train"),
    };
    let subcommand: Vec<&String> = words[1..]
        .iter()
        .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()))
        .take(if words[1] == "tokenizer" { 2 } else { 1 })
        .collect();
    let help = text(&succeed(
        Command::new(program).args(&subcommand).arg("--help"),
    ));
    let known: BTreeSet<&str> = help
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| word.starts_with("--"))
        .collect();
    for option in words.iter().filter(|word| word.starts_with("--")) {
        let option = option.split('=').next().unwrap();
        assert!(
            known.contains(option),
            "{place}: {subcommand:?} has no {option}"
        );
    }
}

#[test]
fn fences_are_found_with_their_language_reason_and_indentation() {
    let page = "a\n```\ndiagram\n```\n  ```sh not-run: takes hours\n  x \\\n    y\n  ```\n```sql\nSELECT 1;\n```\n";
    let snippets = parse("p.md", page);
    let of = |i: usize| {
        (
            snippets[i].line,
            snippets[i].language.as_str(),
            snippets[i].code.as_str(),
        )
    };
    assert_eq!(snippets.len(), 2);
    assert_eq!(of(0), (5, "sh", "x \\\n  y\n"));
    assert_eq!(snippets[0].not_run.as_deref(), Some("takes hours"));
    assert_eq!(of(1), (9, "sql", "SELECT 1;\n"));
    let commands = commands_of(
        "a/saltworks label --top-k 3 \\\n --round=m5 # saltworks x\nsrun saltworks-train run\n",
    );
    assert_eq!(
        commands[0],
        ["saltworks", "label", "--top-k", "3", "--round=m5"]
    );
    assert_eq!(commands[1], ["saltworks-train", "run"]);
}
