//! Which ids stand in front of and behind a document.

use super::error::TokensError;
use super::tokenizer::Tokenizer;
use std::fmt;
use std::str::FromStr;

/// End-of-document tokens that base models are known to use, most telling first.
const KNOWN_EOD: [&str; 8] = [
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|endofdocument|>",
    "<｜end▁of▁sentence｜>",
    "<|end▁of▁sentence|>",
    "</s>",
    "<eos>",
    "[EOS]",
];

/// `TOKEN|ID|auto|none`, as a user says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SpecialChoice {
    /// What the tokenizer itself says.
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
    /// The id in front; `auto`: what the tokenizer's post-processor puts in front, if anything.
    ///
    /// # Errors
    /// A token or id that is not in the vocabulary; `auto` where several ids are put in front.
    pub fn resolve_bos(&self, tokenizer: &Tokenizer) -> Result<Option<u32>, TokensError> {
        self.resolve(tokenizer, || match tokenizer.ids_around()?.0.as_slice() {
            [] => Ok(None),
            [id] => Ok(Some(*id)),
            several => Err(TokensError::SeveralBos {
                ids: several.to_vec(),
            }),
        })
    }

    /// The id behind; `auto`: the last that the tokenizer's post-processor puts behind, else an
    /// end-of-document token of a well-known name among its added tokens, if there is one.
    ///
    /// # Errors
    /// A token or id that is not in the vocabulary.
    pub fn resolve_eod(&self, tokenizer: &Tokenizer) -> Result<Option<u32>, TokensError> {
        self.resolve(tokenizer, || {
            let behind = tokenizer.ids_around()?.1.last().copied();
            let known = || {
                KNOWN_EOD
                    .iter()
                    .find_map(|name| tokenizer.added_token_id(name))
            };
            Ok(behind.or_else(known))
        })
    }

    fn resolve(
        &self,
        tokenizer: &Tokenizer,
        auto: impl FnOnce() -> Result<Option<u32>, TokensError>,
    ) -> Result<Option<u32>, TokensError> {
        match self {
            SpecialChoice::None => Ok(None),
            SpecialChoice::Auto => auto(),
            SpecialChoice::Id(id) if *id < tokenizer.vocab_size() => Ok(Some(*id)),
            SpecialChoice::Id(id) => Err(TokensError::IdPastVocab {
                id: *id,
                vocab_size: tokenizer.vocab_size(),
            }),
            SpecialChoice::Token(token) => match tokenizer.token_id(token) {
                Some(id) => Ok(Some(id)),
                None => Err(TokensError::UnknownToken {
                    token: token.clone(),
                }),
            },
        }
    }
}
