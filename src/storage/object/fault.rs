//! Translates a store's errors into those of this room.

use super::options::named;
use super::url::ObjectUrl;
use crate::storage::{StorageError, StoreFault};
use object_store::Error as StoreError;
use std::error::Error;
use std::io;

/// How the client and this room describe a truncated response.
const CUT: [&str; 3] = [
    "response body error",
    "error decoding response body",
    "bytes came, where",
];
/// Characters of a response that are shown.
const MAX_RESPONSE_CHARS: usize = 400;
/// Error codes that may appear in the text of an error, and what they mean. These are the stores' own names; the first
/// match counts.
const CODES: [(&str, StoreFault); 22] = [
    ("NoSuchBucket", StoreFault::NoBucket),
    ("ContainerNotFound", StoreFault::NoBucket),
    ("The specified bucket does not exist", StoreFault::NoBucket),
    ("ExpiredToken", StoreFault::Expired),
    ("TokenRefreshRequired", StoreFault::Expired),
    ("RequestTimeTooSkewed", StoreFault::ClockSkew),
    ("InvalidAccessKeyId", StoreFault::WrongCredentials),
    ("SignatureDoesNotMatch", StoreFault::WrongCredentials),
    ("InvalidToken", StoreFault::WrongCredentials),
    ("AuthenticationFailed", StoreFault::WrongCredentials),
    ("Missing AccessKeyId", StoreFault::WrongCredentials),
    ("Missing SecretAccessKey", StoreFault::WrongCredentials),
    (
        "redirect without LOCATION",
        StoreFault::WrongRegion { expected: None },
    ),
    (
        "PermanentRedirect",
        StoreFault::WrongRegion { expected: None },
    ),
    (
        "AuthorizationHeaderMalformed",
        StoreFault::WrongRegion { expected: None },
    ),
    ("URL scheme is not allowed", StoreFault::Http),
    ("AccessDenied", StoreFault::Denied),
    (
        "169.254.169.254",
        StoreFault::NoCredentials {
            variables: "the variables of the store",
        },
    ),
    ("operation timed out", StoreFault::TimedOut),
    ("deadline has elapsed", StoreFault::TimedOut),
    ("error sending request", StoreFault::Unreachable),
    ("dns error", StoreFault::Unreachable),
];

/// The error of `action` on `url`.
pub(super) fn error_of(action: &'static str, url: &ObjectUrl, error: StoreError) -> StorageError {
    let text = whole_text(&error);
    let coded = CODES.iter().find(|(code, _)| text.contains(code));
    let coded = coded.map(|(_, fault)| with_details(fault.clone(), url, &text));
    let fault = match (&error, coded) {
        (StoreError::NotFound { .. }, None) => {
            let source = io::Error::new(io::ErrorKind::NotFound, "there is no such object");
            return StorageError::io(action, &named(url), source);
        }
        (StoreError::UnknownConfigurationKey { key, .. }, _) => StoreFault::Option {
            what: format!("no store has an option `{key}`"),
        },
        (StoreError::NotImplemented { .. }, None) => StoreFault::NoCreateIfAbsent,
        (StoreError::Precondition { .. } | StoreError::NotModified { .. }, None) => {
            StoreFault::Changed
        }
        (_, Some(fault)) => fault,
        (StoreError::PermissionDenied { .. }, None) => StoreFault::Denied,
        (StoreError::Unauthenticated { .. }, None) => StoreFault::WrongCredentials,
        (_, None) => StoreFault::Failed,
    };
    StorageError::Store {
        action,
        url: named(url),
        fault,
        source: Some(one_line(&error).into()),
    }
}

