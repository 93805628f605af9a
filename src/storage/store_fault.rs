//! What can be wrong with a place in an object store, and what to do about it.

use crate::error::{Classified, Kind};
use std::path::PathBuf;

/// Why a store cannot be used, or could not be used just now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFault {
    /// The URL does not name an object.
    #[error("expected {expected}")]
    NotAUrl {
        /// What a URL has.
        expected: &'static str,
    },
    /// This program was built without the feature `object-stores`.
    #[error(
        "this program was built without object stores; build it with the feature `object-stores`, or mount the store as a directory"
    )]
    NotBuilt,
    /// A `--storage-option` that no store has, or one with an invalid value.
    #[error("{what}; see --storage-option in docs/object-stores.md")]
    Option {
        /// Which, and why.
        what: String,
    },
    /// There are no credentials.
    #[error(
        "expected credentials, found none in the environment nor from this machine's metadata service; set {variables} (or --storage-option skip_signature=true for a public bucket). Files of command-line tools are not read: for AWS, eval \"$(aws configure export-credentials --format env)\""
    )]
    NoCredentials {
        /// Environment variables that would provide them.
        variables: &'static str,
    },
    /// The credentials are wrong.
    #[error(
        "the store does not know these credentials; check the key, its secret and the endpoint"
    )]
    WrongCredentials,
    /// The credentials have expired.
    #[error(
        "the credentials have expired; get new ones and run the same command again (finished files stay)"
    )]
    Expired,
    /// The clocks are too far apart.
    #[error(
        "this machine's clock is too far from the store's; set it (for example by NTP) and run the same command again"
    )]
    ClockSkew,
    /// The credentials do not permit this.
    #[error(
        "access was denied; give these credentials the right to list, read, write and delete objects there, or use others"
    )]
    Denied,
    /// The bucket does not exist.
    #[error("there is no such bucket or container; create it, or check its name and the endpoint")]
    NoBucket,
    /// The bucket is in another region.
    #[error("the bucket is in another region{}; set AWS_REGION or --storage-option region=NAME", expected.as_ref().map(|region| format!(", {region}")).unwrap_or_default())]
    WrongRegion {
        /// The region that the store names.
        expected: Option<String>,
    },
    /// An endpoint without TLS.
    #[error(
        "its endpoint is http://, where keys and data can be read on the way; use https://, or allow it by --storage-option allow_http=true"
    )]
    Http,
    /// The store cannot create an object only if it is absent.
    #[error(
        "this store does not refuse to write over an object that is there, so two tasks could overwrite each other's plan; use another store, or --single-writer if only one process at a time writes there"
    )]
    NoCreateIfAbsent,
    /// The object has changed since it was opened.
    #[error(
        "the object has changed since it was opened; nothing may write there while it is read: run the command again once it is left alone"
    )]
    Changed,
    /// Bytes of the object are not what its writer hashed.
    #[error(
        "bytes {start} to {end} are not those that its writer hashed; the object was damaged or replaced since: put it there again, together with the files beside it"
    )]
    OtherBlock {
        /// The first byte.
        start: u64,
        /// The byte after the last.
        end: u64,
    },
    /// No answer in time.
    #[error(
        "the store did not answer in time, however often it was asked; run the same command again (finished files stay), or set --storage-option timeout=120s"
    )]
    TimedOut,
    /// No connection.
    #[error(
        "the store cannot be reached; check the network, the endpoint and the name, and run the same command again (finished files stay)"
    )]
    Unreachable,
    /// The store itself reported a failure that persists.
    #[error(
        "the store failed, however often it was asked; run the same command again (finished files stay)"
    )]
    Failed,
    /// A stop was requested during an upload.
    #[error(
        "a stop was asked for; nothing of it is left in the store, and the same command starts it again"
    )]
    Stopped,
    /// The hub has no such repository, or shows none to this account.
    #[error(
        "the hub has no such repository or revision, or it is a private one; check the name, and for a private one set HF_TOKEN or log in with `hf auth login`"
    )]
    NoRepository,
    /// The hub requires an account with access.
    #[error(
        "the hub does not let this account read it; ask for access on the model's page if it is gated, and set HF_TOKEN to a token of an account that has it"
    )]
    HubDenied,
    /// The download does not match what the hub lists.
    #[error(
        "the bytes that came have the hash {got}, expected {expected}; run the same command again"
    )]
    HubDamaged {
        /// As the hub lists it.
        expected: String,
        /// Of what came.
        got: String,
    },
    /// The hub's answer makes no sense.
    #[error(
        "expected {expected} from the hub, got something else; check HF_ENDPOINT, or what stands between this machine and it"
    )]
    HubAnswer {
        /// What was asked for.
        expected: &'static str,
    },
    /// Only the cache may be used, and the repository is not in it.
    #[error("HF_HUB_OFFLINE is set and {} does not hold it; download it on a machine with a connection, or unset the variable", dir.display())]
    NotCached {
        /// The repository in the cache.
        dir: PathBuf,
    },
    /// The local disk has no room for a copy.
    #[error("a copy of it takes {n_bytes} bytes, but {} has {n_free} free; free some, or set SALTWORKS_CACHE_DIR (for hf://, HF_HOME) to another directory", dir.display())]
    NoRoom {
        /// Where the copy would be.
        dir: PathBuf,
        /// Its size in bytes.
        n_bytes: u64,
        /// Bytes that are free.
        n_free: u64,
    },
}

impl Classified for StoreFault {
    // The kind says who has to act.
    fn kind(&self) -> Kind {
        match self {
            StoreFault::NotAUrl { .. }
            | StoreFault::NotBuilt
            | StoreFault::Option { .. }
            | StoreFault::NoCredentials { .. }
            | StoreFault::WrongCredentials
            | StoreFault::Denied
            | StoreFault::NoBucket
            | StoreFault::WrongRegion { .. }
            | StoreFault::Http
            | StoreFault::NoCreateIfAbsent
            | StoreFault::NoRepository
            | StoreFault::HubDenied
            | StoreFault::NotCached { .. } => Kind::Usage,
            StoreFault::Stopped => Kind::Interrupted,
            StoreFault::OtherBlock { .. } => Kind::BadData,
            // New credentials and a corrected clock come from outside; then the same command continues.
            StoreFault::Expired
            | StoreFault::ClockSkew
            | StoreFault::Changed
            | StoreFault::TimedOut
            | StoreFault::Unreachable
            | StoreFault::Failed
            | StoreFault::HubDamaged { .. }
            | StoreFault::HubAnswer { .. }
            | StoreFault::NoRoom { .. } => Kind::Failed,
        }
    }
}

impl StoreFault {
    /// Whether the same request may succeed in a moment.
    #[cfg(feature = "object-stores")]
    pub(super) fn is_transient(&self) -> bool {
        matches!(
            self,
            StoreFault::TimedOut | StoreFault::Unreachable | StoreFault::Failed
        )
    }
}
