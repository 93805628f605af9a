//! How a publication ended.

/// The outcome of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// The name was free and is now ours.
    Created,
    /// A file is there and stays as it was; ours is gone.
    AlreadyThere,
}
