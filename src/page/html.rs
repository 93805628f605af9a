//! Small pieces of HTML, and the page built from them.

pub(crate) use crate::figure::escape;
use crate::figure::{Paint, rules, variables};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// SHA-256, in base64, of the text between the script's tags: a line feed and [`SCRIPT`]. A browser then runs
/// no other script and fetches nothing.
const SCRIPT_SHA256: &str = "9BOs/pE8t70XWWW7GPxFqAql6DZgUtMWY++l2OMeYW4=";
/// How a page names its author, up to the version.
pub(super) const GENERATOR: &str = "<meta name=\"generator\" content=\"saltworks ";
/// Shown for a value that is unknown or not there yet.
pub(crate) const NONE: &str = "\u{2013}";

/// A whole page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page {
    /// Kind of page, shown above the title.
    pub(crate) kind: &'static str,
    pub(crate) title: String,
    /// Its size, each fact in a few words.
    pub(crate) facts: Vec<String>,
    pub(crate) sections: Vec<Section>,
}

/// A part of the page with its own entry in the navigation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Section {
    /// Its anchor in the page.
    id: &'static str,
    title: &'static str,
    pub(crate) body: String,
}

impl Page {
    /// The HTML file.
    pub(crate) fn html(&self) -> String {
        let (kind, title) = (self.kind, escape(&self.title));
        let fact = |fact: &String| format!("<span>{}</span>", escape(fact));
        let facts: Vec<String> = self.facts.iter().map(fact).collect();
        let bodies: String = self.sections.iter().map(Section::html).collect();
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
             script-src 'sha256-{SCRIPT_SHA256}'; img-src data:; base-uri 'none'; form-action 'none'\">\n\
             {GENERATOR}{version}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
             <style>\n:root{{{light}}}\n@media (prefers-color-scheme: dark){{:root{{{dark}}}}}\n{rules}\n{STYLE}</style>\n\
             </head>\n<body>\n\
             <header><p class=\"eyebrow\">{kind}</p>\n<h1>{title}</h1>\n<p class=\"meta\">{facts}</p></header>\n\
             {nav}\n<main>\n{bodies}</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
            version = env!("CARGO_PKG_VERSION"),
            light = variables(false),
            dark = variables(true),
            rules = rules(true),
            facts = facts.join("\n"),
            nav = navigation(&self.sections),
        )
    }
}

impl Section {
    /// `None` if `body` is empty.
    pub(crate) fn of(id: &'static str, title: &'static str, body: String) -> Option<Self> {
        (!body.is_empty()).then_some(Self { id, title, body })
    }

    fn html(&self) -> String {
        let Section { id, title, body } = self;
        format!("<section id=\"{id}\">\n<h2>{title}</h2>\n{body}</section>\n")
    }
}

fn navigation(sections: &[Section]) -> String {
    let link = |Section { id, title, .. }: &Section| format!("<a href=\"#{id}\">{title}</a>");
    let links: Vec<String> = sections.iter().map(link).collect();
    format!("<nav aria-label=\"Sections\">{}</nav>", links.join("\n"))
}

/// Key numbers, each with its description.
pub(crate) fn tiles(tiles: &[(String, String)]) -> String {
    let tile = |(number, what): &(String, String)| {
        let (number, what) = (escape(number), escape(what));
        format!("<div><b>{number}</b><span>{what}</span></div>")
    };
    let tiles: String = tiles.iter().map(tile).collect();
    format!("<div class=\"tiles\">{tiles}</div>\n")
}

/// A list of names and values.
pub(crate) fn facts<'a>(facts: impl IntoIterator<Item = &'a (String, String)>) -> String {
    let pair = |(name, value): &(String, String)| {
        let (name, value) = (escape(name), escape(value));
        format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n")
    };
    let pairs: String = facts.into_iter().map(pair).collect();
    format!("<dl class=\"facts\">\n{pairs}</dl>\n")
}

/// Reasons why a page's numbers may mislead; empty without any.
pub(crate) fn warnings(warnings: &[String]) -> String {
    match warnings {
        [] => String::new(),
        warnings => format!(
            "<div class=\"warnings\" role=\"note\"><b>Read this first</b>\n{}</div>\n",
            list(warnings)
        ),
    }
}

/// A list of sentences.
pub(crate) fn list(texts: &[String]) -> String {
    let item = |text: &String| format!("<li>{}</li>", escape(text));
    let items: String = texts.iter().map(item).collect();
    format!("<ul>{items}</ul>\n")
}

/// The name of an arm with a dot in its colour.
pub(crate) fn arm_name(name: &str, slot: usize) -> String {
    let paint = Paint::Arm(slot).name();
    format!(
        "<span class=\"dot\" data-arm=\"{slot}\" style=\"background:var(--{paint})\"></span>{}",
        escape(name)
    )
}

/// A value with its standard deviation, which wraps to the next line if there is no room.
pub(crate) fn value_cell(text: &str) -> String {
    match text.split_once(" \u{b1} ") {
        Some((value, deviation)) => format!(
            "{} <span class=\"dev\">\u{b1}\u{202f}{}</span>",
            escape(value),
            escape(deviation)
        ),
        None => escape(text),
    }
}

/// Escaped cells.
pub(crate) fn cells<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Vec<String> {
    texts
        .into_iter()
        .map(|text| escape(text.as_ref()))
        .collect()
}

pub(crate) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text))
}

/// A value, or [`NONE`].
pub(crate) fn or_none(text: Option<String>) -> String {
    text.map_or(NONE.to_owned(), |text| escape(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_policy_of_the_page_allows_the_script_that_is_in_it() {
        let hash = STANDARD.encode(Sha256::digest(format!("\n{SCRIPT}")));
        assert_eq!(SCRIPT_SHA256, hash, "page.js was changed");
    }
}
