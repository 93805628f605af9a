//! Encodes long texts in pieces: the ids are those of the whole text, with the memory of a piece.
//!
//! A tokenizer needs a hundred times the memory of its text, so a long text is encoded in overlapping windows. In an
//! overlap two neighbours see the same text, one with all that comes before it and one with all that follows. Where
//! they agree over a stretch, in ids, offsets and word starts, their ids are joined in the middle of it.
//!
//! Why this is exact: added tokens, normalizers and pre-tokenizers work from left to right, so from a place where two
//! runs agree the next words depend only on the text from there on, as long as no rule looks further than the length of
//! the stretch. Words are then encoded one by one, so a join at a word start ([`JoinPoints::Words`]) gives the ids of the
//! whole text. BPE may also be joined inside a word ([`JoinPoints::Tokens`]): merges are made by rank and then from the
//! left, so a sequence of tokens is that of the whole word exactly if every two neighbours are what those two alone
//! would give: the first merge across a boundary would also happen in a run over those two. Every two neighbours in the
//! joined sequence lie in one of the windows, since the windows agree around the join. A Unigram model has no such
//! rule: the rounding of the score of everything before decides between equal paths.
//!
//! Where windows do not agree, as inside one endless word, they grow; above a limit the text is encoded whole if it is
//! short enough, and otherwise refused.

use std::ops::Range;

/// A text up to this many bytes is encoded at once.
pub(super) const WHOLE_BYTES: usize = 128 << 10;
const PIECE_BYTES: usize = 64 << 10;
/// Bytes that two windows share on either side of a cut, at first and at most.
const CONTEXT_BYTES: usize = 2 << 10;
pub(super) const MAX_CONTEXT_BYTES: usize = 256 << 10;
/// A text up to this many bytes is encoded at once if its windows do not agree.
const MAX_WHOLE_BYTES: usize = 4 << 20;

/// Where the ids of two windows may be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JoinPoints {
    /// At a word start of the pre-tokenizer.
    Words,
    /// As above, and some characters give no token, so that a gap without tokens tells nothing.
    WordsWithGaps,
    /// Between any two tokens.
    Tokens,
}

/// One token of a window; offsets are bytes in the whole text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) id: u32,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) is_word_start: bool,
}

/// Why a text could not be encoded in pieces.
#[derive(Debug)]
pub(super) enum PiecesError<E> {
    /// Windows around this byte do not agree.
    NoJoin { at: usize },
    /// An error of the caller's functions.
    Caller(E),
}

/// Size limits, which tests make small.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) whole: usize,
    pub(super) piece: usize,
    pub(super) context: usize,
    pub(super) max_context: usize,
    pub(super) max_whole: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            whole: WHOLE_BYTES,
            piece: PIECE_BYTES,
            context: CONTEXT_BYTES,
            max_context: MAX_CONTEXT_BYTES,
            max_whole: MAX_WHOLE_BYTES,
        }
    }
}

/// The caller's functions for windows and ids.
pub(super) struct Steps<W, E, I> {
    /// Ids of a whole text.
    pub(super) whole: W,
    /// Tokens of a window.
    pub(super) window: E,
    /// Takes ids, in order.
    pub(super) sink: I,
}

/// Passes the ids of `text` to the sink, in order and in pieces, equal to those of `encode(text)`.
pub(super) fn encode_pieces<Error: Send>(
    text: &str,
    join_points: JoinPoints,
    sizes: Sizes,
    mut steps: Steps<
        impl Fn(&str) -> Result<Vec<u32>, Error>,
        impl Fn(&str, Range<usize>) -> Result<Vec<Placed>, Error> + Sync,
        impl FnMut(&[u32]) -> Result<(), Error>,
    >,
) -> Result<(), PiecesError<Error>> {
    let caller = PiecesError::Caller;
    if text.len() <= sizes.whole {
        let ids = (steps.whole)(text).map_err(caller)?;
        return (steps.sink)(&ids).map_err(caller);
    }
    if text.len() > sizes.max_whole {
        return encode_windows(text, join_points, sizes, &steps.window, steps.sink);
    }
    let mut ids = Vec::new();
    let collected = encode_windows(text, join_points, sizes, &steps.window, |piece| {
        ids.extend_from_slice(piece);
        Ok(())
    });
    match collected {
        Err(PiecesError::NoJoin { .. }) => ids = (steps.whole)(text).map_err(caller)?,
        other => other?,
    }
    (steps.sink)(&ids).map_err(caller)
}

/// A window and its tokens.
struct Window {
    range: Range<usize>,
    tokens: Vec<Placed>,
}

