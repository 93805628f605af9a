//! Text with each token coloured by the teacher's surprise.

use super::passages::Passage;
use crate::page::{Section, cells, escape, fixed, grouped, or_none, table};
use crate::view::pieces::pieces;
use crate::view::row::TokenView;
use crate::view::surprise::{SURPRISE_LEGEND, Surprise};
use crate::visible::printable;

/// The text of some whole characters, and their tokens.
type Piece<'a> = (String, Vec<&'a TokenView>);

pub(crate) fn text_section(passages: &[Passage]) -> Option<Section> {
    let legend = SURPRISE_LEGEND.map(|(step, text)| {
        format!(
            "<span class=\"k\"><span class=\"t {}\">text</span> {}</span>",
            class(step),
            escape(text)
        )
    });
    if passages.is_empty() {
        return None;
    }
    let body = format!(
        "<p>Each token of a few sequences, shaded by the probability p that the teacher gives it after everything \
         before it in the sequence; the first one is not predicted. Point at a token, or tap it, for its probability, \
         its rank (how many ids the teacher ranks above it) and the entropy of the teacher\u{2019}s distribution there.</p>\n<p class=\"key\">{}</p>\n{}\
         <p class=\"note\"><b>Not shown:</b> what trained models think of the text; these few sequences are picked \
         by their scores and are not representative.</p>\n",
        legend.join("\n"),
        passages.iter().map(passage).collect::<String>(),
    );
    Section::of("text", "The text, as the teacher sees it", body)
}

fn passage(passage: &Passage) -> String {
    let pieces: String = pieces_of(passage).iter().map(span).collect();
    let scores: String = passage
        .row
        .scores
        .iter()
        .map(|(name, value)| {
            let name = name
                .strip_prefix("score_")
                .unwrap_or(name)
                .replace('_', " ");
            let value = value.map_or("none".to_owned(), |value| fixed(value, 3));
            format!(
                "<div><dt>{}</dt><dd>{}</dd></div>",
                escape(&name),
                escape(&value)
            )
        })
        .collect();
    let n_shown = passage.row.tokens.len();
    let n_all = passage.row.n_targets as usize + 1;
    let cut = match n_shown < n_all {
        true => format!(
            "<p class=\"note\">The first {n_shown} of {} tokens.</p>",
            grouped(n_all as u64)
        ),
        false => String::new(),
    };
    format!(
        "<article>\n<h3>Sequence {} <small>{}</small></h3>\n<dl class=\"scores\">{scores}</dl>\n\
         <p class=\"tokens\">{pieces}</p>{cut}\n<details><summary>Token by token</summary>{}</details>\n</article>\n",
        grouped(passage.row.seq_id),
        escape(passage.why),
        token_table(passage),
    )
}

fn pieces_of(passage: &Passage) -> Vec<Piece<'_>> {
    let tokens = passage.bytes.iter().cloned().zip(&passage.row.tokens);
    pieces(tokens)
}

fn span((text, tokens): &Piece<'_>) -> String {
    let surprises = tokens.iter().map(|token| Surprise::of(token.logprob));
    let tips: Vec<String> = tokens.iter().map(|token| tip(token)).collect();
    format!(
        "<span class=\"t {}\" title=\"{}\">{}</span>",
        class(surprises.max().unwrap_or(Surprise::Unknown)),
        escape(&tips.join("\n")),
        escape(text)
    )
}

/// What is known about a token, in one or two lines.
fn tip(token: &TokenView) -> String {
    let name = printable(&token.text);
    let Some(prob) = token.prob else {
        return match token.offset {
            0 => format!("{name}: the first token, not predicted"),
            _ => format!("{name}: not among what the labels hold"),
        };
    };
    let mut text = format!("{name}: p {}", probability(prob));
    if let Some(rank) = token.rank {
        text += &format!(
            ", rank {} (0 = the teacher\u{2019}s best)",
            grouped(u64::from(rank))
        );
    }
    if let Some(entropy) = token.entropy {
        text += &format!(", entropy {} nats", fixed(f64::from(entropy), 2));
    }
    let best: Vec<String> = token
        .alternatives
        .iter()
        .map(|other| format!("{} {}", printable(&other.text), probability(other.prob)))
        .collect();
    if !best.is_empty() {
        text += &format!("\nbest: {}", best.join(", "));
    }
    text
}

fn probability(prob: f32) -> String {
    match prob {
        p if p >= 0.0995 => format!("{p:.2}"),
        p if p >= 0.001 => format!("{p:.3}"),
        p => format!("{p:.0e}"),
    }
}

fn class(surprise: Surprise) -> &'static str {
    match surprise {
        Surprise::Unknown => "tu",
        Surprise::Certain => "t0",
        Surprise::Likely => "t1",
        Surprise::Open => "t2",
        Surprise::Surprising => "t3",
        Surprise::Shocking => "t4",
    }
}

