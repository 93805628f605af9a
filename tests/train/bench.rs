//! What these tests share: inputs that are made once, a directory with a configuration, and the processes in it.

use crate::support::process::wait_until;
use crate::support::{self, Inputs, assert_same_files, saltworks, snapshot, succeed};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;

/// Tokens of the test corpus: some 190 sequences of 32 targets, in some ten shards.
pub(crate) const N_TOKENS: usize = 6_000;

/// Steps of the usual test run, four sequences each.
pub(crate) const STEPS: u64 = 24;

/// The trainer under test.
pub(crate) fn saltworks_train() -> Command {
    Command::new(env!("CARGO_BIN_EXE_saltworks-train"))
}

/// Labels and tokens, made once and never changed.
pub(crate) fn inputs() -> &'static Inputs {
    static INPUTS: OnceLock<Inputs> = OnceLock::new();
    INPUTS.get_or_init(|| {
        let inputs = Inputs::new(N_TOKENS);
        std::fs::write(inputs.path("tokens.bin"), tokens(N_TOKENS)).unwrap();
        succeed(&mut inputs.label("labels"));
        inputs
    })
}

/// nanoGPT's headerless u16 of a language of 16 words, so that there is something to learn at once.
pub(crate) fn tokens(n_tokens: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let ids = (0..n_tokens).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match state >> 24 {
            0..8 => support::EOD,
            draw => (draw % 16) as u16,
        }
    });
    ids.flat_map(u16::to_le_bytes).collect()
}

/// Learns from draws, which the labels have at this temperature; the loss is then the default one.
pub(crate) const DRAWS: [&str; 2] = ["kd.loss=", "kd.tau=0.8"];

/// A directory of one test, with a configuration and its runs.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) labels: PathBuf,
    pub(crate) keys: Vec<String>,
}

impl Bench {
    /// `salt` on the shared labels and tokens, two seconds at most.
    pub(crate) fn new() -> Self {
        let keys = [
            "data.tokens_format=nanogpt".to_owned(),
            format!("data.eod={}", support::EOD),
            "data.shuffle_row_groups=2".to_owned(),
            format!("train.steps={STEPS}"),
            "train.batch_size=4".to_owned(),
            "train.threads=2".to_owned(),
            "schedule.lr=1e-2".to_owned(),
            "schedule.warmup_steps=4".to_owned(),
            "eval.every=8".to_owned(),
            "eval.sequences=6".to_owned(),
            "checkpoint.every=4".to_owned(),
            "log.every=1".to_owned(),
        ];
        Self {
            dir: tempfile::tempdir().unwrap(),
            labels: inputs().path("labels"),
            keys: keys.to_vec(),
        }
        .with(&["kd.mode=salt", "kd.n_kd=12", "kd.loss=tail-bucket"])
        .with_path("data.tokens", &inputs().path("tokens.bin"))
        .with_path("data.validation", &inputs().path("tokens.bin"))
    }

    pub(crate) fn with(mut self, keys: &[&str]) -> Self {
        self.keys.extend(keys.iter().map(|key| key.to_string()));
        self
    }

    pub(crate) fn with_path(self, key: &str, path: &Path) -> Self {
        self.with(&[&format!("{key}={}", path.display())])
    }

