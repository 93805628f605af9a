//! The words of the invented language: made of syllables and inflected like English ones.

use super::draws::Draws;
use std::collections::HashSet;

/// Number of topics that words belong to; each paragraph is on one topic.
pub(super) const N_TOPICS: usize = 24;
const N_COMMON_NOUNS: usize = 60;
const N_COMMON_VERBS: usize = 40;
const N_COMMON_ADJECTIVES: usize = 40;
const N_TOPIC_NOUNS: usize = 30;
const N_TOPIC_VERBS: usize = 16;
const N_TOPIC_ADJECTIVES: usize = 14;
const N_PERSONS: usize = 240;
const N_TOWNS: usize = 80;

const ONSETS: [&str; 24] = [
    "b", "br", "c", "d", "dr", "f", "fl", "g", "gr", "h", "k", "l", "m", "n", "p", "pl", "r", "s",
    "st", "t", "tr", "v", "w", "th",
];
const NUCLEI: [&str; 9] = ["a", "e", "i", "o", "u", "ai", "ea", "oo", "ou"];
const CODAS: [&str; 12] = [
    "n", "r", "l", "m", "t", "nd", "st", "rk", "ck", "sh", "d", "p",
];

/// Words that the grammar itself uses; an invented word must not look like one.
const FUNCTION_WORDS: [&str; 28] = [
    "than", "that", "then", "there", "them", "these", "this", "the", "were", "was", "with", "who",
    "when", "where", "had", "have", "has", "first", "last", "more", "near", "from", "for", "said",
    "some", "most", "not", "and",
];

/// A noun in both numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Noun {
    pub(super) singular: String,
    pub(super) plural: String,
}

/// A verb in the forms that the grammar needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verb {
    pub(super) base: String,
    pub(super) third: String,
    pub(super) past: String,
    pub(super) gerund: String,
}

/// Content words of one topic, or the common ones, most frequent first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) nouns: Vec<Noun>,
    pub(super) verbs: Vec<Verb>,
    pub(super) adjectives: Vec<String>,
}

/// Every content word of the language.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lexicon {
    pub(super) common: Field,
    pub(super) topics: Vec<Field>,
    pub(super) persons: Vec<String>,
    pub(super) towns: Vec<String>,
}

impl Lexicon {
    /// The words for `seed`.
    pub(super) fn new(seed: u64) -> Self {
        let mut mint = Mint::new(seed);
        let common = mint.field(N_COMMON_NOUNS, N_COMMON_VERBS, N_COMMON_ADJECTIVES);
        let topics = (0..N_TOPICS)
            .map(|_| mint.field(N_TOPIC_NOUNS, N_TOPIC_VERBS, N_TOPIC_ADJECTIVES))
            .collect();
        let persons = (0..N_PERSONS).map(|_| capitalised(&mint.word(2))).collect();
        let towns = (0..N_TOWNS).map(|_| capitalised(&mint.town())).collect();
        Lexicon {
            common,
            topics,
            persons,
            towns,
        }
    }

    /// Number of distinct written forms.
    #[cfg(test)]
    fn n_forms(&self) -> usize {
        let forms_of =
            |field: &Field| 2 * field.nouns.len() + 4 * field.verbs.len() + field.adjectives.len();
        let topics: usize = self.topics.iter().map(forms_of).sum();
        topics + forms_of(&self.common) + self.persons.len() + self.towns.len()
    }
}

/// Coins words, never the same one twice.
struct Mint {
    draws: Draws,
    coined: HashSet<String>,
}

impl Mint {
    fn new(seed: u64) -> Self {
        let coined = FUNCTION_WORDS.iter().map(|word| word.to_string()).collect();
        Mint {
            draws: Draws::new(seed, u64::MAX),
            coined,
        }
    }

    fn field(&mut self, n_nouns: usize, n_verbs: usize, n_adjectives: usize) -> Field {
        Field {
            nouns: (0..n_nouns)
                .map(|_| Noun::new(self.word_of_one_or_two()))
                .collect(),
            verbs: (0..n_verbs)
                .map(|_| Verb::new(self.word_of_one_or_two()))
                .collect(),
            adjectives: (0..n_adjectives).map(|_| self.adjective()).collect(),
        }
    }

    fn word_of_one_or_two(&mut self) -> String {
        let n_syllables = 1 + self.draws.below(2);
        self.word(n_syllables)
    }

    fn adjective(&mut self) -> String {
        let ending = *self.draws.pick(&["y", "ish", "ful", "en", "ous"]);
        self.coin(|draws| syllables(draws, 1) + ending)
    }

    fn town(&mut self) -> String {
        let ending = *self.draws.pick(&["ford", "ham", "by", "mouth", "wick"]);
        self.coin(|draws| syllables(draws, 1) + ending)
    }

    fn word(&mut self, n_syllables: usize) -> String {
        self.coin(|draws| syllables(draws, n_syllables))
    }

    fn coin(&mut self, make: impl Fn(&mut Draws) -> String) -> String {
        loop {
            let word = make(&mut self.draws);
            if word.len() >= 4 && self.coined.insert(word.clone()) {
                return word;
            }
        }
    }
}

/// Open syllables with a closed one at the end, so that endings attach to a consonant.
fn syllables(draws: &mut Draws, n: usize) -> String {
    let mut word = String::new();
    for _ in 0..n {
        word.push_str(draws.pick::<&str>(&ONSETS));
        word.push_str(draws.pick::<&str>(&NUCLEI));
    }
    word + draws.pick::<&str>(&CODAS)
}

impl Noun {
    fn new(singular: String) -> Self {
        Noun {
            plural: with_s(&singular),
            singular,
        }
    }
}

impl Verb {
    fn new(base: String) -> Self {
        Verb {
            third: with_s(&base),
            past: format!("{base}ed"),
            gerund: format!("{base}ing"),
            base,
        }
    }
}

/// The ending of plurals and of the third person.
fn with_s(word: &str) -> String {
    let hisses = ["s", "x", "z", "sh", "ch"]
        .iter()
        .any(|ending| word.ends_with(ending));
    format!("{word}{}", if hisses { "es" } else { "s" })
}

/// `word` with a capital first letter.
pub(super) fn capitalised(word: &str) -> String {
    let mut characters = word.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lexicon_has_a_few_thousand_forms_and_distinct_nouns() {
        let lexicon = Lexicon::new(1);
        assert!(
            (2_000..8_000).contains(&lexicon.n_forms()),
            "{}",
            lexicon.n_forms()
        );
        let nouns: Vec<&str> = lexicon
            .topics
            .iter()
            .flat_map(|topic| topic.nouns.iter().map(|noun| noun.singular.as_str()))
            .collect();
        assert_eq!(nouns.iter().collect::<HashSet<_>>().len(), nouns.len());
    }

    #[test]
    fn a_seed_fixes_the_words_and_another_changes_them() {
        assert_eq!(Lexicon::new(3), Lexicon::new(3));
        assert_ne!(Lexicon::new(3), Lexicon::new(4));
    }

    #[test]
    fn endings_follow_the_sound() {
        assert_eq!(with_s("brash"), "brashes");
        assert_eq!(with_s("dorn"), "dorns");
        assert_eq!(capitalised("ostrel"), "Ostrel");
    }
}
