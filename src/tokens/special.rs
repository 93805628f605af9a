//! Which ids come before and after each document.

use super::error::TokensError;
use super::tokenizer::Tokenizer;
use std::fmt;
use std::str::FromStr;

/// End-of-document tokens that base models use, most reliable first.
const KNOWN_EOD: [&str; 10] = [
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|endofdocument|>",
    "<｜end▁of▁sentence｜>",
    "<|end▁of▁sentence|>",
    "</s>",
    "<eos>",
    "[EOS]",
    "<EOS>",
    "<|eos|>",
];

/// `TOKEN|ID|auto|none`, as typed by the user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SpecialChoice {
    /// As the tokenizer itself defines.
    #[default]
    Auto,
    /// No id.
    None,
    /// This id.
    Id(u32),
    /// The id of this token.
    Token(String),
}

impl FromStr for SpecialChoice {
    type Err = TokensError;

    fn from_str(typed: &str) -> Result<Self, TokensError> {
        Ok(match typed {
            "" => {
                return Err(TokensError::UnknownToken {
                    token: String::new(),
                });
            }
            "auto" => SpecialChoice::Auto,
            "none" => SpecialChoice::None,
            _ => match typed.parse() {
                Ok(id) => SpecialChoice::Id(id),
                Err(_) => SpecialChoice::Token(typed.to_owned()),
            },
        })
    }
}

impl fmt::Display for SpecialChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpecialChoice::Auto => f.write_str("auto"),
            SpecialChoice::None => f.write_str("none"),
            SpecialChoice::Id(id) => write!(f, "{id}"),
            SpecialChoice::Token(token) => f.write_str(token),
        }
    }
}

impl SpecialChoice {
    /// The ids in front, in order; `auto`: those that the tokenizer's post-processor adds in front.
    ///
    /// # Errors
    /// A token or id that is not in the vocabulary.
    pub fn resolve_bos(&self, tokenizer: &Tokenizer) -> Result<Vec<u32>, TokensError> {
        self.resolve(tokenizer, || tokenizer.around().front.clone())
    }

    /// The ids after, in order; `auto`: those that the tokenizer's post-processor adds after a text, else an
    /// end-of-document token with a well-known name, among its added tokens or in its vocabulary, if there is one.
    ///
    /// # Errors
    /// A token or id that is not in the vocabulary.
    pub fn resolve_eod(&self, tokenizer: &Tokenizer) -> Result<Vec<u32>, TokensError> {
        self.resolve(tokenizer, || {
            let after = &tokenizer.around().after;
            if !after.is_empty() {
                return after.clone();
            }
            let mut names = KNOWN_EOD.iter();
            let added = names.find_map(|name| tokenizer.added_token_id(name));
            let mut names = KNOWN_EOD.iter();
            let known = added.or_else(|| names.find_map(|name| tokenizer.token_id(name)));
            known.into_iter().collect()
        })
    }

    fn resolve(
        &self,
        tokenizer: &Tokenizer,
        auto: impl FnOnce() -> Vec<u32>,
    ) -> Result<Vec<u32>, TokensError> {
        match self {
            SpecialChoice::None => Ok(Vec::new()),
            SpecialChoice::Auto => Ok(auto()),
            SpecialChoice::Id(id) if *id < tokenizer.vocab_size() => Ok(vec![*id]),
            SpecialChoice::Id(id) => Err(TokensError::IdPastVocab {
                id: *id,
                vocab_size: tokenizer.vocab_size(),
            }),
            SpecialChoice::Token(token) => match tokenizer.token_id(token) {
                Some(id) => Ok(vec![id]),
                None => Err(TokensError::UnknownToken {
                    token: token.clone(),
                }),
            },
        }
    }
}
