//! The page: sections, each left out where there is nothing for it.
//!
//! Style and script are in the page itself, the script only adds to what is there without it. No
//! address of any kind is in an attribute that a browser would load, and the page's own policy
//! (Content-Security-Policy) forbids that, and any script but its own.

mod contents;
mod costs;
mod figures;
mod html;
mod provenance;
mod story;
mod teacher;
mod text;

pub(super) use contents::Contents;

use crate::figure::{rules, variables};
use html::{Section, escape, navigation};

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");
/// SHA-256, in base64, of what is between the script's tags: a line feed and [`SCRIPT`]. A browser runs
/// no other script, and fetches nothing.
const SCRIPT_SHA256: &str = "bx27LUy86XYsNC0WbRSiJ9mM0ck2UehWFmYuojasBK0=";

/// The whole file.
pub(super) fn page(contents: &Contents<'_>) -> String {
    let sections: Vec<Section> = [
        story::section(contents),
        figures::curves(contents),
        figures::reaching(contents),
        figures::section(contents, "buckets", "Easy, medium, hard", "buckets"),
        teacher::section(contents),
        figures::section(contents, "scores", "Which sequences", "scores"),
        text::section(&contents.passages),
        costs::section(contents.comparison),
        provenance::section(contents),
    ]
    .into_iter()
    .flatten()
    .collect();
    let title = escape(&contents.comparison.results.name);
    let bodies: String = sections.iter().map(Section::html).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'sha256-{SCRIPT_SHA256}'; img-src data:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n:root{{{light}}}\n@media (prefers-color-scheme: dark){{:root{{{dark}}}}}\n{rules}\n{STYLE}</style>\n\
         </head>\n<body>\n{header}\n{nav}\n<main>\n{bodies}</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        light = variables(false),
        dark = variables(true),
        rules = rules(true),
        header = story::header(contents.comparison),
        nav = navigation(&sections),
    )
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
        assert_eq!(SCRIPT_SHA256, hash, "report.js was changed");
    }
}
