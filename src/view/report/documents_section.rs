//! Documents on the page: a figure and three tables.

use super::documents::{BitsBars, DocumentNotes, N_DRAWN_SOURCES, SourceNotes};
use super::histogram::{Part, StackedBar, panel};
use crate::figure::{Paint, Panel, Picture, Unit};
use crate::page::{
    Data, Figure, NONE, Section, cells, escape, fixed, grouped, or_none, paragraph, percent, table,
};
use crate::shards::{DocumentRow, DocumentScore};
use crate::visible::printable;

/// Maximum rows of the table of sources.
const N_SOURCES: usize = 20;

/// The section; `None` if the set has no documents.
pub(super) fn documents_section(notes: Option<&DocumentNotes>) -> Option<Section> {
    let notes = notes?;
    let body = paragraph(&notes_text(notes))
        + &bits_figure(notes)
            .as_ref()
            .map_or(String::new(), Figure::html)
        + &sources_table(&notes.sources)
        + &examples_table("lowest", &notes.lowest)
        + &examples_table("highest", &notes.highest);
    Section::of("documents", "Documents", body)
}

fn notes_text(notes: &DocumentNotes) -> String {
    let index = &notes.index;
    let n_documents = grouped(index.n_documents);
    match (index.has_sources, index.bits_per_byte) {
        (false, _) => format!(
            "{n_documents} documents have labelled targets. Their ids and bytes are not known: saltworks finalize --tokens with \
             the labelled corpus adds them."
        ),
        (true, None) => format!(
            "{n_documents} documents have labelled targets; {} are fully labelled. Their overall bits per byte are not known.",
            grouped(index.n_whole)
        ),
        (true, Some(bits)) => format!(
            "{n_documents} documents have labelled targets; {} are fully labelled: {} bits per byte of their text overall.",
            grouped(index.n_whole),
            fixed(bits, 4)
        ),
    }
}

/// Histograms of all documents and of the largest sources, over the same axis.
fn bits_figure(notes: &DocumentNotes) -> Option<Figure> {
    let all = notes.all.as_ref()?;
    let sources = notes.sources.iter();
    let drawn: Vec<(&SourceNotes, &BitsBars)> = sources
        .filter_map(|source| Some((source, source.bars.as_ref()?)))
        .collect();
    let panels: Vec<Panel> = drawn
        .iter()
        .map(|(source, bars)| panel_of(file_name(&source.source), bars))
        .collect();
    let mut rows = vec![vec![panel_of("All documents".to_owned(), all)]];
    rows.extend(panels.chunks(2).map(<[Panel]>::to_vec));
    let mut data = Data::of(&["source", "from", "to", "documents"]);
    add_bars(&mut data, "", all);
    for (source, bars) in &drawn {
        add_bars(&mut data, &source.source, bars);
    }
    let n_left = notes.sources.len() - drawn.len();
    Some(Figure {
        name: "documents",
        label: "Histograms of bits per byte of the documents".to_owned(),
        picture: Picture::of(Vec::new(), rows),
        shows: format!(
            "Percent of the documents by bits per byte of their text{}: what the teacher finds hard per byte, whatever the \
             tokens.",
            match drawn.is_empty() {
                true => "",
                false => ", of all and by source, over one axis",
            }
        ),
        caveats: hidden(notes, all, n_left),
        data,
    })
}

fn hidden(notes: &DocumentNotes, all: &BitsBars, n_sources_left: usize) -> String {
    let mut caveats =
        "How long documents are: each counts once, and short ones have the most extreme values."
            .to_owned();
    let n_in_part = notes.index.n_documents - (all.n_inside + all.n_outside);
    let counts = [
        (
            n_in_part,
            "documents are only partly labelled and have no bits per byte.",
        ),
        (
            all.n_outside,
            "lie outside the axis, at most one in 500 on either side.",
        ),
    ];
    for (n, what) in counts.into_iter().filter(|(n, _)| *n > 0) {
        caveats += &format!(" {} {what}", grouped(n));
    }
    if n_sources_left > 0 && notes.sources.len() > 1 {
        caveats += &format!(
            " Sources beyond the {N_DRAWN_SOURCES} with the most documents: {}.",
            grouped(n_sources_left as u64)
        );
    }
    caveats
}

fn add_bars(data: &mut Data, source: &str, bars: &BitsBars) {
    for (low, high, n) in &bars.bars {
        data.add(&[&source, low, high, n]);
    }
}

fn panel_of(heading: String, bars: &BitsBars) -> Panel {
    let n_all = (bars.n_inside + bars.n_outside).max(1) as f64;
    let bar = |&(low, high, n): &(f64, f64, u64)| StackedBar {
        low,
        high,
        parts: vec![Part(n, Paint::Chosen)],
        tip: format!(
            "{low:.3} to {high:.3}: {} ({})",
            grouped(n),
            percent(n as f64 / n_all)
        ),
    };
    let stacked: Vec<StackedBar> = bars.bars.iter().map(bar).collect();
    let percents = Unit {
        size: n_all / 100.0,
        suffix: "\u{202f}%",
        ..Unit::plain("")
    };
    panel(heading, "bits per byte", percents, &stacked, &[])
}