/// The store's error in one line; the client's error text already includes its causes.
fn one_line(error: &StoreError) -> String {
    let text = error.to_string();
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(MAX_RESPONSE_CHARS) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// Environment variables that give credentials for the store of `url`.
pub(super) fn credential_variables(url: &ObjectUrl) -> &'static str {
    let (scheme, _) = url.store.split_once("://").unwrap_or_default();
    match scheme {
        "s3" | "s3a" => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        "gs" => "GOOGLE_APPLICATION_CREDENTIALS",
        _ => "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    }
}

/// Whether a response began and did not end.
pub(super) fn is_cut(error: &StoreError) -> bool {
    let text = whole_text(error);
    CUT.iter().any(|cut| text.contains(cut))
}

/// An error with its causes.
fn whole_text(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Adds what the store or its URL tells: the region that S3 names in `<Region>us-east-2</Region>` or "expecting
/// 'us-east-2'", and where credentials are looked for.
fn with_details(fault: StoreFault, url: &ObjectUrl, text: &str) -> StoreFault {
    match fault {
        StoreFault::WrongRegion { .. } => {}
        StoreFault::NoCredentials { .. } => {
            let variables = credential_variables(url);
            return StoreFault::NoCredentials { variables };
        }
        other => return other,
    }
    let between = |before: &str, after: char| {
        let (_, rest) = text.split_once(before)?;
        rest.split_once(after).map(|(region, _)| region.to_owned())
    };
    StoreFault::WrongRegion {
        expected: between("<Region>", '<').or_else(|| between("expecting '", '\'')),
    }
}

/// Whether the same request may succeed in a moment.
pub(super) fn is_transient(error: &StorageError) -> bool {
    matches!(error, StorageError::Store { fault, .. } if fault.is_transient())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Classified, Kind};
    use std::path::Path;

    fn error(error: StoreError) -> StorageError {
        let url = ObjectUrl::parse(Path::new("s3://bucket/x"))
            .unwrap()
            .unwrap();
        error_of("read", &url, error)
    }

    fn generic(text: &str) -> StoreError {
        StoreError::Generic {
            store: "S3",
            source: text.to_owned().into(),
        }
    }

    #[test]
    fn every_answer_says_what_to_do_and_who_has_to() {
        for (text, expected, kind) in [
            ("<Code>NoSuchBucket</Code>", "no such bucket", Kind::Usage),
            ("<Code>ExpiredToken</Code>", "have expired", Kind::Failed),
            ("<Code>RequestTimeTooSkewed</Code>", "clock", Kind::Failed),
            (
                "<Code>InvalidAccessKeyId</Code>",
                "does not know these credentials",
                Kind::Usage,
            ),
            (
                "Received redirect without LOCATION, this",
                "another region;",
                Kind::Usage,
            ),
            (
                "AuthorizationHeaderMalformed <Region>us-east-2</Region>",
                "another region, us-east-2;",
                Kind::Usage,
            ),
            (
                "builder error: URL scheme is not allowed",
                "allow_http=true",
                Kind::Usage,
            ),
            (
                "<Code>AccessDenied</Code>",
                "access was denied",
                Kind::Usage,
            ),
            (
                "PUT http://169.254.169.254/latest/api/token",
                "found none",
                Kind::Usage,
            ),
            (
                "error sending request: operation timed out",
                "in time",
                Kind::Failed,
            ),
            (
                "error sending request: Connection refused",
                "cannot be reached",
                Kind::Failed,
            ),
            ("503 SlowDown", "however often", Kind::Failed),
        ] {
            let error = error(generic(text));
            assert_eq!(error.kind(), kind, "{text}");
            let message = error.to_string();
            assert!(
                message.starts_with("cannot read s3://bucket/x: "),
                "{message}"
            );
            assert!(message.contains(expected), "{message}");
            assert!(error.is_refusal() && !error.is_not_found());
        }
    }

    #[test]
    fn an_object_that_is_not_there_is_told_from_a_bucket_that_is_not() {
        let not_found = |text: &str| StoreError::NotFound {
            path: "x".to_owned(),
            source: text.to_owned().into(),
        };
        assert!(error(not_found("<Code>NoSuchKey</Code>")).is_not_found());
        assert!(!error(not_found("<Code>NoSuchBucket</Code>")).is_not_found());
    }
}
