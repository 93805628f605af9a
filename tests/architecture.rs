//! Checks the code against `ARCHITECTURE.md`: which rooms may use which, and what each never names; the order
//! of the folders in a room; and that no two files depend on each other.
// clippy.toml exempts tests, but not the functions that they call.
#![allow(clippy::unwrap_used)]

#[path = "architecture/graph.rs"]
mod graph;
#[path = "architecture/scan.rs"]
mod scan;

use graph::Graph;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms that each room may use, beside itself.
const ALLOWED_EDGES: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("interrupt", &[]),
    ("visible", &[]),
    ("splitmix", &[]),
    ("threads", &[]),
    ("figure", &["visible"]),
    ("storage", &["error"]),
    ("invocations", &["storage"]),
    ("config", &["error", "storage"]),
    ("page", &["error", "figure", "storage"]),
    ("corpus", &["error", "interrupt", "storage"]),
    ("tokens", &["error", "interrupt", "storage", "corpus"]),
    ("onnx", &["error", "splitmix"]),
    ("decoder_file", &["interrupt", "storage", "onnx"]),
    ("pretrained", &["error", "storage", "onnx"]),
    (
        "checkpoint_graph",
        &[
            "error",
            "interrupt",
            "storage",
            "onnx",
            "decoder_file",
            "pretrained",
        ],
    ),
    (
        "teacher",
        &["error", "storage", "onnx", "signals", "splitmix"],
    ),
    ("signals", &["error"]),
    (
        "shards",
        &["error", "storage", "tokens", "signals", "splitmix"],
    ),
    ("select", &["error", "storage", "signals", "shards"]),
    (
        "label",
        &[
            "error",
            "interrupt",
            "storage",
            "config",
            "corpus",
            "tokens",
            "onnx",
            "pretrained",
            "checkpoint_graph",
            "teacher",
            "signals",
            "shards",
            "threads",
        ],
    ),
    (
        "filter",
        &[
            "error",
            "interrupt",
            "storage",
            "corpus",
            "tokens",
            "shards",
        ],
    ),
    ("bounds", &["error", "signals", "shards"]),
    (
        "train",
        &[
            "error",
            "interrupt",
            "storage",
            "config",
            "corpus",
            "tokens",
            "onnx",
            "decoder_file",
            "pretrained",
            "signals",
            "shards",
            "figure",
            "splitmix",
            "threads",
        ],
    ),
    (
        "experiment",
        &[
            "error",
            "interrupt",
            "storage",
            "config",
            "tokens",
            "signals",
            "shards",
            "bounds",
            "train",
            "view",
            "figure",
            "page",
            "invocations",
        ],
    ),
    (
        "view",
        &[
            "error", "storage", "tokens", "signals", "shards", "select", "bounds", "visible",
            "figure", "page",
        ],
    ),
    ("demo", &["error", "onnx", "splitmix"]),
];

/// Paths that a room never names: the room (`*` is every one), the path, and who is exempt.
const FORBIDDEN_PATHS: &[(&str, &str, &[&str])] = &[
    ("*", "ort::", &["teacher"]),
    ("*", "cudarc::", &["teacher"]),
    ("*", "object_store::", &["storage"]),
    ("*", "tokio::", &["storage"]),
    ("*", "gemm::", &["train"]),
    ("*", "resvg::", &["figure"]),
    ("figure", "std::fs", &[]),
    ("signals", "std::fs", &[]),
    ("signals", "std::io", &[]),
    ("signals", "std::time", &[]),
    ("signals", "std::thread", &[]),
    ("*", "std::process::exit", &[]),
    ("*", "println!", &[]),
    ("*", "eprintln!", &[]),
    ("*", "anyhow::", &[]),
];

/// The floors of a room, bottom to top: folders, or files without `.rs`. Each uses only lower ones. A file is on
/// the floor of the longest path that it begins with.
const FLOORS: &[(&str, &[&str])] = &[(
    "train",
    &[
        "draws",
        "tensor",
        "batch",
        "example",
        "ops",
        "model",
        "loss",
        "config",
        "schedule",
        "data",
        "metrics",
        "export",
        "checkpoint",
        "eval",
        "plot",
        "run/error",
        "error",
        "run",
    ],
)];

/// One source file of the library, as the checks see it.
struct Source {
    path: PathBuf,
    room: String,
    code: String,
}

