//! The command line, and the messages if it cannot be parsed.

use super::{exit, print, signals};
use clap::builder::{
    OsStringValueParser, PathBufValueParser, RangedU64ValueParser, StringValueParser,
    TypedValueParser, ValueParser,
};
use clap::error::Error;
use clap::{Arg, Command, Parser};
use saltworks::error::{Classified, Kind};
use saltworks::storage::{
    PlaceError, check_local_place, check_output_place, check_place, plain_place,
};
use saltworks::threads::MAX_THREADS;
use saltworks::view::printable;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A check of a place.
type Check = fn(&Path) -> Result<(), PlaceError>;

/// The variable with the number of threads of the pools that are given none.
const RAYON_THREADS: &str = "RAYON_NUM_THREADS";
/// Names of values that are paths.
const PATH_NAMES: [&str; 6] = ["PATH", "FILE", "DIR", "LABELS", "RUN", "EXPERIMENT"];
/// Suffix of such a name, after a bar, if the value may also be the URL of an object store.
const URL_NAME: &str = "URL";

/// The parsed command line, with the process set up to report errors; or the exit code, if help, a version or a
/// message was printed.
pub(crate) fn parse<Cli: Parser>() -> Result<Cli, ExitCode> {
    signals::report_large_files();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let parsed = try_parse(&arguments).map_err(|error| say(&visible::<Cli>(&arguments, error)))?;
    match check_rayon(std::env::var(RAYON_THREADS).ok()) {
        Ok(()) => Ok(parsed),
        Err(error) => Err(exit::report(Err(error.into()))),
    }
}

/// The variable's number of threads is started, whatever it is: the process may then hang or be aborted.
#[derive(Debug, thiserror::Error)]
#[error(
    "{RAYON_THREADS} is {got}: expected at most {MAX_THREADS}; set a smaller number, or unset it for one thread per core"
)]
struct TooManyThreads {
    got: String,
}

