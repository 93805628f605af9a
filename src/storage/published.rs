//! How a publication ended.

/// What a publication found under the final name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// Nothing: the name is now ours.
    Created,
    /// A file, which stays as it was; ours is gone.
    AlreadyThere,
}
