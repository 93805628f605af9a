//! What all error types have in common: a kind, which decides the exit code.

mod guard;

pub(crate) use guard::guarded;

/// An error that knows what kind of failure it is. Every error type of this crate implements this trait,
/// and a program can end only with such an error, so each has an exit code.
pub trait Classified: std::error::Error + Send + Sync + 'static {
    /// The kind, which decides the exit code.
    fn kind(&self) -> Kind;
}

/// A failed system call. A module that knows more returns its own error type.
impl Classified for std::io::Error {
    fn kind(&self) -> Kind {
        Kind::Failed
    }
}

/// The next item of an iterator that ends after its first error, which sets `failed` in `state`.
pub(crate) fn until_error<S, T, E>(
    state: &mut S,
    failed: fn(&mut S) -> &mut bool,
    next: impl FnOnce(&mut S) -> Result<Option<T>, E>,
) -> Option<Result<T, E>> {
    if *failed(state) {
        return None;
    }
    let next = next(state);
    *failed(state) = next.is_err();
    next.transpose()
}

/// What kind of failure an error is: it decides the exit code, and so whether a scheduler retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Exit code 1: something failed that may work if tried again (disk, memory, device).
    Failed,
    /// Exit code 2: a flag, a configuration or a combination of inputs that cannot work.
    Usage,
    /// Exit code 3: the data is wrong: damaged, of another format, or out of range.
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
