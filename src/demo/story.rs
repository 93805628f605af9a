//! Documents: a cast, things in places, sections with a refrain. Facts stay true to the end of the document, so
//! a reader that remembers them predicts better.

use super::draws::Draws;
use super::grammar::{Phrase, Speaker, Tense, number_word, sentence, with_article};
use super::lexicon::{Lexicon, N_TOPICS, Noun, capitalised};

const N_SECTIONS: usize = 3;
const SECTION_NAMES: [&str; N_SECTIONS] = ["Morning", "Noon", "Evening"];
const ORDINALS: [&str; 3] = ["First", "Then", "At last"];

/// A character who is introduced once and then referred to by name, trade or pronoun.
struct Person<'a> {
    name: &'a str,
    trade: String,
    town: &'a str,
    is_she: bool,
    is_introduced: bool,
}

impl Person<'_> {
    fn pronoun(&self) -> &'static str {
        if self.is_she { "she" } else { "he" }
    }
}

/// State of the document being written.
struct Story<'a> {
    lexicon: &'a Lexicon,
    draws: Draws,
    tense: Tense,
    topics: [usize; N_SECTIONS],
    cast: Vec<Person<'a>>,
    hidden: Vec<(&'a Noun, &'a Noun)>,
    refrain: String,
    last_subject: Option<usize>,
}

/// The text of document number `doc_idx` of `seed`.
pub(super) fn document(lexicon: &Lexicon, seed: u64, doc_idx: u64) -> String {
    let mut story = Story::begin(lexicon, Draws::new(seed, doc_idx));
    let mut text = story.title() + "\n";
    for (section_idx, name) in SECTION_NAMES.iter().enumerate() {
        text.push_str(&format!("\n{}. {name}\n", section_idx + 1));
        for paragraph in story.section(section_idx) {
            text.push_str(&format!("\n{paragraph}\n"));
        }
    }
    text + "\n" + &story.ending()
}

impl<'a> Story<'a> {
    fn begin(lexicon: &'a Lexicon, mut draws: Draws) -> Self {
        let tense = if draws.chance(70) {
            Tense::Past
        } else {
            Tense::Present
        };
        let main_topic = draws.zipf(N_TOPICS);
        let side_topic = draws.below(N_TOPICS);
        let speaker = Speaker::new(lexicon, main_topic, tense);
        let cast = cast(lexicon, &speaker, &mut draws);
        let hidden = hidden(&speaker, &mut draws);
        let subject = speaker.distant_subject(&mut draws);
        let refrain = sentence(&format!(
            "so it goes in {}: {}",
            cast[0].town,
            speaker.clause(&subject, &mut draws)
        ));
        let topics = [main_topic, side_topic, main_topic];
        Story {
            lexicon,
            draws,
            tense,
            topics,
            cast,
            hidden,
            refrain,
            last_subject: None,
        }
    }

