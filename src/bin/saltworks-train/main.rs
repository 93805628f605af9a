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
mod signals;

use clap::{Parser, Subcommand};

/// Train Llama-family models from token files, and from the labels of `saltworks`, with no teacher running.
#[derive(Parser)]
#[command(name = "saltworks-train", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

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
}

fn main() -> std::process::ExitCode {
    let cli: Cli = match common::command_line::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    common::exit::report(match cli.command {
        Command::Init(args) => init::run(args),
        Command::Run(args) => run::run(*args),
        Command::Compare(args) => compare::run(args),
        Command::Eval(args) => eval::run(*args),
        Command::Export(args) => export::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Plot(args) => plot::run(args),
        Command::Report(args) => report::run(args),
    })
}
