//! `saltworks-train`: trains a model from token files and from labels.

#[path = "../common/mod.rs"]
mod common;
mod compare;
mod eval;
mod export;
mod generate;
mod init;
mod opened;
mod plot;
mod progress;
mod report;
mod run;
mod samples;

use clap::{Parser, Subcommand};
use common::{completions, man, version};

/// Train Llama-family models from token files and from labels of `saltworks`, without running the teacher.
#[derive(Parser)]
#[command(name = "saltworks-train", version, long_version = version::LONG.as_str(), propagate_version = true)]
#[command(after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    messages: common::progress::Options,
    #[command(flatten)]
    stores: common::arguments::Stores,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  saltworks-train init --output runs/llm
  saltworks-train run --config runs/llm/run.toml
  saltworks-train compare --config examples/experiment.toml";

#[derive(Subcommand)]
enum Command {
    Init(init::Args),
    Run(Box<run::Args>),
    Compare(compare::Args),
    Eval(Box<eval::Args>),
    Export(export::Args),
    Generate(generate::Args),
    Plot(plot::Args),
    Report(report::Args),
    Completions(common::completions::Args),
    Man(common::man::Args),
}

fn main() -> std::process::ExitCode {
    let cli: Cli = match common::command_line::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    cli.messages.apply();
    if let Err(error) = cli.stores.apply() {
        return common::exit::report(Err(error.into()));
    }
    common::exit::report(match cli.command {
        Command::Init(args) => init::run(args),
        Command::Run(args) => run::run(*args),
        Command::Compare(args) => compare::run(args),
        Command::Eval(args) => eval::run(*args),
        Command::Export(args) => export::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Plot(args) => plot::run(args),
        Command::Report(args) => report::run(args),
        Command::Completions(args) => completions::run::<Cli>(&args),
        Command::Man(args) => man::run::<Cli>(&args),
    })
}
