//! The stages of the demo, each a command, one after the other.

use super::configs::{self, SEQ_LEN, Scale};
use super::{Args, claim, story, texts};
use crate::common::exit::{Context, Result};
use crate::common::invocation;
use crate::common::print::out;
use crate::common::signals;
use saltworks::demo::DemoError;
use saltworks::interrupt::Interrupt;
use saltworks::tokens::{OpenOptions, TokenCorpus};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// Megabytes of text, unless said otherwise.
const DEFAULT_MEGABYTES: u64 = 8;
/// Words that the models continue.
const N_PROMPT_WORDS: usize = 8;
/// The small model as ONNX, in the demo's directory.
const TEACHER: &str = "slm/final/model.onnx";
/// Interval at which a command and a requested stop are checked.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A stage: a command, and the file that says that it was done.
struct Stage {
    /// Its purpose, for a newcomer.
    title: &'static str,
    program: &'static str,
    arguments: Vec<String>,
    done: PathBuf,
    /// Where its command is recorded.
    record: PathBuf,
}

/// `messages` are options that every command accepts.
pub(super) fn run(args: &Args, messages: &[String]) -> Result<()> {
    let began = Instant::now();
    let dir = args.output.as_path();
    let scale = if args.quick {
        Scale::QUICK
    } else {
        Scale::WHOLE
    };
    claim(dir, &settings(args))?;
    let interrupt = signals::interrupt()?;
    write_texts(args, dir)?;
    let demo = Demo { dir, scale: &scale };
    for (i, stage) in demo.text_stages().iter().enumerate() {
        stage.run(i + 1, &interrupt, messages)?;
    }
    let n_tokens = n_tokens(dir)?;
    configs::write(dir, &scale, n_tokens, args.seed, &prompt(dir)?)?;
    let after = demo.model_stages(n_tokens);
    for (i, stage) in after.iter().enumerate() {
        stage.run(N_STAGES - after.len() + i + 1, &interrupt, messages)?;
    }
    story::print_summary(dir, began.elapsed(), args.quick)
}

fn settings(args: &Args) -> serde_json::Value {
    serde_json::json!({
        "teacher": "trained",
        "corpus": args.corpus,
        "megabytes": args.megabytes.unwrap_or(DEFAULT_MEGABYTES),
        "seed": args.seed,
        "quick": args.quick,
    })
}

fn write_texts(args: &Args, dir: &Path) -> Result<()> {
    let (corpus, held_out) = (dir.join("corpus.jsonl"), dir.join("held-out.jsonl"));
    if held_out.exists() {
        return Ok(());
    }
    let megabytes = args.megabytes.unwrap_or(DEFAULT_MEGABYTES);
    let written = texts::write(args, megabytes, &corpus, &held_out)?;
    let [n_kept, n_held_out] = written.n_documents;
    let source = match args.corpus.is_empty() {
        true => "generated text in an invented language".to_owned(),
        false => args.corpus.join(" "),
    };
    out!(
        "{source}: {:.1} MB, {n_kept} training documents ({}), {n_held_out} held out ({})",
        written.n_text_bytes as f64 / 1e6,
        corpus.display(),
        held_out.display()
    );
    Ok(())
}

/// Stages of the demo; those after the first three depend on the number of tokens.
const N_STAGES: usize = 11;

struct Demo<'a> {
    dir: &'a Path,
    scale: &'a Scale,
}

impl Demo<'_> {
    /// The path of what the demo calls `name`.
    fn at(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// A stage of `program`'s command `command`, which makes `done`; its arguments are still to come.
    fn stage(
        &self,
        title: &'static str,
        program: &'static str,
        command: &str,
        done: &str,
    ) -> Stage {
        Stage {
            title,
            program,
            arguments: vec![command.to_owned()],
            done: self.dir.join(done),
            record: self.dir.join("experiment"),
        }
    }

    fn text_stages(&self) -> Vec<Stage> {
        let train = self
            .stage(
                "train a tokenizer on the text",
                "saltworks",
                "tokenizer",
                "tokenizer.json",
            )
            .word("train")
            .with("--input", self.at("corpus.jsonl"))
            .with("--vocab-size", self.scale.vocab_size)
            .with("--output", self.at("tokenizer.json"));
        let tokenize = |title, input: &str, name: &str| {
            let done = format!("{name}/corpus.json");
            self.stage(title, "saltworks", "tokenize", &done)
                .with("--input", self.at(input))
                .with("--tokenizer", self.at("tokenizer.json"))
                .with("--output", self.at(name))
        };
        vec![
            train,
            tokenize("tokenize the text", "corpus.jsonl", "tokens"),
            tokenize("tokenize the held-out text", "held-out.jsonl", "held-out"),
        ]
    }

    /// The stages after that, for a text of `n_tokens` tokens.
    fn model_stages(&self, n_tokens: u64) -> Vec<Stage> {
        let n_rows = self.scale.n_selected(n_tokens);
        let mut stages = vec![self.slm_stage()];
        stages.extend(self.selection_stages(n_rows));
        stages.extend(self.label_stages());
        stages.push(self.compare_stage());
        stages
    }

    fn slm_stage(&self) -> Stage {
        let title = "train a small language model: the teacher";
        self.stage(title, "saltworks-train", "run", TEACHER)
            .with("--config", self.at("slm.toml"))
            .word("--resume")
    }

    fn selection_stages(&self, n_rows: u64) -> Vec<Stage> {
        let select = |title, name: &str, policy: &str| {
            self.stage(title, "saltworks", "select", name)
                .word(&self.at("scores"))
                .with("--rows", n_rows)
                .with("--output", self.at(name))
                .with("--policy", policy)
        };
        let score = self.label("score every sequence with the teacher", "tokens", "scores");
        let mut top = select(
            "select sequences that are challenging, yet learnable",
            "selection.parquet",
            "top",
        );
        if let Some(share) = self.scale.min_learnable {
            top = top.with("--min-learnable", share);
        }
        let random = select(
            "select as many at random, for comparison",
            "random.parquet",
            "random",
        );
        vec![
            score.with("--groups", "scores"),
            top.word("--preview")
                .with("--tokens", self.at("tokens"))
                .with("--tokenizer", self.at("tokenizer.json")),
            random,
        ]
    }

    fn label_stages(&self) -> Vec<Stage> {
        let label = |title, tokens: &str, name: &str| {
            self.label(title, tokens, name)
                .with("--top-k", self.scale.top_k)
        };
        vec![
            label("label the selected sequences", "tokens", "labels-selected")
                .with("--selection", self.at("selection.parquet")),
            label("label the random sequences", "tokens", "labels")
                .with("--selection", self.at("random.parquet")),
            label(
                "label the held-out text, to tell easy positions from hard ones",
                "held-out",
                "labels-held-out",
            ),
        ]
    }

    fn label(&self, title: &'static str, tokens: &str, name: &str) -> Stage {
        let done = format!("{name}/manifest.json");
        self.stage(title, "saltworks", "label", &done)
            .with("--teacher", self.at(TEACHER))
            .with("--tokens", self.at(tokens))
            .with("--seq-len", SEQ_LEN)
            .with("--output", self.at(name))
    }

    fn compare_stage(&self) -> Stage {
        let title = "train larger models with and without the labels, and write a report";
        let done = "experiment/report.html";
        self.stage(title, "saltworks-train", "compare", done)
            .with("--config", self.at("experiment.toml"))
    }
}

