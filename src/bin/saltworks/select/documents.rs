//! `saltworks select --by document`.

use super::{Args, Report};
use crate::common::exit::Result;
use crate::common::print::{self, out};
use crate::common::progress::Display;
use crate::terminal;
use saltworks::select::{DocumentPolicy, DocumentSummary, SelectError, select_documents};
use saltworks::shards::{DocumentScore, LabelSet, open_documents};
use saltworks::view::render_document_selection;

pub(super) fn run(args: &Args, labels: &LabelSet, minus: Option<&LabelSet>) -> Result<()> {
    let policy = policy(args)?;
    let display = Display::new(open_documents(labels)?.0.n_documents, "documents");
    let mut n_done = 0;
    let summary = select_documents(labels, minus, &policy, &args.output, |n_documents| {
        n_done += n_documents;
        display.at(n_done);
    });
    display.finish();
    print(args, &summary?)
}

fn print(args: &Args, summary: &DocumentSummary) -> Result<()> {
    if args.json.is_asked {
        print::json(
            &Report {
                output: &args.output,
                summary,
                preview: None,
            },
            true,
        )?;
        return Ok(());
    }
    print::styled(&render_document_selection(summary, terminal::width()));
    out!();
    out!("written to {}", args.output.display());
    Ok(())
}

fn policy(args: &Args) -> Result<DocumentPolicy, SelectError> {
    if args.preview {
        return Err(SelectError::Policy {
            what: "--preview",
            expected: "it to be left out with --by document, as it shows sequences",
            got: "given".to_owned(),
        });
    }
    let score = args.score.map(super::AnyScore::of_document).transpose()?;
    Ok(DocumentPolicy {
        order: args.order(),
        score: score.unwrap_or(DocumentScore::BitsPerByte),
        amount: args.amount(),
        min_learnable: args.min_learnable,
        per: args.per,
        join: args.join,
    })
}
