//! Clients of stores, and the runtime they share.

use super::fault::{credential_variables, error_of, is_cut};
use super::metadata_service;
use super::options::{Options, named, options};
use super::url::ObjectUrl;
use crate::storage::{StorageError, StoreFault};
use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as S3Key};
use object_store::azure::{AzureConfigKey as AzureKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey as GoogleKey};
use object_store::limit::LimitStore;
use object_store::path::Path as Key;
use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Concurrent requests to one store.
pub(super) const MAX_REQUESTS: usize = 32;
/// Waits before a truncated response is requested again, in turn.
const TRUNCATION_BACKOFF: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];
/// Threads that move bytes; processing is done by the callers.
const RUNTIME_THREADS: usize = 2;

type Store = Arc<dyn ObjectStore>;

static STORES: OnceLock<Mutex<HashMap<String, Store>>> = OnceLock::new();

fn stores() -> std::sync::MutexGuard<'static, HashMap<String, Store>> {
    let stores = STORES.get_or_init(Mutex::default);
    stores.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One version of an object, as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) struct Object {
    /// Where it is.
    pub(in crate::storage) url: ObjectUrl,
    /// Its size in bytes.
    pub(in crate::storage) n_bytes: u64,
    /// The store's name for this version.
    pub(in crate::storage) etag: Option<String>,
}

/// A store and a key in it.
pub(super) struct Client {
    pub(super) store: Store,
    pub(super) key: Key,
    pub(super) url: ObjectUrl,
}

impl Client {
    /// The client for `url`.
    pub(super) fn of(url: &ObjectUrl) -> Result<Self, StorageError> {
        let key = Key::parse(&url.key).map_err(|error| error_of("use", url, error.into()))?;
        Ok(Client {
            store: store_of(url)?,
            key,
            url: url.clone(),
        })
    }

    /// Runs `work`, which may be repeated, to completion.
    ///
    /// # Errors
    /// The store's error, as the error of `action`.
    pub(super) fn run<T, F: Future<Output = object_store::Result<T>>>(
        &self,
        action: &'static str,
        work: impl FnMut() -> F,
    ) -> Result<T, StorageError> {
        runtime(&self.url)?
            .block_on(again(work))
            .map_err(|error| self.error(action, error))
    }

    pub(super) fn error(&self, action: &'static str, error: object_store::Error) -> StorageError {
        error_of(action, &self.url, error)
    }
}

/// Repeats `work` if a response was truncated. If there was no response, the client itself sends the request again.
pub(super) async fn again<T, F: Future<Output = object_store::Result<T>>>(
    mut work: impl FnMut() -> F,
) -> object_store::Result<T> {
    for wait in TRUNCATION_BACKOFF {
        match work().await {
            Err(error) if is_cut(&error) => tokio::time::sleep(wait).await,
            done => return done,
        }
    }
    work().await
}

/// The runtime of all stores.
pub(in crate::storage) fn runtime(url: &ObjectUrl) -> Result<&'static Runtime, StorageError> {
    static RUNTIME: OnceLock<Result<Runtime, std::io::Error>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        // If somebody else already installed it, that is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .thread_name("storage")
            .enable_all()
            .build()
    });
    made.as_ref().map_err(|error| {
        let source = std::io::Error::new(error.kind(), error.to_string());
        StorageError::io("start threads for", &named(url), source)
    })
}

fn store_of(url: &ObjectUrl) -> Result<Store, StorageError> {
    // The provider must be installed before a client is made.
    let runtime = runtime(url)?;
    if let Some(store) = stores().get(&url.store) {
        return Ok(Arc::clone(store));
    }
    let _inside = runtime.enter();
    let store = build(url, &options())?;
    Ok(Arc::clone(
        stores().entry(url.store.clone()).or_insert(store),
    ))
}

