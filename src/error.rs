//! Every room has its own error type; this is where they meet, and where an exit code is chosen.

mod guard;

pub(crate) use guard::guarded;

/// An error that says what kind of failure it is. Every error type of this crate is one, and only such
/// an error ends a program, so none is without an exit code.
pub trait Classified: std::error::Error + Send + Sync + 'static {
    /// Decides the exit code.
    fn kind(&self) -> Kind;
}

/// The system's refusal of a read, a write or a thread. Where more is known, the room's own error says it.
impl Classified for std::io::Error {
    fn kind(&self) -> Kind {
        Kind::Failed
    }
}

/// What kind of failure an error is: it decides the exit code, and so whether a scheduler retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Exit code 1: something failed that may go through on another try (disk, memory, device).
    Failed,
    /// Exit code 2: a flag, a configuration or a combination of inputs that cannot work.
    Usage,
    /// Exit code 3: the data is wrong: damaged, foreign, out of range.
    BadData,
    /// Exit code 75 (`EX_TEMPFAIL`): interrupted; the same command resumes where it stopped.
    Interrupted,
}

impl Kind {
    /// The process exit code of this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::BadData => 3,
            Kind::Interrupted => 75,
        }
    }
}