/// Short name of a source.
fn file_name(source: &str) -> String {
    printable(source.rsplit('/').next().unwrap_or(source))
}

fn sources_table(sources: &[SourceNotes]) -> String {
    let row = |source: &SourceNotes| {
        vec![
            escape(&printable(&source.source)),
            grouped(source.n_documents),
            grouped(source.n_targets),
            grouped(source.n_whole),
            grouped(source.n_bytes_whole),
            or_none(source.bits_per_byte().map(|bits| fixed(bits, 4))),
        ]
    };
    let rows: Vec<Vec<String>> = sources.iter().take(N_SOURCES).map(row).collect();
    let heads = cells([
        "Source",
        "Documents",
        "Targets",
        "Fully labelled",
        "Their bytes",
        "Bits per byte",
    ]);
    let left = match sources.len().saturating_sub(N_SOURCES) {
        0 => String::new(),
        n => format!(" The {} smaller sources are left out.", grouped(n as u64)),
    };
    let caption = format!(
        "Input files by their number of documents. Bits per byte are over all fully labelled documents of a file.{left}"
    );
    match rows.is_empty() {
        true => String::new(),
        false => table(&caption, &heads, &rows, 1),
    }
}

fn examples_table(which: &str, rows: &[DocumentRow]) -> String {
    let number = |n: Option<u64>| or_none(n.map(grouped));
    let place = |row: &DocumentRow| match (&row.source, row.record) {
        (Some(source), Some(record)) => escape(&format!("{}:{record}", printable(source))),
        _ => NONE.to_owned(),
    };
    let cells_of = |row: &DocumentRow| {
        let id = row.id.as_deref().map(printable);
        let bits = row.score(DocumentScore::BitsPerByte);
        vec![
            grouped(row.doc_index),
            or_none(id),
            place(row),
            number(row.n_bytes),
            number(row.n_tokens),
            grouped(row.n_targets),
            or_none(bits.map(|bits| fixed(bits, 3))),
        ]
    };
    let lines: Vec<Vec<String>> = rows.iter().map(cells_of).collect();
    let heads = cells([
        "Document",
        "Id",
        "Source and record",
        "Bytes",
        "Tokens",
        "Targets",
        "Bits per byte",
    ]);
    let caption = format!(
        "The {} documents with the {which} bits per byte, among those that are fully labelled.",
        lines.len()
    );
    match lines.is_empty() {
        true => String::new(),
        false => table(&caption, &heads, &lines, 3),
    }
}

#[cfg(test)]
mod tests {
    use super::super::documents::document_notes;
    use super::*;
    use crate::shards::testing::{
        concat_plan, entries, with_targets, write_documents_of, write_set_with_pieces,
    };
    use crate::shards::{LabelSet, open_documents};

    /// Documents of a set, with ids that look like markup, labelled whole; bits per byte are known if `known`.
    fn notes(known: bool) -> DocumentNotes {
        let dir = tempfile::tempdir().unwrap();
        write_set_with_pieces(dir.path(), &with_targets(concat_plan()));
        write_documents_of(dir.path(), None).unwrap();
        let set = LabelSet::open(dir.path()).unwrap();
        let mut listed = entries(90);
        for row in open_documents(&set).unwrap().1 {
            let row = row.unwrap();
            let entry = &mut listed[row.doc_index as usize];
            entry.id = Some(format!("<b>{}</b>\u{202e}", row.doc_index));
            entry.n_tokens = row.n_targets + u64::from(row.doc_index == 0);
        }
        if known {
            write_documents_of(dir.path(), Some(listed)).unwrap();
        }
        document_notes(&set).unwrap().unwrap()
    }

    #[test]
    fn every_document_is_in_a_bar_of_all_and_of_its_source() {
        let notes = notes(true);
        let csv = bits_figure(&notes).unwrap().data.csv();
        let count = |source: &str| -> u64 {
            let lines = csv.lines().skip(1);
            let of_source = lines.filter(|line| line.split(',').next() == Some(source));
            of_source
                .map(|line| line.rsplit(',').next().unwrap().parse::<u64>().unwrap())
                .sum()
        };
        assert_eq!(count(""), notes.index.n_documents);
        for source in &notes.sources {
            assert_eq!(count(&source.source), source.n_documents, "{csv}");
        }
    }

    #[test]
    fn ids_are_text_and_both_ends_have_twenty() {
        let notes = notes(true);
        let body = documents_section(Some(&notes)).unwrap().body;
        for row in notes.lowest.iter().chain(&notes.highest) {
            let id = format!("&lt;b&gt;{}&lt;/b&gt;", row.doc_index);
            assert!(body.contains(&id), "{id}");
        }
        assert!(!body.contains("<b>1") && !body.contains('\u{202e}'));
        assert!(body.contains("The 20 documents with the lowest bits per byte"));
        assert!(body.contains("The 20 documents with the highest bits per byte"));
        assert!(body.contains("in-0.jsonl"));
    }

    #[test]
    fn unknown_values_are_explained() {
        let body = documents_section(Some(&notes(false))).unwrap().body;
        assert!(
            body.contains("finalize --tokens") && !body.contains("<table>"),
            "{body}"
        );
        assert!(documents_section(None).is_none());
    }
}