    fn speaker(&self, section_idx: usize) -> Speaker<'a> {
        Speaker::new(self.lexicon, self.topics[section_idx], self.tense)
    }

    fn title(&self) -> String {
        let hero = &self.cast[0];
        format!("{} the {} of {}", hero.name, hero.trade, hero.town)
    }

    fn section(&mut self, section_idx: usize) -> Vec<String> {
        let speaker = self.speaker(section_idx);
        let mut paragraphs: Vec<String> = (0..2).map(|_| self.paragraph(&speaker)).collect();
        paragraphs.push(self.refrain.clone());
        paragraphs
    }

    fn paragraph(&mut self, speaker: &Speaker<'a>) -> String {
        self.last_subject = None;
        let n_sentences = 3 + self.draws.below(3);
        let sentences: Vec<String> = (0..n_sentences)
            .map(|_| self.any_sentence(speaker))
            .collect();
        sentences.join(" ")
    }

    fn any_sentence(&mut self, speaker: &Speaker<'a>) -> String {
        match self.draws.below(12) {
            0 => self.sum(speaker),
            1 => self.counting(speaker),
            2 => self.question(speaker),
            3 => self.location_sentence(speaker),
            4 => self.steps(speaker),
            5 | 6 => self.of_things(speaker),
            7 | 8 => self.with_reason(speaker),
            _ => {
                let subject = self.person();
                sentence(&speaker.clause(&subject, &mut self.draws))
            }
        }
    }

    /// A member of the cast: introduced on first mention, later a pronoun if the last sentence was about them
    /// too, else their name or trade.
    fn person(&mut self) -> Phrase {
        let keeps = self.last_subject.filter(|_| self.draws.chance(55));
        let idx = keeps.unwrap_or_else(|| self.draws.zipf(self.cast.len()));
        let repeats = self.last_subject == Some(idx);
        self.last_subject = Some(idx);
        let by_trade = self.draws.chance(20);
        let person = &mut self.cast[idx];
        let text = if !person.is_introduced {
            person.is_introduced = true;
            format!(
                "{}, {} from {},",
                person.name,
                with_article(&person.trade),
                person.town
            )
        } else if repeats {
            person.pronoun().to_owned()
        } else if by_trade {
            format!("the {}", person.trade)
        } else {
            person.name.to_owned()
        };
        Phrase::singular(text)
    }

    fn of_things(&mut self, speaker: &Speaker<'a>) -> String {
        let subject = speaker.distant_subject(&mut self.draws);
        self.last_subject = None;
        sentence(&speaker.clause(&subject, &mut self.draws))
    }

    fn with_reason(&mut self, speaker: &Speaker<'a>) -> String {
        let person = self.person();
        let what = speaker.clause(&person, &mut self.draws);
        let link = *self.draws.pick(&["because", "when", "until", "although"]);
        let subject = speaker.thing(&mut self.draws);
        sentence(&format!(
            "{what} {link} {}",
            speaker.clause(&subject, &mut self.draws)
        ))
    }

    /// A correct sum in words.
    fn sum(&mut self, speaker: &Speaker<'a>) -> String {
        let (one, other) = (2 + self.draws.below(7), 2 + self.draws.below(7));
        let things = &speaker.noun(&mut self.draws).plural;
        let person = self.person();
        let pronoun = self
            .last_subject
            .map_or("it", |idx| self.cast[idx].pronoun());
        let (has, found) = (
            speaker.has(),
            if self.tense == Tense::Past {
                "found"
            } else {
                "finds"
            },
        );
        sentence(&format!(
            "{} {has} {} {things} and {found} {} more, so {pronoun} {has} {} {things}",
            person.text,
            number_word(one),
            number_word(other),
            number_word(one + other)
        ))
    }

    /// Consecutive numbers: the first determines the rest.
    fn counting(&mut self, speaker: &Speaker<'a>) -> String {
        let start = 1 + self.draws.below(9);
        let things = &speaker.noun(&mut self.draws).plural;
        let numbers: Vec<String> = (start..start + 4).map(number_word).collect();
        let counted = if self.tense == Tense::Past {
            "counted"
        } else {
            "counts"
        };
        let person = self.person();
        sentence(&format!(
            "{} {counted} the {things}: {}",
            person.text,
            numbers.join(", ")
        ))
    }

    /// Where a thing is, which is the same throughout the document.
    fn location_sentence(&mut self, speaker: &Speaker<'a>) -> String {
        let (thing, place) = *self.draws.pick(&self.hidden);
        self.last_subject = None;
        sentence(&format!(
            "the {} {} in the {}",
            thing.singular,
            speaker.be(false),
            place.singular
        ))
    }

    fn question(&mut self, speaker: &Speaker<'a>) -> String {
        let (thing, place) = *self.draws.pick(&self.hidden);
        let asker = self.draws.zipf(self.cast.len());
        let others = 1 + self.draws.below(self.cast.len() - 1);
        let answerer = (asker + others) % self.cast.len();
        self.last_subject = Some(answerer);
        format!(
            "\"Where is the {}?\" {} {}. \"In the {},\" {} {}.",
            thing.singular,
            if self.tense == Tense::Past {
                "asked"
            } else {
                "asks"
            },
            self.cast[asker].name,
            place.singular,
            speaker.says(),
            self.cast[answerer].name
        )
    }

    /// A list with a fixed order of connectives.
    fn steps(&mut self, speaker: &Speaker<'a>) -> String {
        let mut parts = Vec::new();
        for ordinal in ORDINALS {
            let person = self.person();
            let lead = if parts.is_empty() {
                ordinal.to_owned()
            } else {
                ordinal.to_lowercase()
            };
            parts.push(format!(
                "{lead} {}",
                speaker.clause(&person, &mut self.draws)
            ));
        }
        format!("{}.", parts.join("; "))
    }

    /// The cast again, each with their trade and town.
    fn ending(&self) -> String {
        let mut lines = vec!["Those who were there:".to_owned()];
        for person in &self.cast {
            lines.push(format!(
                "- {}, {}, of {}",
                person.name, person.trade, person.town
            ));
        }
        lines.push(format!("{} {}", self.refrain, capitalised("the end.")));
        lines.join("\n")
    }
}

