//! `saltworks-train`: trains a model from token files and from labels.

mod eval;
mod exit;
mod export;
mod generate;
mod opened;

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
    Eval(eval::Args),
    Export(export::Args),
    Generate(generate::Args),
}

fn main() -> std::process::ExitCode {
    exit::report(match Cli::parse().command {
        Command::Eval(args) => eval::run(args),
        Command::Export(args) => export::run(args),
        Command::Generate(args) => generate::run(args),
    })
}