/// Makes `store` serve the URLs of `scheme://bucket`.
#[cfg(test)]
pub(in crate::storage) fn install(store_url: &str, store: Arc<dyn ObjectStore>) {
    stores().insert(store_url.to_owned(), store);
}

fn build(url: &ObjectUrl, options: &Options) -> Result<Store, StorageError> {
    let (scheme, _) = url.store.split_once("://").unwrap_or_default();
    match scheme {
        "s3" | "s3a" => build_s3(url, options),
        "gs" => build_google(url, options),
        _ => build_azure(url, options),
    }
}

fn limited<S: ObjectStore>(
    url: &ObjectUrl,
    built: object_store::Result<S>,
) -> Result<Store, StorageError> {
    let store = built.map_err(|error| error_of("use", url, error))?;
    Ok(Arc::new(LimitStore::new(store, MAX_REQUESTS)))
}

fn build_s3(url: &ObjectUrl, options: &Options) -> Result<Store, StorageError> {
    let mut builder = AmazonS3Builder::from_env()
        .with_url(&url.store)
        .with_retry(options.retry());
    for (key, value) in options.of::<S3Key>() {
        builder = builder.with_config(key, value);
    }
    let is_set = |key: S3Key| builder.get_config_value(&key).is_some_and(is_meant);
    let known = [
        S3Key::AccessKeyId,
        S3Key::SecretAccessKey,
        S3Key::SkipSignature,
        S3Key::WebIdentityTokenFile,
        S3Key::ContainerCredentialsRelativeUri,
        S3Key::ContainerCredentialsFullUri,
        S3Key::MetadataEndpoint,
    ];
    check_credentials(url, known.into_iter().any(is_set))?;
    limited(url, builder.build())
}

fn build_google(url: &ObjectUrl, options: &Options) -> Result<Store, StorageError> {
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_url(&url.store)
        .with_retry(options.retry());
    for (key, value) in options.of::<GoogleKey>() {
        builder = builder.with_config(key, value);
    }
    let is_set = |key: GoogleKey| builder.get_config_value(&key).is_some_and(is_meant);
    let known = [
        GoogleKey::ServiceAccount,
        GoogleKey::ServiceAccountKey,
        GoogleKey::ApplicationCredentials,
        GoogleKey::BearerToken,
        GoogleKey::SkipSignature,
    ];
    let is_known = known.into_iter().any(is_set) || has_google_defaults();
    check_credentials(url, is_known)?;
    limited(url, builder.build())
}

/// The file written by `gcloud auth application-default login`, which the client reads.
fn has_google_defaults() -> bool {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let file = Path::new(".config/gcloud/application_default_credentials.json");
    home.is_some_and(|home| home.join(file).exists())
}

fn build_azure(url: &ObjectUrl, options: &Options) -> Result<Store, StorageError> {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_url(&url.store)
        .with_retry(options.retry());
    for (key, value) in options.of::<AzureKey>() {
        builder = builder.with_config(key, value);
    }
    let is_set = |key: AzureKey| builder.get_config_value(&key).is_some_and(is_meant);
    let known = [
        AzureKey::AccessKey,
        AzureKey::SasKey,
        AzureKey::Token,
        AzureKey::ClientId,
        AzureKey::FederatedTokenFile,
        AzureKey::UseAzureCli,
        AzureKey::UseEmulator,
        AzureKey::MsiEndpoint,
        AzureKey::SkipSignature,
    ];
    check_credentials(url, known.into_iter().any(is_set))?;
    limited(url, builder.build())
}

/// A switch set to false counts as unset.
fn is_meant(value: String) -> bool {
    !value.is_empty() && !value.eq_ignore_ascii_case("false")
}

fn check_credentials(url: &ObjectUrl, is_known: bool) -> Result<(), StorageError> {
    if is_known || metadata_service::is_available() {
        return Ok(());
    }
    let variables = credential_variables(url);
    let fault = StoreFault::NoCredentials { variables };
    Err(StorageError::store("use", &url.store, fault))
}
