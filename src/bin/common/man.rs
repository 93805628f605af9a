//! `man`: the manual, of which `--help` is a part.

use super::arguments::OUTPUT;
use super::exit::Result;
use super::print::{self, out};
use clap::{Command, CommandFactory};
use saltworks::error::{Classified, Kind};
use saltworks::storage::StorageError;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = concat!(
    "Examples:\n  ",
    env!("CARGO_BIN_NAME"),
    " man | man -l -\n  ",
    env!("CARGO_BIN_NAME"),
    " man --output man1",
);

/// Print the man page of a command, or write those of all commands.
///
/// Pages are in roff format, for `man -l`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The command; without one, the page of the program itself.
    #[arg(value_name = "COMMAND", conflicts_with = "output")]
    command: Vec<String>,
    /// Write the pages of all commands to this directory.
    #[arg(long, short, value_name = "DIR", help_heading = OUTPUT)]
    output: Option<PathBuf>,
}

/// A page of an unknown command was requested.
#[derive(Debug, thiserror::Error)]
#[error("there is no command `{got}`; expected one of: {expected}")]
struct NoSuchCommand {
    got: String,
    expected: String,
}

impl Classified for NoSuchCommand {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

pub(crate) fn run<Cli: CommandFactory>(args: &Args) -> Result<()> {
    let mut program = Cli::command();
    program.build();
    match &args.output {
        Some(dir) => write_all(program, dir),
        None => {
            print::block(&page(find(program, &args.command)?)?);
            Ok(())
        }
    }
}

fn write_all(program: Command, dir: &Path) -> Result<()> {
    let failed = |source| StorageError::io("write man pages into", dir, source);
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(program, dir).map_err(failed)?;
    out!("{}", dir.display());
    Ok(())
}

fn find(mut command: Command, names: &[String]) -> Result<Command, NoSuchCommand> {
    for name in names {
        let found = command.find_subcommand(name).cloned();
        command = found.ok_or_else(|| NoSuchCommand {
            got: name.clone(),
            expected: subcommands(&command).join(", "),
        })?;
    }
    Ok(command)
}

fn subcommands(command: &Command) -> Vec<&str> {
    command.get_subcommands().map(Command::get_name).collect()
}

fn page(command: Command) -> Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
