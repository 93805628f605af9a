//! `completions`: what a shell offers for Tab.

use super::exit::Result;
use super::print;
use clap::CommandFactory;
use clap_complete::{Shell, generate};

const EXAMPLES: &str = concat!(
    "Examples:\n  ",
    env!("CARGO_BIN_NAME"),
    " completions bash > ~/.local/share/bash-completion/completions/",
    env!("CARGO_BIN_NAME"),
    "\n  ",
    env!("CARGO_BIN_NAME"),
    " completions zsh > ~/.zfunc/_",
    env!("CARGO_BIN_NAME"),
);

/// Print completions for a shell.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run<Cli: CommandFactory>(args: &Args) -> Result<()> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(args.shell, &mut command, name, &mut script);
    print::block(&String::from_utf8_lossy(&script));
    Ok(())
}