fn encode_windows<Error: Send>(
    text: &str,
    join_points: JoinPoints,
    sizes: Sizes,
    encode: &(impl Fn(&str, Range<usize>) -> Result<Vec<Placed>, Error> + Sync),
    mut sink: impl FnMut(&[u32]) -> Result<(), Error>,
) -> Result<(), PiecesError<Error>> {
    use rayon::prelude::*;
    let n_pieces = text.len().div_ceil(sizes.piece);
    let window = |range: Range<usize>| -> Result<Window, PiecesError<Error>> {
        let range = on_characters(text, range);
        let tokens = encode(text, range.clone()).map_err(PiecesError::Caller)?;
        Ok(Window { range, tokens })
    };
    let nominal = |piece: usize| {
        let start = (piece * sizes.piece).saturating_sub(sizes.context);
        start..(piece + 1) * sizes.piece + sizes.context
    };
    let mut ids = Vec::new();
    let mut send = |tokens: &[Placed]| {
        ids.clear();
        ids.extend(tokens.iter().map(|token| token.id));
        sink(&ids).map_err(PiecesError::Caller)
    };
    // The window whose tokens from `from` on have not been sent yet.
    let mut open: Option<(Window, usize)> = None;
    let n_at_once = rayon::current_num_threads().max(1);
    for first in (0..n_pieces).step_by(n_at_once) {
        let pieces = first..(first + n_at_once).min(n_pieces);
        let windows: Vec<_> = pieces
            .clone()
            .into_par_iter()
            .map(|k| window(nominal(k)))
            .collect();
        for (piece, right) in pieces.zip(windows) {
            let right = right?;
            let Some((left, from)) = open.take() else {
                open = Some((right, 0));
                continue;
            };
            let cut = Cut {
                at: piece * sizes.piece,
                join_points,
                sizes,
            };
            let joined = cut.join(left, from, right, &window)?;
            send(&joined.left.tokens[from..joined.left_end])?;
            open = Some((joined.right, joined.right_start));
        }
    }
    match open {
        Some((last, from)) => send(&last.tokens[from..]),
        None => Ok(()),
    }
}

/// Widens a range to character boundaries, inside the text.
fn on_characters(text: &str, range: Range<usize>) -> Range<usize> {
    text.floor_char_boundary(range.start)..text.ceil_char_boundary(range.end.min(text.len()))
}

/// A place near which to join two windows.
struct Cut {
    at: usize,
    join_points: JoinPoints,
    sizes: Sizes,
}

/// Two windows, and which of their tokens count.
struct Joined {
    left: Window,
    left_end: usize,
    right: Window,
    right_start: usize,
}

impl Cut {
    /// Joins two windows, which are encoded again with more context until they agree. The first `from` tokens of the
    /// left one belong to its own neighbour.
    fn join<Error>(
        &self,
        mut left: Window,
        from: usize,
        mut right: Window,
        window: &impl Fn(Range<usize>) -> Result<Window, PiecesError<Error>>,
    ) -> Result<Joined, PiecesError<Error>> {
        let mut context = self.sizes.context;
        loop {
            if let Some((left_end, right_start)) = self.find(&left, from, &right) {
                return Ok(Joined {
                    left,
                    left_end,
                    right,
                    right_start,
                });
            }
            context *= 4;
            if context > self.sizes.max_context {
                return Err(PiecesError::NoJoin { at: self.at });
            }
            let first = left.tokens.get(from).copied();
            left = window(left.range.start..self.at + context)?;
            if first.is_some() && left.tokens.get(from).copied() != first {
                // Text that follows has changed earlier tokens: with such rules no join is safe.
                return Err(PiecesError::NoJoin { at: self.at });
            }
            right =
                window(self.at.saturating_sub(context)..right.range.end.max(self.at + context))?;
        }
    }

    /// Number of tokens to keep of the left window, and the first token to keep of the right one.
    fn find(&self, left: &Window, from: usize, right: &Window) -> Option<(usize, usize)> {
        let low = right.range.start.max(left.range.start);
        let high = left.range.end;
        let in_left = left
            .tokens
            .partition_point(|token| token.start < low)
            .max(from);
        let in_right = right.tokens.partition_point(|token| token.start < high);
        let (a, b) = (left.tokens.get(in_left..)?, &right.tokens[..in_right]);
        let is_covered = in_left > 0 && left.tokens[in_left - 1].end > low;
        if a.is_empty()
            && b.is_empty()
            && !is_covered
            && self.join_points != JoinPoints::WordsWithGaps
        {
            return Some((in_left, 0));
        }
        let run = longest_run(a, b);
        let needed = (high - low) / 2;
        let (first, last) = (a.get(run.a.start)?, a.get(run.a.end.checked_sub(1)?)?);
        if last.end.saturating_sub(first.start) < needed {
            return None;
        }
        let middle = first.start + (last.end - first.start) / 2;
        let quarter = needed / 4;
        let inside = first.start + quarter..last.end - quarter;
        let best = run
            .a
            .clone()
            .skip(1)
            .filter(|&i| inside.contains(&a[i].start) && self.is_allowed(&a[i - 1], &a[i]))
            .min_by_key(|&i| a[i].start.abs_diff(middle))?;
        Some((in_left + best, run.b_start + (best - run.a.start)))
    }

    fn is_allowed(&self, before: &Placed, after: &Placed) -> bool {
        match self.join_points {
            JoinPoints::Words | JoinPoints::WordsWithGaps => after.is_word_start,
            // The byte tokens of one character all have its range.
            JoinPoints::Tokens => before.end <= after.start,
        }
    }
}

/// Consecutive tokens that are the same in two windows.
struct Run {
    a: Range<usize>,
    b_start: usize,
}

/// The run that covers the most bytes.
fn longest_run(a: &[Placed], b: &[Placed]) -> Run {
    let (mut i, mut j) = (0, 0);
    let mut best = Run {
        a: 0..0,
        b_start: 0,
    };
    let mut best_bytes = 0;
    while i < a.len() && j < b.len() {
        let n = std::iter::zip(&a[i..], &b[j..])
            .take_while(|(x, y)| x == y)
            .count();
        if n > 0 {
            let bytes = a[i + n - 1].end.saturating_sub(a[i].start);
            if bytes >= best_bytes {
                best_bytes = bytes;
                best = Run {
                    a: i..i + n,
                    b_start: j,
                };
            }
            i += n;
            j += n;
        } else if a[i].start < b[j].start {
            i += 1;
        } else if b[j].start < a[i].start {
            j += 1;
        } else {
            i += 1;
            j += 1;
        }
    }
    best
}
