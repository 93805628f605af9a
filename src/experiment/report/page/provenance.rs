//! Where all this comes from.

use super::contents::Contents;
use super::html::{Section, escape};

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
    let pairs: String = all
        .map(|(name, value)| {
            format!(
                "<div><dt>{}</dt><dd>{}</dd></div>\n",
                escape(name),
                escape(value)
            )
        })
        .collect();
    let mut body = format!("<dl class=\"facts\">\n{pairs}</dl>\n");
    if !contents.inputs.commands.is_empty() {
        let commands: Vec<String> = contents
            .inputs
            .commands
            .iter()
            .map(|line| escape(line))
            .collect();
        body += &format!(
            "<h3>Commands</h3>\n<pre tabindex=\"0\">{}</pre>\n",
            commands.join("\n")
        );
    }
    if !contents.notes.is_empty() {
        let notes: String = contents
            .notes
            .iter()
            .map(|note| format!("<li>{}</li>", escape(note)))
            .collect();
        body += &format!("<h3>Left out</h3>\n<ul>{notes}</ul>\n");
    }
    Some(Section {
        id: "provenance",
        title: "Provenance",
        body,
    })
}