impl Classified for TooManyThreads {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

/// What is not a number is ignored where it is read.
fn check_rayon(said: Option<String>) -> Result<(), TooManyThreads> {
    let digits = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match said.filter(digits) {
        Some(got) if !got.parse().is_ok_and(|n: usize| n <= MAX_THREADS) => {
            Err(TooManyThreads { got })
        }
        _ => Ok(()),
    }
}

fn try_parse<Cli: Parser>(arguments: &[OsString]) -> Result<Cli, Error> {
    let mut command = with_places(Cli::command());
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// `command` with every path argument, of all its subcommands, refusing invalid places: here, so that no
/// option can forget it. A URL is allowed only if the name of the value says so.
fn with_places(command: Command) -> Command {
    command.mut_args(with_place).mut_subcommands(with_places)
}

fn with_place(argument: Arg) -> Arg {
    let is_of = |kind: ValueParser| argument.get_value_parser().type_id() == kind.type_id();
    let check = check_of(&argument);
    if is_of(ValueParser::path_buf()) {
        let parser = PathBufValueParser::new();
        argument.value_parser(parser.try_map(move |path| place(path, check)))
    } else if is_of(ValueParser::string()) && is_named_like_path(&argument) {
        let parser = StringValueParser::new();
        argument.value_parser(parser.try_map(move |text| place_text(text, check)))
    } else if is_of(ValueParser::os_string()) {
        let parser = OsStringValueParser::new();
        argument.value_parser(parser.try_map(move |name| place_name(name, check)))
    } else if argument.get_id() == "threads" && is_of(n_threads()) {
        argument.value_parser(n_threads())
    } else {
        argument
    }
}

/// More would only take time to start; 0 is one per core.
fn n_threads() -> ValueParser {
    RangedU64ValueParser::<usize>::new()
        .range(0..=MAX_THREADS as u64)
        .into()
}

/// Globs and the like are text, but are paths according to the name of their value.
fn is_named_like_path(argument: &Arg) -> bool {
    value_words(argument).any(|name| PATH_NAMES.contains(&name))
}

fn may_be_url(argument: &Arg) -> bool {
    value_words(argument).any(|name| name == URL_NAME)
}

/// `DIR` and `URL` of `DIR|URL`.
fn value_words(argument: &Arg) -> impl Iterator<Item = &str> {
    let names = argument.get_value_names().unwrap_or_default();
    names.iter().flat_map(|name| name.as_str().split('|'))
}

/// What a place of the argument may be.
fn check_of(argument: &Arg) -> Check {
    match may_be_url(argument) {
        false => check_local_place,
        true if argument.get_id() == "output" => check_output_place,
        true => check_place,
    }
}

fn place(path: PathBuf, check: Check) -> Result<PathBuf, PlaceError> {
    check(&path).map(|()| plain_place(path))
}

fn place_text(text: String, check: Check) -> Result<String, PlaceError> {
    check(Path::new(&text))?;
    let plain = plain_place(PathBuf::from(&text));
    Ok(plain.into_os_string().into_string().unwrap_or(text))
}

fn place_name(name: OsString, check: Check) -> Result<OsString, PlaceError> {
    let path = PathBuf::from(name);
    place(path, check).map(PathBuf::into_os_string)
}

/// The message about the same arguments with invisible characters escaped, since clap repeats them
/// unchanged.
fn visible<Cli: Parser>(arguments: &[OsString], error: Error) -> Error {
    let escape = |argument: &OsString| match argument.to_str() {
        Some(text) => printable(text).into(),
        None => argument.clone(),
    };
    let escaped: Vec<OsString> = arguments.iter().map(escape).collect();
    try_parse::<Cli>(&escaped).err().unwrap_or(error)
}

fn say(error: &Error) -> ExitCode {
    let text = error.render().ansi().to_string();
    if error.use_stderr() {
        print::styled_note(&text);
    } else {
        print::styled(&text);
    }
    match print::finish() {
        Err(failed) => print::output_failed(&failed),
        Ok(()) => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;
    use clap::{ArgAction, CommandFactory};

    /// Arguments of both binaries that are words, not paths.
    const WORDS: &[&str] = &[
        "baseline",
        "by",
        "by_until",
        "command",
        "device",
        "id_field",
        "logits_output",
        "only",
        "prompt",
        "runs",
        "scores_key",
        "sequences",
        "set",
        "special",
        "split_on",
        "task",
        "text_field",
        "title",
        "weights",
    ];

    /// Options of a command that need no headings.
    const MAX_OPTIONS_WITHOUT_HEADINGS: usize = 3;

    /// Every argument that takes a value, with the names of its subcommands.
    fn arguments(command: &Command, names: &[String]) -> Vec<(Vec<String>, Arg)> {
        let takes_a_value =
            |argument: &&Arg| matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
        let own = command.get_arguments().filter(takes_a_value);
        let mut all: Vec<_> = own.map(|own| (names.to_vec(), own.clone())).collect();
        for inner in command.get_subcommands() {
            let names = [names, &[inner.get_name().to_owned()]].concat();
            all.extend(arguments(inner, &names));
        }
        all
    }

    /// Words of a shell line, up to a redirection.
    fn words_of(line: &str) -> Vec<OsString> {
        let line = line.split(['>', '|']).next().unwrap_or_default();
        let quoted = line.split('"').enumerate();
        let words = quoted.flat_map(|(i, part)| match i % 2 {
            0 => part.split_whitespace().map(OsString::from).collect(),
            _ => vec![OsString::from(part)],
        });
        words.collect()
    }

    fn check_examples(command: &Command, program: &str) {
        let name = command.get_name();
        let help = command.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_else(|| panic!("{name}: end its help with an example"));
        let examples = help.lines().filter_map(|line| line.strip_prefix("  "));
        let mut n_examples = 0;
        for example in examples.filter(|line| line.starts_with(program)) {
            n_examples += 1;
            if let Err(error) = try_parse::<crate::Cli>(&words_of(example)) {
                panic!("{name}: {example}\n{error}");
            }
        }
        assert!(n_examples > 0, "{name}: {help}");
        command
            .get_subcommands()
            .for_each(|inner| check_examples(inner, program));
    }

    #[test]
    fn the_help_of_every_command_ends_with_examples_that_it_takes() {
        check_examples(&crate::Cli::command(), env!("CARGO_BIN_NAME"));
    }

    fn check_headings(command: &Command) {
        let own = command.get_opts().filter(|option| {
            let id = option.get_id().as_str();
            !option.is_global_set() && !["help", "version"].contains(&id)
        });
        let own: Vec<&Arg> = own.collect();
        let is_bare = |option: &&Arg| option.get_help_heading().is_none();
        if own.len() > MAX_OPTIONS_WITHOUT_HEADINGS {
            let bare = own.into_iter().find(is_bare).map(Arg::get_id);
            assert_eq!(bare, None, "{}: give it a heading", command.get_name());
        }
        command.get_subcommands().for_each(check_headings);
    }

    #[test]
    fn options_of_commands_that_have_several_stand_under_headings() {
        check_headings(&crate::Cli::command());
    }

    #[test]
    fn every_path_argument_refuses_what_is_no_place_for_it() {
        let command = crate::Cli::command();
        let mut n_paths = 0;
        for (names, argument) in arguments(&command, &[]) {
            let kind = argument.get_value_parser().type_id();
            let is_text = kind == ValueParser::string().type_id();
            let is_path =
                kind == ValueParser::path_buf().type_id() || is_named_like_path(&argument);
            let id = argument.get_id().as_str();
            assert!(
                !is_text || is_path || WORDS.contains(&id),
                "{names:?} {id}: name its value {PATH_NAMES:?}, or list it as no path"
            );
            if !is_path {
                continue;
            }
            n_paths += 1;
            let may_be_url = may_be_url(&argument);
            let places = ["s4://b/x", "file://x", "~/x", "$HOME/x", ""];
            let stores = match (may_be_url, id) {
                (true, "output") => &["hf://datasets/o/x"][..],
                (true, _) => &[][..],
                (false, _) => &["s3://b/x", "hf://datasets/o/x"][..],
            };
            for place in stores.iter().chain(&places) {
                let flag = argument.get_long().map(|long| format!("--{long}"));
                let typed = ["program".to_owned()]
                    .into_iter()
                    .chain(names.iter().cloned())
                    .chain(flag.clone())
                    .chain([(*place).to_owned()]);
                let typed: Vec<OsString> = typed.map(OsString::from).collect();
                let error = try_parse::<crate::Cli>(&typed).err().expect("refused");
                let kinds = [ErrorKind::ValueValidation, ErrorKind::InvalidValue];
                assert!(kinds.contains(&error.kind()), "{typed:?}\n{error}");
                let words = if place.is_empty() {
                    "value"
                } else {
                    "local path"
                };
                assert!(error.to_string().contains(words), "{error}");
            }
        }
        assert!(n_paths > 10);
    }
}