#[test]
fn every_room_uses_only_the_rooms_it_may() {
    let mut wrong = Vec::new();
    for source in library_sources() {
        for used in rooms_named_in(&source.code) {
            if used != source.room && !is_allowed(&source.room, &used) {
                wrong.push(format!(
                    "{}: {} uses {used}",
                    source.path.display(),
                    source.room
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "edges that ARCHITECTURE.md has not:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_room_names_what_it_must_not() {
    let mut wrong = Vec::new();
    for source in library_sources() {
        for (room, path, exempt) in FORBIDDEN_PATHS {
            let concerned = *room == "*" || *room == source.room;
            if concerned && !exempt.contains(&source.room.as_str()) && names(&source.code, path) {
                wrong.push(format!("{}: names {path}", source.path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "invariants of ARCHITECTURE.md broken:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_floor_uses_only_lower_ones() {
    let graph = library_graph();
    let mut wrong = Vec::new();
    for (room, floors) in FLOORS {
        let facade = format!("{room}/mod");
        let floor = |file: &str| floor_of(floors, file.strip_prefix(&format!("{room}/"))?);
        let inside = graph
            .uses
            .iter()
            .filter(|(file, _)| room_of(file) == *room && **file != facade);
        for (file, uses) in inside {
            let Some(own) = floor(file) else {
                wrong.push(format!("{file} is on no floor"));
                continue;
            };
            let above = uses.iter().filter(|(used, _)| floor(used) > Some(own));
            wrong.extend(
                above.map(|(used, path)| format!("{file} uses {used}, which is above it: {path}")),
            );
        }
    }
    assert!(
        wrong.is_empty(),
        "the order of ARCHITECTURE.md broken:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_files_depend_on_each_other() {
    let graph = library_graph();
    let cycles = graph.cycles();
    let wrong: Vec<String> = cycles
        .iter()
        .flat_map(|circle| uses_inside(&graph, circle))
        .collect();
    assert!(
        wrong.is_empty(),
        "files that need each other; move what they share to a file below them:\n{}",
        wrong.join("\n")
    );
}

/// Who uses whom in a circle.
fn uses_inside(graph: &Graph, circle: &[String]) -> Vec<String> {
    let of_file = |file: &String| {
        let inside = graph.uses[file]
            .iter()
            .filter(|(used, _)| circle.contains(used));
        let lines = inside.map(|(used, path)| format!("{file} -> {used}: {path}"));
        lines.collect::<Vec<_>>()
    };
    circle.iter().flat_map(of_file).collect()
}

#[test]
fn the_page_gives_the_order_of_the_floors() {
    let page = fs::read_to_string(repository_root().join("ARCHITECTURE.md")).unwrap();
    for (room, floors) in FLOORS {
        let floors: Vec<String> = floors.iter().map(|floor| format!("`{floor}`")).collect();
        let expected = floors.join(" < ");
        let is_there = page
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains(&expected);
        assert!(is_there, "ARCHITECTURE.md should say of {room}: {expected}");
    }
}

#[test]
fn a_cycle_is_found_through_re_exports_and_not_through_tests() {
    let cycles = |b: &str| {
        let src = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(src.path().join(name), text).unwrap();
        fs::create_dir(src.path().join("room")).unwrap();
        write("lib.rs", "pub mod room;");
        write(
            "room/mod.rs",
            "//! use crate::a;\nmod a; mod b; mod c; pub(crate) use {a::A, b::*};",
        );
        write(
            "room/a.rs",
            "use crate::room::{B, c::{self, C}};\npub struct A(pub B, C);",
        );
        write("room/b.rs", b);
        write("room/c.rs", "pub struct C;");
        Graph::of(src.path()).cycles()
    };
    let none: Vec<Vec<String>> = Vec::new();
    let alone = "pub struct B; const S: &str = \"super::A\"; // super::A\n\
        #[cfg(test)] mod tests { use super::super::A; }\n#[cfg(test)]\nfn of(_: super::A) {}\n";
    assert_eq!(cycles(alone), none);
    let both = vec![vec!["room/a".to_owned(), "room/b".to_owned()]];
    assert_eq!(
        cycles("pub struct B; fn of(a: &super::A) -> char { '\"' }"),
        both
    );
    assert_eq!(
        cycles("use super::*; pub struct B; fn of<'a>(a: &'a crate::room::A) {}"),
        both
    );
}

/// Folders of `src/bin/` whose every word goes through `common/print.rs`.
const PRINTING_FOLDERS: &[&str] = &["common", "saltworks", "saltworks-train"];

/// The macros panic where a stream is closed or full, and print control characters as they come.
#[test]
fn the_programs_print_in_one_place() {
    let mut wrong = Vec::new();
    for folder in PRINTING_FOLDERS {
        let mut paths = Vec::new();
        collect_rust_files(&repository_root().join("src/bin").join(folder), &mut paths);
        assert!(!paths.is_empty(), "{folder}");
        for path in paths
            .iter()
            .filter(|path| !path.ends_with("common/print.rs"))
        {
            let code = without_comments_and_tests(&fs::read_to_string(path).unwrap());
            let others = [
                "println!",
                "eprintln!",
                "print!",
                "eprint!",
                "dbg!",
                "stdout()",
                "anstream::",
            ];
            let found = others.iter().filter(|other| names(&code, other));
            wrong.extend(found.map(|other| format!("{}: {other}", path.display())));
        }
    }
    assert!(
        wrong.is_empty(),
        "print by out!, say! and the functions of common/print.rs:\n{}",
        wrong.join("\n")
    );
}

/// The binaries take no error without an exit code; this finds the types that they have not met yet.
#[test]
fn every_error_type_says_which_kind_of_failure_it_is() {
    let mut paths = Vec::new();
    collect_rust_files(&repository_root().join("src"), &mut paths);
    let (mut wrong, mut n_types) = (Vec::new(), 0);
    for path in paths.iter().filter(|path| !is_of_tests(path)) {
        let code = without_comments_and_tests(&fs::read_to_string(path).unwrap());
        for name in error_types_in(&code) {
            n_types += 1;
            if !names(&code, &format!("Classified for {name}")) {
                wrong.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "implement error::Classified beside the type:\n{}",
        wrong.join("\n")
    );
    assert!(n_types > 25, "the scan finds {n_types} types only");
}

#[test]
fn the_scan_sees_errors_by_derive_and_by_hand() {
    let code = "#[derive(Debug, thiserror::Error)]\n#[error(\"an enum\")]\npub enum A {}\n\
        #[derive(\n    Debug,\n    Error,\n)]\nstruct B<T>(T);\n#[derive(Debug)]\nstruct MyError;\n\
        impl std::error::Error for C {}\nimpl<T: Debug> Error for D<T> {}\nfn f(error: ThisError) {}";
    assert_eq!(error_types_in(code), ["A", "B", "C", "D"]);
}

/// Names of types that derive or implement `Error`.
fn error_types_in(code: &str) -> Vec<String> {
    let derived = code.split("#[derive(").skip(1).filter_map(|after| {
        let (traits, item) = after.split_once(")]")?;
        let mut traits = traits.split(',').map(str::trim);
        traits.find(|name| name.rsplit("::").next() == Some("Error"))?;
        let line = item.lines().find(|line| is_item(line))?;
        let (_, name) = line.split_once("enum ").or(line.split_once("struct "))?;
        Some(leading_identifier(name))
    });
    let by_hand = code.lines().filter_map(|line| {
        let (head, name) = line.split_once("Error for ")?;
        let is_the_trait = head.starts_with("impl") && !is_identifier_end(head.chars().last());
        is_the_trait.then(|| leading_identifier(name))
    });
    derived.chain(by_hand).collect()
}

fn is_item(line: &str) -> bool {
    let words = line.split_whitespace();
    let mut words = words.skip_while(|word| word.starts_with("pub"));
    matches!(words.next(), Some("enum" | "struct"))
}

#[test]
fn the_table_lists_exactly_the_rooms_that_exist() {
    let listed: BTreeSet<String> = ALLOWED_EDGES
        .iter()
        .map(|(room, _)| room.to_string())
        .collect();
    let existing: BTreeSet<String> = library_sources()
        .into_iter()
        .map(|source| source.room)
        .filter(|room| room != "lib")
        .collect();
    assert_eq!(listed, existing);
}

#[test]
fn the_page_says_what_the_table_says() {
    let page = fs::read_to_string(repository_root().join("ARCHITECTURE.md")).unwrap();
    for (room, edges) in ALLOWED_EDGES {
        let expected = match (*room, edges.is_empty()) {
            ("label", _) => "all of the above".to_owned(),
            (_, true) => "nothing".to_owned(),
            _ => edges
                .iter()
                .map(|edge| format!("`{edge}`"))
                .collect::<Vec<_>>()
                .join(", "),
        };
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{room}` |")));
        let row = row.unwrap_or_else(|| panic!("ARCHITECTURE.md has no row for {room}"));
        assert!(row.ends_with(&format!("| {expected} |")), "{room}: {row}");
    }
}

#[test]
fn the_scan_sees_nested_imports_and_not_comments() {
    let code = without_comments_and_tests(
        "use crate::tokens::Tokenizer;\nuse crate::{error::Kind, shards::{Row, Plan}};\n\
         // crate::label\n/// [`crate::demo`]\nfn f() { crate::view::g() }\n\
         #[cfg(test)]\nmod tests { use crate::teacher::Teacher; }",
    );
    let rooms: Vec<String> = rooms_named_in(&code).into_iter().collect();
    assert_eq!(rooms, ["error", "shards", "tokens", "view"]);
    assert!(names("use ort::session::Session;", "ort::"));
    assert!(!names("use crate::support::sort::by_key;", "ort::"));
}

fn is_allowed(room: &str, used: &str) -> bool {
    // The crate's root declares the rooms, and so may name each.
    room == "lib"
        || ALLOWED_EDGES
            .iter()
            .any(|(from, edges)| *from == room && edges.contains(&used))
}

/// First segments of all `crate::` paths, grouped imports included.
fn rooms_named_in(code: &str) -> BTreeSet<String> {
    code.match_indices("crate::")
        .filter(|(at, _)| !is_identifier_end(code[..*at].chars().next_back()))
        .flat_map(|(at, marker)| first_segments(&code[at + marker.len()..]))
        .collect()
}

fn first_segments(after_crate: &str) -> Vec<String> {
    let Some(group) = after_crate.strip_prefix('{') else {
        return vec![leading_identifier(after_crate)];
    };
    let mut depth = 1;
    let mut items = vec![String::new()];
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => items.push(String::new()),
            _ if depth == 1 => items.last_mut().unwrap().push(character),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    items
        .iter()
        .map(|item| leading_identifier(item.trim()))
        .filter(|segment| !segment.is_empty())
        .collect()
}

fn leading_identifier(text: &str) -> String {
    text.chars()
        .take_while(|&c| c.is_ascii_alphanumeric() || c == '_')
        .collect()
}

fn is_identifier_end(character: Option<char>) -> bool {
    character.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether `path` occurs as a path of its own and not as the end of a longer name.
fn names(code: &str, path: &str) -> bool {
    code.match_indices(path)
        .any(|(at, _)| !is_identifier_end(code[..at].chars().next_back()))
}

/// Line comments go, and so does everything from the first `#[cfg(test)]` that opens a module:
/// tests are the last thing in a file.
fn without_comments_and_tests(text: &str) -> String {
    let mut kept = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let opens_tests = line.trim() == "#[cfg(test)]"
            && lines
                .peek()
                .is_some_and(|next| next.trim_start().starts_with("mod tests"));
        if opens_tests {
            break;
        }
        if !line.trim_start().starts_with("//") {
            kept.push(line);
        }
    }
    kept.join("\n")
}

fn library_sources() -> Vec<Source> {
    let src = repository_root().join("src");
    let mut paths = Vec::new();
    collect_rust_files(&src, &mut paths);
    paths
        .into_iter()
        .filter_map(|path| source_of(&src, path))
        .collect()
}

/// None for binaries and for files that hold only tests.
fn source_of(src: &Path, path: PathBuf) -> Option<Source> {
    let relative = path.strip_prefix(src).unwrap().to_owned();
    let first = relative
        .iter()
        .next()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    if first == "bin" || is_of_tests(&relative) {
        return None;
    }
    let code = without_comments_and_tests(&fs::read_to_string(&path).unwrap());
    let room = first.trim_end_matches(".rs").to_owned();
    Some(Source {
        path: relative,
        room,
        code,
    })
}

fn is_of_tests(path: &Path) -> bool {
    let mut parts = path.iter().rev().take_while(|part| *part != "src");
    parts.any(|part| part == "tests" || part == "tests.rs")
}

fn collect_rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
}

fn library_graph() -> Graph {
    Graph::of(&repository_root().join("src"))
}

fn room_of(file: &str) -> &str {
    file.split('/').next().unwrap()
}

/// Number of the floor that `file` is on.
fn floor_of(floors: &[&str], file: &str) -> Option<usize> {
    let begins = |floor: &&str| {
        let rest = file.strip_prefix(*floor);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let fitting = floors.iter().enumerate().filter(|(_, floor)| begins(floor));
    fitting
        .max_by_key(|(_, floor)| floor.len())
        .map(|(number, _)| number)
}

fn repository_root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