    /// Trains from a copy of the labels, which a test may spoil.
    pub(crate) fn with_own_labels(mut self) -> Self {
        let own = self.path("labels");
        for (name, bytes) in snapshot(&self.labels) {
            let path = own.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        self.labels = own;
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command that trains into `output`.
    pub(crate) fn run(&self, output: &str) -> Command {
        let config = self.path("run.toml");
        let model = "[model]\nd_model = 16\nn_layers = 2\nn_heads = 2\nd_ff = 24\n";
        let text = format!(
            "output = \"unused\"\n{model}\n[data]\nlabels = {:?}\n\n[train]\nsteps = 1\nbatch_size = 1\n",
            self.labels
        );
        std::fs::write(&config, text).unwrap();
        let mut command = saltworks_train();
        command.arg("run").arg("--config").arg(config);
        for key in &self.keys {
            command.args(["--set", key]);
        }
        command.arg("--output").arg(self.path(output));
        command
    }

    pub(crate) fn resume(&self, output: &str) -> Command {
        let mut command = self.run(output);
        command.arg("--resume");
        command
    }

    /// Everything that a run leaves and that two runs must agree on.
    pub(crate) fn result(&self, output: &str) -> Outcome {
        let run = self.path(output);
        let mut last = snapshot(&run.join(format!("checkpoints/step-{STEPS}")));
        last.retain(|name, _| name.ends_with(".safetensors"));
        Outcome {
            model: snapshot(&run.join("final")),
            last,
            metrics: metrics(&run),
        }
    }

    pub(crate) fn assert_same(&self, got: &str, want: &str) {
        let (got, want) = (self.result(got), self.result(want));
        assert_same_files(&got.model, &want.model);
        assert_same_files(&got.last, &want.last);
        assert_eq!(got.metrics, want.metrics);
    }

    pub(crate) fn steps(&self, output: &str) -> Vec<u64> {
        let names = std::fs::read_dir(self.path(output).join("checkpoints")).unwrap();
        let mut steps: Vec<u64> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_prefix("step-")?.parse().ok())
            .collect();
        steps.sort_unstable();
        steps
    }
}

pub(crate) struct Outcome {
    pub(crate) model: BTreeMap<String, Vec<u8>>,
    pub(crate) last: BTreeMap<String, Vec<u8>>,
    pub(crate) metrics: Vec<Value>,
}

/// The lines of `metrics.jsonl` without what depends on the clock.
pub(crate) fn metrics(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let without_times = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        for key in ["seconds", "tokens_per_s", "mfu"] {
            line.as_object_mut().unwrap().remove(key);
        }
        line
    };
    text.lines().map(without_times).collect()
}

pub(crate) fn lines_of<'a>(metrics: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    metrics.iter().filter(move |line| line["kind"] == kind)
}

pub(crate) fn numbers(metrics: &[Value], kind: &str, key: &str) -> Vec<f64> {
    let values = lines_of(metrics, kind).map(|line| line[key].as_f64());
    values.map(|value| value.unwrap_or(f64::NAN)).collect()
}

/// The sequences of the batch that a message names.
pub(crate) fn listed_seq_ids(printed: &str) -> Vec<u64> {
    let listed = printed.split("had the sequences ").nth(1).unwrap();
    let listed = listed.split(" of data.labels").next().unwrap();
    listed.split(", ").map(|id| id.parse().unwrap()).collect()
}

/// Waits until a step was logged, while the child runs.
pub(crate) fn wait_for_first_step(run: &Path, child: &mut Child) {
    let metrics = run.join("metrics.jsonl");
    let is_logged = || std::fs::metadata(&metrics).is_ok_and(|file| file.len() > 0);
    wait_until(child, "a step was logged", is_logged);
}

/// Steps that take some ten times as long as the usual ones.
pub(crate) fn slow() -> Bench {
    Bench::new().with(&["model.d_model=128", "model.n_layers=4", "model.d_ff=256"])
}

/// Labels the shared tokens by what `run` has trained, into `output` of the bench.
pub(crate) fn label_by(bench: &Bench, run: &str, output: &str, options: &[&str]) {
    let mut label = saltworks();
    label.args(["label", "--device", "cpu", "--seq-len", "32"]);
    let model = bench.path(run).join("final/model.onnx");
    label.arg("--teacher").arg(model);
    label.arg("--tokens").arg(inputs().path("tokens.bin"));
    let eod = support::EOD.to_string();
    label.args(["--tokens-format", "nanogpt", "--eod", &eod]);
    label.arg("--output").arg(bench.path(output));
    succeed(label.args(options));
}

/// A run that was stopped after step 20 of 24, as a kill would leave it.
pub(crate) fn stopped(bench: &Bench, output: &str) {
    succeed(&mut bench.run(output));
    std::fs::remove_dir_all(bench.path(output).join("final")).unwrap();
    let last = format!("checkpoints/step-{STEPS}");
    std::fs::remove_dir_all(bench.path(output).join(last)).unwrap();
}
