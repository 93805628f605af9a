//! Tables: as HTML, and as CSV.

use super::html::escape;
use std::fmt::Display;

/// The numbers of a figure.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Data {
    /// Names of the columns.
    columns: &'static [&'static str],
    /// One value per column; empty if there is none.
    rows: Vec<Vec<String>>,
}

impl Data {
    /// Without a row yet.
    pub(crate) fn of(columns: &'static [&'static str]) -> Self {
        let rows = Vec::new();
        Self { columns, rows }
    }

    /// A row.
    pub(crate) fn add(&mut self, cells: &[&dyn Display]) {
        self.rows
            .push(cells.iter().map(ToString::to_string).collect());
    }

    /// As in RFC 4180, but with line feeds.
    pub(crate) fn csv(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            cells.map(csv_cell).collect::<Vec<_>>().join(",") + "\n"
        };
        let head = line(&mut self.columns.iter().copied());
        let rows = self.rows.iter();
        let rows = rows.map(|row| line(&mut row.iter().map(String::as_str)));
        std::iter::once(head).chain(rows).collect()
    }

    /// A link that holds the CSV itself, to be saved as `name`.
    pub(super) fn link(&self, name: &str) -> String {
        let href = percent_encoded(&self.csv());
        format!(
            "<a class=\"csv\" download=\"{0}\" href=\"data:text/csv;charset=utf-8,{href}\">{0}</a>",
            escape(name)
        )
    }
}

/// In quotes if necessary. Text that a spreadsheet would read as a formula gets an apostrophe in front.
fn csv_cell(text: &str) -> String {
    let is_formula =
        text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
    let text = if is_formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

/// Percent-encoded for a link: letters, digits and a few signs stay.
fn percent_encoded(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() * 5 / 4);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b',' => {
                safe.push(char::from(byte));
            }
            byte => safe += &format!("%{byte:02X}"),
        }
    }
    safe
}

/// A value, or an empty cell.
pub(crate) fn or_empty(value: Option<impl Display>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

/// A table that scrolls if it is wider than the window. The first column stays. Cells are HTML; columns after
/// the first `n_text` hold numbers.
pub(crate) fn table(
    caption: &str,
    heads: &[String],
    rows: &[Vec<String>],
    n_text: usize,
) -> String {
    let cell = |is_head: bool, i: usize, html: &str| {
        let class = if i >= n_text { " class=\"n\"" } else { "" };
        match (is_head, i) {
            (true, _) => format!("<th scope=\"col\"{class}>{html}</th>"),
            (_, 0) => format!("<th scope=\"row\"{class}>{html}</th>"),
            _ => format!("<td{class}>{html}</td>"),
        }
    };
    let line = |is_head: bool, cells: &[String]| {
        let cells = cells.iter().enumerate();
        let cells: String = cells.map(|(i, html)| cell(is_head, i, html)).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let body: String = rows.iter().map(|row| line(false, row)).collect();
    let caption = escape(caption);
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"><table>\n<thead>{}</thead>\n<tbody>\n{body}</tbody></table></div>\n\
         <p class=\"note\">{caption}</p>\n",
        line(true, heads),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_what_would_end_a_cell_and_runs_no_formula() {
        let mut data = Data::of(&["arm", "nll"]);
        data.add(&[&"a,\"b\"\n", &-0.5]);
        data.add(&[&"=1+1", &"+0.25"]);
        let csv = "arm,nll\n\"a,\"\"b\"\"\n\",-0.5\n'=1+1,+0.25\n";
        assert_eq!(data.csv(), csv);
        let link = data.link("a\".csv");
        assert!(
            link.contains("arm,nll%0A%22a,%22%22b%22%22%0A%22,-0.5%0A"),
            "{link}"
        );
        assert!(link.contains("download=\"a&quot;.csv\""), "{link}");
    }
}
