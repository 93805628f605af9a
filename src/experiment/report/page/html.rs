//! Small pieces of HTML.

use super::super::figure::{Figure, NARROW, WIDE};
use crate::figure::Paint;
pub(super) use crate::figure::escape;

/// A part of the page with an entry of its own in the navigation.
pub(super) struct Section {
    /// Its address in the page.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) body: String,
}

impl Section {
    pub(super) fn html(&self) -> String {
        let Section { id, title, body } = self;
        format!("<section id=\"{id}\">\n<h2>{title}</h2>\n{body}</section>\n")
    }
}

pub(super) fn navigation(sections: &[Section]) -> String {
    let link = |Section { id, title, .. }: &Section| format!("<a href=\"#{id}\">{title}</a>");
    let links: Vec<String> = sections.iter().map(link).collect();
    format!("<nav aria-label=\"Sections\">{}</nav>", links.join("\n"))
}

/// A figure with its caption.
pub(super) fn figure(figure: &Figure) -> String {
    let label = &figure.label;
    format!(
        "<figure>\n<div class=\"wide\">{}</div>\n<div class=\"narrow\">{}</div>\n\
         <figcaption><p>{}</p><p><b>Not shown:</b> {}</p></figcaption>\n</figure>\n",
        figure.picture.inline(WIDE, label),
        figure.picture.inline(NARROW, label),
        escape(&figure.shows),
        escape(&lower_first(&figure.hides)),
    )
}

/// A sentence goes on after a colon in small letters.
fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first)
            if text.chars().nth(1).is_some_and(char::is_lowercase) || text.starts_with("A ") =>
        {
            first.to_lowercase().chain(characters).collect()
        }
        _ => text.to_owned(),
    }
}

/// The name of an arm with its colour.
pub(super) fn arm_name(name: &str, slot: usize) -> String {
    let paint = Paint::Arm(slot).name();
    format!(
        "<span class=\"dot\" data-arm=\"{slot}\" style=\"background:var(--{paint})\"></span>{}",
        escape(name)
    )
}

/// A table that scrolls by itself where it is wider than the window. The first column stays.
/// Cells are HTML; columns after the first `n_text` hold numbers.
pub(super) fn table(
    caption: &str,
    heads: &[String],
    rows: &[Vec<String>],
    n_text: usize,
) -> String {
    let cell = |tag: &str, i: usize, html: &str| {
        let class = if i >= n_text { " class=\"n\"" } else { "" };
        let scope = match (tag, i) {
            ("thead", _) => " scope=\"col\"",
            (_, 0) => " scope=\"row\"",
            _ => "",
        };
        let name = if scope.is_empty() { "td" } else { "th" };
        format!("<{name}{scope}{class}>{html}</{name}>")
    };
    let line = |tag: &str, cells: &[String]| {
        let cells: String = cells
            .iter()
            .enumerate()
            .map(|(i, html)| cell(tag, i, html))
            .collect();
        format!("<tr>{cells}</tr>\n")
    };
    let body: String = rows.iter().map(|row| line("tbody", row)).collect();
    let caption = escape(caption);
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"><table>\n<thead>{}</thead>\n<tbody>\n{body}</tbody></table></div>\n\
         <p class=\"note\">{caption}</p>\n",
        line("thead", heads),
    )
}

/// A value with its deviation, which goes beneath it where there is no room beside.
pub(super) fn value_cell(text: &str) -> String {
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
pub(super) fn cells<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Vec<String> {
    texts
        .into_iter()
        .map(|text| escape(text.as_ref()))
        .collect()
}

pub(super) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text))
}
