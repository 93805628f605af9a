//! `saltworks`: labels a token corpus with a small language model.

#[path = "../common/mod.rs"]
mod common;
mod demo;
mod doctor;
mod finalize;
mod inspect;
mod label;
mod plan;
mod profile;
mod progress;
mod select;
mod signals;
mod stats;
mod terminal;
mod tokenize;
mod tokenizer;
mod verify;

use clap::{Parser, Subcommand};

/// Precompute a small language model's logits and selection scores over a corpus, as Parquet shards.
#[derive(Parser)]
#[command(name = "saltworks", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Doctor(doctor::Args),
    Tokenizer(tokenizer::Args),
    Tokenize(tokenize::Args),
    Plan(plan::Args),
    Label(label::Args),
    Finalize(finalize::Args),
    Verify(verify::Args),
    Inspect(inspect::Args),
    Stats(stats::Args),
    Select(select::Args),
    Demo(demo::Args),
}

fn main() -> std::process::ExitCode {
    let cli: Cli = match common::command_line::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    common::exit::report(match cli.command {
        Command::Doctor(args) => doctor::run(args),
        Command::Tokenizer(args) => tokenizer::run(args),
        Command::Tokenize(args) => tokenize::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Label(args) => label::run(args),
        Command::Finalize(args) => finalize::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Stats(args) => stats::run(args),
        Command::Select(args) => select::run(args),
        Command::Demo(args) => demo::run(args),
    })
}
