use crate::error::{Classified, Kind};
use std::path::PathBuf;

/// What can go wrong while the demo's inputs are made.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The corpus could not be written.
    #[error(
        "cannot write the generated corpus; check space and permissions of the output directory"
    )]
    WriteCorpus {
        /// The writer's error.
        #[source]
        source: std::io::Error,
    },
    /// The statistics need a longer text.
    #[error(
        "{n_tokens} tokens are too few for n-gram statistics (at least 3 are needed); set a larger --megabytes"
    )]
    TooFewTokens {
        /// Tokens given.
        n_tokens: usize,
    },
    /// A token outside the vocabulary.
    #[error(
        "token {token} at offset {offset} is outside the vocabulary of {vocab_size}; \
         give the vocabulary size of the tokenizer that made the tokens"
    )]
    TokenOutOfRange {
        /// The id.
        token: u32,
        /// Its offset in the stream.
        offset: usize,
        /// V.
        vocab_size: usize,
    },
    /// The output directory contains something else.
    #[error("{dir} is not empty and contains no demo; choose another --output")]
    NotADemo {
        /// The directory.
        dir: PathBuf,
    },
    /// The output directory contains a demo with other settings.
    #[error(
        "{dir} contains a demo with other settings ({dir}/demo.json lists them); use the same settings, choose another --output, or remove it"
    )]
    OtherDemo {
        /// The directory.
        dir: PathBuf,
    },
    /// The n-gram teacher needs generated text.
    #[error(
        "--teacher ngram works on generated text and trains nothing: omit --corpus and --quick"
    )]
    OnlyGenerated,
    /// There is not enough text to learn anything from.
    #[error(
        "{n_bytes} bytes of text are too few: at least {min_bytes} are needed; give --corpus more text, or omit it for generated text"
    )]
    TooLittleText {
        /// Bytes of text given.
        n_bytes: usize,
        /// Bytes needed.
        min_bytes: usize,
    },
    /// A command of the demo failed.
    #[error(
        "the demo stopped at: {command} (exit code {code}); when that is fixed, the same `saltworks demo` resumes from there"
    )]
    Step {
        /// The command line.
        command: String,
        /// Its exit code; 1 where a signal ended it.
        code: u8,
    },
    /// The other program is missing.
    #[error(
        "cannot start {program}, expected in the same directory as this program; build both with `cargo build --release`"
    )]
    NoProgram {
        /// Where it was looked for.
        program: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The teacher's file could not be written.
    #[error(transparent)]
    WriteTeacher(#[from] crate::onnx::OnnxError),
}

impl Classified for DemoError {
    fn kind(&self) -> Kind {
        match self {
            DemoError::WriteCorpus { .. } => Kind::Failed,
            DemoError::Step { code, .. } => match code {
                2 => Kind::Usage,
                3 => Kind::BadData,
                75 => Kind::Interrupted,
                _ => Kind::Failed,
            },
            DemoError::NoProgram { .. } => Kind::Failed,
            DemoError::TooFewTokens { .. }
            | DemoError::OnlyGenerated
            | DemoError::TooLittleText { .. }
            | DemoError::NotADemo { .. }
            | DemoError::OtherDemo { .. } => Kind::Usage,
            DemoError::TokenOutOfRange { .. } => Kind::BadData,
            DemoError::WriteTeacher(source) => source.kind(),
        }
    }
}
