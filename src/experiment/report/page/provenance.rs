//! Where the results come from.

use super::contents::Contents;
use crate::page::{Section, escape, facts, list};

pub(super) fn section(contents: &Contents<'_>) -> Option<Section> {
    let results = contents.comparison.results;
    let own = [
        ("Results written by".to_owned(), results.created_by.clone()),
        (
            "Report written by".to_owned(),
            format!("saltworks {}", env!("CARGO_PKG_VERSION")),
        ),
        (
            "Seeds".to_owned(),
            results
                .seeds
                .iter()
                .map(u64::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        ),
    ];
    let all = own
        .iter()
        .chain(&contents.facts)
        .chain(&contents.inputs.provenance);
    let mut body = facts(all);
    let own = contents.history.lines().into_iter();
    let commands: Vec<String> = own
        .chain(contents.inputs.commands.iter().cloned())
        .collect();
    if !commands.is_empty() {
        let lines = escape(&commands.join("\n"));
        body += &format!("<h3>Commands</h3>\n<pre tabindex=\"0\">{lines}</pre>\n");
    }
    if !contents.notes.is_empty() {
        body += &format!("<h3>Left out</h3>\n{}", list(&contents.notes));
    }
    Section::of("provenance", "Provenance", body)
}