/// Three things, each with its place.
fn hidden<'a>(speaker: &Speaker<'a>, draws: &mut Draws) -> Vec<(&'a Noun, &'a Noun)> {
    let mut hidden: Vec<(&Noun, &Noun)> = Vec::new();
    while hidden.len() < 3 {
        let (thing, place) = (speaker.noun(draws), speaker.noun(draws));
        if thing != place && hidden.iter().all(|(other, _)| *other != thing) {
            hidden.push((thing, place));
        }
    }
    hidden
}

fn cast<'a>(lexicon: &'a Lexicon, speaker: &Speaker<'a>, draws: &mut Draws) -> Vec<Person<'a>> {
    let n_persons = 2 + draws.below(3);
    let town = draws.zipf(lexicon.towns.len());
    let mut cast: Vec<Person<'a>> = Vec::new();
    while cast.len() < n_persons {
        let name_idx = draws.zipf(lexicon.persons.len());
        let name = lexicon.persons[name_idx].as_str();
        if cast.iter().any(|person| person.name == name) {
            continue;
        }
        let lives = if draws.chance(60) {
            town
        } else {
            draws.zipf(lexicon.towns.len())
        };
        cast.push(Person {
            name,
            trade: format!("{}er", speaker.noun(draws).singular),
            town: &lexicon.towns[lives],
            // A name has the same pronoun in every document.
            is_she: name_idx.is_multiple_of(2),
            is_introduced: false,
        });
    }
    cast
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_keeps_its_refrain_and_its_cast() {
        let lexicon = Lexicon::new(1);
        let text = document(&lexicon, 1, 0);
        let refrain = text
            .lines()
            .find(|line| line.starts_with("So it goes"))
            .unwrap();
        assert_eq!(text.matches(refrain).count(), N_SECTIONS + 1);
        let hero = text.split_whitespace().next().unwrap();
        assert!(text.contains(&format!("- {hero}, ")));
        assert!(text.contains("1. Morning\n") && text.contains("3. Evening\n"));
    }

    #[test]
    fn a_thing_is_in_one_place_all_through_a_document() {
        let lexicon = Lexicon::new(1);
        for doc_idx in 0..50 {
            let mut story = Story::begin(&lexicon, Draws::new(1, doc_idx));
            let speaker = story.speaker(0);
            let sentence = story.location_sentence(&speaker);
            let known = story.hidden.iter().any(|(thing, place)| {
                sentence.contains(&format!(" {} ", thing.singular))
                    && sentence.ends_with(&format!(" {}.", place.singular))
            });
            assert!(known, "{sentence}");
        }
    }

    #[test]
    fn sums_come_out_right() {
        let lexicon = Lexicon::new(1);
        let words: Vec<String> = (0..=20).map(number_word).collect();
        let value = |word: &str| words.iter().position(|known| known == word);
        let mut n_sums = 0;
        for doc_idx in 0..40 {
            let text = document(&lexicon, 1, doc_idx);
            for sentence in text
                .split(['.', '\n'])
                .filter(|part| part.contains(" more, so "))
            {
                let numbers: Vec<usize> = sentence.split_whitespace().filter_map(value).collect();
                assert_eq!(numbers[0] + numbers[1], numbers[2], "{sentence}");
                n_sums += 1;
            }
        }
        assert!(n_sums > 10);
    }
}
