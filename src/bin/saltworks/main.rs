//! `saltworks`: labels a token corpus with a small language model.

#[path = "../common/mod.rs"]
mod common;
mod demo;
mod doctor;
mod export;
mod filter;
mod finalize;
mod import;
mod init;
mod inspect;
mod label;
mod plan;
mod profile;
mod progress;
mod report;
mod select;
mod stats;
mod status;
mod terminal;
mod tokenize;
mod tokenizer;
mod verify;

use clap::{Parser, Subcommand};
use common::{completions, man, version};

/// Label a tokenized corpus with a small language model: next-token probabilities and selection
/// scores, in Parquet.
#[derive(Parser)]
#[command(name = "saltworks", version, long_version = version::LONG.as_str(), propagate_version = true)]
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
  saltworks demo --quick --output demo
  saltworks tokenize --input corpus --tokenizer tokenizer.json --output tokens
  saltworks label --teacher model.onnx --tokens tokens --seq-len 2048 --output labels";

#[derive(Subcommand)]
enum Command {
    Doctor(doctor::Args),
    Tokenizer(tokenizer::Args),
    Tokenize(tokenize::Args),
    Init(init::Args),
    Plan(plan::Args),
    Export(export::Args),
    Label(label::Args),
    Status(status::Args),
    Finalize(finalize::Args),
    Import(import::Args),
    Verify(verify::Args),
    Inspect(inspect::Args),
    Stats(stats::Args),
    Report(report::Args),
    Select(select::Args),
    Filter(filter::Args),
    Demo(demo::Args),
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
        Command::Doctor(args) => doctor::run(args),
        Command::Tokenizer(args) => tokenizer::run(args),
        Command::Tokenize(args) => tokenize::run(args),
        Command::Init(args) => init::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Export(args) => export::run(args),
        Command::Label(args) => label::run(args),
        Command::Status(args) => status::run(args),
        Command::Finalize(args) => finalize::run(args),
        Command::Import(args) => import::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Stats(args) => stats::run(args),
        Command::Report(args) => report::run(args),
        Command::Select(args) => select::run(args),
        Command::Filter(args) => filter::run(args),
        Command::Demo(args) => demo::run(args, cli.messages),
        Command::Completions(args) => completions::run::<Cli>(&args),
        Command::Man(args) => man::run::<Cli>(&args),
    })
}
