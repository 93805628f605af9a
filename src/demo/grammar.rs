//! Sentences: phrases that agree in number and tense, over the words of a topic.

use super::draws::Draws;
use super::lexicon::{Field, Lexicon, Noun, Verb, capitalised};

/// Tense of a document's events; all its verbs agree with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tense {
    Past,
    Present,
}

/// A noun phrase, with the number that its verb must agree with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Phrase {
    pub(super) text: String,
    pub(super) is_plural: bool,
}

impl Phrase {
    pub(super) fn singular(text: impl Into<String>) -> Self {
        Phrase {
            text: text.into(),
            is_plural: false,
        }
    }
}

/// Draws words of one topic, mixed with common words.
pub(super) struct Speaker<'a> {
    lexicon: &'a Lexicon,
    topic: &'a Field,
    tense: Tense,
}

impl<'a> Speaker<'a> {
    pub(super) fn new(lexicon: &'a Lexicon, topic_idx: usize, tense: Tense) -> Self {
        Speaker {
            lexicon,
            topic: &lexicon.topics[topic_idx],
            tense,
        }
    }

    fn field(&self, draws: &mut Draws) -> &'a Field {
        if draws.chance(70) {
            self.topic
        } else {
            &self.lexicon.common
        }
    }

    pub(super) fn noun(&self, draws: &mut Draws) -> &'a Noun {
        let nouns = &self.field(draws).nouns;
        &nouns[draws.zipf(nouns.len())]
    }

    fn verb(&self, draws: &mut Draws) -> &'a Verb {
        let verbs = &self.field(draws).verbs;
        &verbs[draws.zipf(verbs.len())]
    }

    fn adjective(&self, draws: &mut Draws) -> &'a str {
        let adjectives = &self.field(draws).adjectives;
        &adjectives[draws.zipf(adjectives.len())]
    }

    fn modified(&self, noun: &str, draws: &mut Draws) -> String {
        if draws.chance(40) {
            format!("{} {noun}", self.adjective(draws))
        } else {
            noun.to_owned()
        }
    }

    /// "the flooty dorns", "a dorn", "three dorns".
    pub(super) fn thing(&self, draws: &mut Draws) -> Phrase {
        let noun = self.noun(draws);
        match draws.below(4) {
            0 => Phrase::singular(with_article(&self.modified(&noun.singular, draws))),
            1 => Phrase {
                text: format!("the {}", self.modified(&noun.plural, draws)),
                is_plural: true,
            },
            2 => {
                let number = number_word(2 + draws.zipf(8));
                Phrase {
                    text: format!("{number} {}", self.modified(&noun.plural, draws)),
                    is_plural: true,
                }
            }
            _ => Phrase::singular(format!("the {}", self.modified(&noun.singular, draws))),
        }
    }

    /// A subject that may be far from its verb: "the dorn near the old pails that she found".
    pub(super) fn distant_subject(&self, draws: &mut Draws) -> Phrase {
        let head = self.thing(draws);
        let text = match draws.below(3) {
            0 => format!("{} near {}", head.text, self.thing(draws).text),
            1 => format!("{} of {}", head.text, self.thing(draws).text),
            _ => {
                let verb = self.agreeing(self.verb(draws), head.is_plural);
                format!("{} that {verb} {}", head.text, self.thing(draws).text)
            }
        };
        Phrase {
            text,
            is_plural: head.is_plural,
        }
    }

    fn agreeing<'b>(&self, verb: &'b Verb, is_plural: bool) -> &'b str {
        match (self.tense, is_plural) {
            (Tense::Past, _) => &verb.past,
            (Tense::Present, true) => &verb.base,
            (Tense::Present, false) => &verb.third,
        }
    }

    /// "was", "were", "is" or "are".
    pub(super) fn be(&self, is_plural: bool) -> &'static str {
        match (self.tense, is_plural) {
            (Tense::Past, true) => "were",
            (Tense::Past, false) => "was",
            (Tense::Present, true) => "are",
            (Tense::Present, false) => "is",
        }
    }

    /// "had" or "has", for a singular subject.
    pub(super) fn has(&self) -> &'static str {
        if self.tense == Tense::Past {
            "had"
        } else {
            "has"
        }
    }

    /// "said" or "says", for a singular subject.
    pub(super) fn says(&self) -> &'static str {
        if self.tense == Tense::Past {
            "said"
        } else {
            "says"
        }
    }

    /// A whole clause that begins with `subject`, without a capital or a full stop.
    pub(super) fn clause(&self, subject: &Phrase, draws: &mut Draws) -> String {
        let verb = self.verb(draws);
        let finite = self.agreeing(verb, subject.is_plural);
        let start = &subject.text;
        match draws.below(6) {
            0 => format!(
                "{start} {} {}",
                self.be(subject.is_plural),
                self.adjective(draws)
            ),
            1 => format!(
                "{start} {} {} {}",
                self.be(subject.is_plural),
                verb.gerund,
                self.thing(draws).text
            ),
            2 => format!(
                "{start} {finite} {} with {}",
                self.thing(draws).text,
                self.thing(draws).text
            ),
            3 => {
                let (one, other) = (self.thing(draws).text, self.thing(draws).text);
                format!("{start} {finite} {one} and {other}")
            }
            _ => format!("{start} {finite} {}", self.thing(draws).text),
        }
    }
}

/// `text` with a capital and a full stop.
pub(super) fn sentence(text: &str) -> String {
    format!("{}.", capitalised(text))
}

/// "a dorn", "an oudish dorn".
pub(super) fn with_article(words: &str) -> String {
    let article = if words.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {words}")
}

/// The English word for 0 to 20 ("none" for 0), then digits.
pub(super) fn number_word(n: usize) -> String {
    const WORDS: [&str; 21] = [
        "none",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
    ];
    WORDS
        .get(n)
        .map_or_else(|| n.to_string(), |word| word.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_agree_with_a_subject_that_stands_far_away() {
        let lexicon = Lexicon::new(1);
        let speaker = Speaker::new(&lexicon, 0, Tense::Present);
        let mut draws = Draws::new(5, 0);
        for _ in 0..500 {
            let subject = speaker.distant_subject(&mut draws);
            let clause = speaker.clause(&subject, &mut draws);
            let rest = clause.strip_prefix(&subject.text).unwrap();
            let wrong = if subject.is_plural { " is " } else { " are " };
            assert!(!rest.starts_with(wrong), "{clause}");
        }
    }

    #[test]
    fn articles_and_numbers_are_spelt() {
        assert_eq!(with_article("oudish dorn"), "an oudish dorn");
        assert_eq!(with_article("dorn"), "a dorn");
        assert_eq!(number_word(12), "twelve");
        assert_eq!(number_word(21), "21");
    }
}