fn token_table(passage: &Passage) -> String {
    let rows: Vec<Vec<String>> = passage
        .row
        .tokens
        .iter()
        .map(|token| {
            let best = token.alternatives.first();
            let best = best.map_or(String::new(), |other| {
                format!("{} {}", printable(&other.text), probability(other.prob))
            });
            vec![
                format!("<code>{}</code>", escape(&printable(&token.text))),
                or_none(token.prob.map(probability)),
                or_none(token.rank.map(|rank| grouped(u64::from(rank)))),
                or_none(token.entropy.map(|entropy| fixed(f64::from(entropy), 2))),
                format!("<code>{}</code>", escape(&best)),
            ]
        })
        .collect();
    table(
        "Probability and rank (0 = the teacher\u{2019}s best) under the teacher, entropy in nats, and the teacher\u{2019}s best id.",
        &cells(["Token", "p", "Rank", "Entropy", "Best"]),
        &rows,
        1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::report::scores::Scored;
    use crate::view::row::{Alternative, RowView};

    fn token(offset: u32, text: &str, prob: Option<f32>) -> TokenView {
        TokenView {
            offset,
            id: offset,
            text: text.to_owned(),
            logprob: prob.map(f32::ln),
            prob,
            rank: prob.map(|_| 4),
            entropy: prob.map(|_| 2.5),
            tail_mass: None,
            alternatives: vec![Alternative {
                id: 9,
                text: "<best> &".to_owned(),
                prob: 0.25,
            }],
            draws: Vec::new(),
        }
    }

    fn of_tokens(tokens: &[(&[u8], Option<f32>)]) -> Passage {
        let bytes: Vec<Vec<u8>> = tokens.iter().map(|(bytes, _)| bytes.to_vec()).collect();
        let views = tokens
            .iter()
            .enumerate()
            .map(|(i, (bytes, prob))| token(i as u32, &String::from_utf8_lossy(bytes), *prob));
        Passage {
            why: "kept",
            scored: Scored {
                seq_id: 7,
                score: Some(2.0),
                is_kept: Some(true),
            },
            row: RowView {
                seq_id: 7,
                n_targets: tokens.len() as u32 - 1,
                scores: vec![("score_salt", None), ("score_mean_nll", Some(4.25))],
                documents: Vec::new(),
                text: String::new(),
                tokens: views.collect(),
            },
            bytes,
        }
    }

    #[test]
    fn tokens_that_look_like_markup_or_control_a_terminal_are_shown_as_text() {
        let passage = of_tokens(&[
            (b"</p><script>", None),
            (b"\"&'", Some(0.5)),
            (b"\x1b[2J\x00\r", Some(0.5)),
        ]);
        let html = text_section(&[passage]).unwrap().body;
        assert!(html.contains("&lt;/p&gt;&lt;script&gt;"), "{html}");
        assert!(html.contains("&quot;&amp;&#39;"), "{html}");
        assert!(html.contains("best: &lt;best&gt; &amp; 0.25"), "{html}");
        assert!(!html.contains("<script>") && !html.contains("<best>"));
        assert!(html.chars().all(|c| !c.is_control() || c == '\n'));
    }

    #[test]
    fn a_character_split_over_tokens_is_one_piece_with_what_is_said_of_each() {
        let euro = "€".as_bytes();
        let passage = of_tokens(&[
            (b"a", None),
            (&euro[..1], Some(0.95)),
            (&euro[1..], Some(0.001)),
            (b"\xff", Some(0.5)),
        ]);
        let pieces = pieces_of(&passage);
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.0.as_str()).collect();
        assert_eq!(texts, ["a", "€", "\u{fffd}"]);
        let html = span(&pieces[1]);
        // The more surprising one determines the colour.
        assert!(html.starts_with("<span class=\"t t4\""), "{html}");
        assert_eq!(html.matches("entropy 2.50 nats").count(), 2);
    }

    #[test]
    fn what_is_said_of_a_token_is_its_probability_rank_and_entropy() {
        let tip = tip(&token(3, "house", Some(0.125)));
        assert_eq!(
            tip,
            "house: p 0.12, rank 4 (0 = the teacher\u{2019}s best), entropy 2.50 nats\nbest: <best> & 0.25"
        );
    }

    #[test]
    fn a_score_that_a_sequence_has_not_is_none_and_the_first_token_is_not_predicted() {
        let html = text_section(&[of_tokens(&[(b"a", None), (b"b", Some(0.5))])])
            .unwrap()
            .body;
        assert!(html.contains("<dt>salt</dt><dd>none</dd>"), "{html}");
        assert!(html.contains("<dt>mean nll</dt><dd>4.250</dd>"), "{html}");
        assert!(html.contains("a: the first token, not predicted"), "{html}");
        assert!(text_section(&[]).is_none());
    }
}