/// The first words of the first held-out document, which every model then continues.
fn prompt(dir: &Path) -> Result<String> {
    let path = dir.join("held-out.jsonl");
    let text = std::fs::read_to_string(&path).context("cannot read the held-out text")?;
    let document = serde_json::from_str(text.lines().next().unwrap_or("{}"));
    let document: serde_json::Value = document
        .map_err(std::io::Error::from)
        .context("cannot read the held-out text")?;
    let words = document["text"]
        .as_str()
        .unwrap_or_default()
        .split_whitespace();
    Ok(words.take(N_PROMPT_WORDS).collect::<Vec<_>>().join(" "))
}

fn n_tokens(dir: &Path) -> Result<u64> {
    Ok(TokenCorpus::open(&dir.join("tokens"), &OpenOptions::default())?.n_tokens())
}

impl Stage {
    /// With `word` after its arguments.
    fn word(mut self, word: &str) -> Self {
        self.arguments.push(word.to_owned());
        self
    }

    /// With an option after its arguments.
    fn with(self, name: &str, value: impl std::fmt::Display) -> Self {
        self.word(name).word(&value.to_string())
    }

    fn run(&self, number: usize, interrupt: &Interrupt, messages: &[String]) -> Result<()> {
        if self.done.exists() {
            out!();
            out!("[{number}/{N_STAGES}] {}: already done", self.title);
            return Ok(());
        }
        out!();
        out!("[{number}/{N_STAGES}] {}", self.title);
        out!("$ {}", self.line());
        let status = self.run_to_its_end(interrupt, messages)?;
        if status.success() {
            return self.record();
        }
        // A command that was killed by a signal has no exit code.
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        debug_assert!(code.is_some() || status.signal().is_some());
        Err(DemoError::Step {
            command: self.line(),
            code: code.unwrap_or(1),
        }
        .into())
    }

    /// Keeps the command for the report. Runs and experiments record theirs by themselves.
    fn record(&self) -> Result<()> {
        if self.program != "saltworks" {
            return Ok(());
        }
        std::fs::create_dir_all(&self.record).context("cannot make the experiment's directory")?;
        let program = std::iter::once(self.program.to_owned());
        let argv = program.chain(self.arguments.iter().cloned()).collect();
        Ok(invocation::of(argv).record(&self.record)?)
    }

    /// As it could be typed.
    fn line(&self) -> String {
        format!("{} {}", self.program, self.arguments.join(" "))
    }

    fn run_to_its_end(&self, interrupt: &Interrupt, messages: &[String]) -> Result<ExitStatus> {
        let program = next_to_this_program(self.program)?;
        let mut command = Command::new(&program);
        // Its own process group: Ctrl-C on a terminal reaches only this process, which passes on
        // one signal; two would end the command at once.
        command
            .arg0(self.program)
            .args(&self.arguments)
            .args(messages)
            .process_group(0);
        let child = command.spawn();
        let mut child = child.map_err(|source| DemoError::NoProgram { program, source })?;
        let mut was_asked = false;
        loop {
            if let Some(status) = child.try_wait().context("cannot wait for a command")? {
                return Ok(status);
            }
            if interrupt.is_requested() && !was_asked {
                ask_to_stop(&child);
                was_asked = true;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

fn ask_to_stop(child: &Child) {
    let Ok(pid) = libc::pid_t::try_from(child.id()) else {
        return;
    };
    // SAFETY: kill takes two integers. The child has not been waited for to its end, so the number is
    // still its own.
    unsafe { libc::kill(pid, libc::SIGTERM) };
}

fn next_to_this_program(program: &str) -> Result<PathBuf> {
    let this = std::env::current_exe().context("cannot tell where this program is")?;
    Ok(this.with_file_name(program))
}
