//! A store for tests that fails as real ones do, at every n-th request.

use super::client::install;
use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 503, however often the request is sent.
    SlowDown,
    /// 500, likewise.
    Internal,
    /// The connection is reset before the request arrives.
    Reset,
    /// No answer in time; the request did not arrive.
    TimedOut,
    /// The body ends early.
    Cut,
    /// The request was carried out, and its answer never came.
    LostAnswer,
    /// The credentials expire.
    Expired,
    /// A listing misses the most recent write.
    Lag,
}

impl Fault {
    pub(crate) const ALL: [Fault; 8] = [
        Fault::SlowDown,
        Fault::Internal,
        Fault::Reset,
        Fault::TimedOut,
        Fault::Cut,
        Fault::LostAnswer,
        Fault::Expired,
        Fault::Lag,
    ];

    fn error(self) -> Error {
        let text = match self {
            Fault::SlowDown => "Server returned non-2xx status code: 503: SlowDown",
            Fault::Internal => "Server returned non-2xx status code: 500: InternalError",
            Fault::Reset | Fault::LostAnswer => "error sending request: connection reset by peer",
            Fault::TimedOut => "error sending request: operation timed out",
            Fault::Expired => "Server returned non-2xx status code: 400: <Code>ExpiredToken</Code>",
            Fault::Cut | Fault::Lag => unreachable!("these are no errors"),
        };
        Error::Generic {
            store: "S3",
            source: text.into(),
        }
    }
}

/// How often requests fail, and how often they have.
#[derive(Debug)]
pub(crate) struct Faults {
    fault: Fault,
    every: u64,
    max_injected: u64,
    n_requests: AtomicU64,
    n_injected: AtomicU64,
    /// In responses to requests for objects.
    n_bytes: AtomicU64,
    newest: Mutex<Option<Key>>,
}

impl Faults {
    /// How many requests have failed so far.
    pub(crate) fn n_injected(&self) -> u64 {
        self.n_injected.load(Ordering::SeqCst)
    }

    /// How many requests there have been.
    pub(crate) fn n_requests(&self) -> u64 {
        self.n_requests.load(Ordering::SeqCst)
    }

    /// How many bytes of objects were requested.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.n_bytes.load(Ordering::SeqCst)
    }

    fn count_bytes(&self, found: &Result<GetResult>, is_head: bool) {
        if let (Ok(found), false) = (found, is_head) {
            let n_bytes = found.range.end - found.range.start;
            self.n_bytes.fetch_add(n_bytes, Ordering::SeqCst);
        }
    }

    /// Whether this request fails; `can` says whether the fault can hit its kind.
    fn strikes(&self, can: bool) -> Option<Fault> {
        let n = self.n_requests.fetch_add(1, Ordering::SeqCst) + 1;
        if !can || !n.is_multiple_of(self.every) || self.n_injected() >= self.max_injected {
            return None;
        }
        self.n_injected.fetch_add(1, Ordering::SeqCst);
        Some(self.fault)
    }

    /// Fails a request before it arrives, if it is its turn.
    fn before(&self) -> Result<Option<Fault>> {
        let is_of_requests = !matches!(self.fault, Fault::Cut | Fault::Lag);
        match self.strikes(is_of_requests) {
            None => Ok(None),
            Some(Fault::LostAnswer) => Ok(Some(Fault::LostAnswer)),
            Some(fault) => Err(fault.error()),
        }
    }

    fn wrote(&self, key: &Key) {
        *self.newest.lock().unwrap() = Some(key.clone());
    }
}

/// The result of a request, unless its response is lost.
fn answered<T>(strike: Option<Fault>, result: Result<T>) -> Result<T> {
    match strike {
        Some(fault) => Err(fault.error()),
        None => result,
    }
}

#[derive(Debug)]
struct FaultyStore {
    inner: Arc<InMemory>,
    faults: Arc<Faults>,
}

/// Makes a new store, of which every `every`-th request fails, up to `max_injected`, serve the URL `s3://name`; returns the
/// URL, the counters and the underlying store, which never fails.
pub(crate) fn install_faulty(
    name: &str,
    fault: Fault,
    every: u64,
    max_injected: u64,
) -> (PathBuf, Arc<Faults>, Arc<InMemory>) {
    let inner = Arc::new(InMemory::new());
    let faults = Arc::new(Faults {
        fault,
        every,
        max_injected,
        n_requests: AtomicU64::new(0),
        n_injected: AtomicU64::new(0),
        n_bytes: AtomicU64::new(0),
        newest: Mutex::default(),
    });
    let url = format!("s3://{name}");
    let store = FaultyStore {
        inner: Arc::clone(&inner),
        faults: Arc::clone(&faults),
    };
    install(&url, Arc::new(store));
    (PathBuf::from(url), faults, inner)
}

/// Makes a store serve the URL `s3://name`.
pub(crate) fn install_store(name: &str, store: Arc<InMemory>) -> PathBuf {
    let url = format!("s3://{name}");
    install(&url, store);
    PathBuf::from(url)
}

/// Makes a new store that never fails serve the URL `s3://name`.
pub(crate) fn install_sound(name: &str) -> PathBuf {
    install_counted(name).0
}

/// The same, with its request counters.
pub(crate) fn install_counted(name: &str) -> (PathBuf, Arc<Faults>) {
    let (url, faults, _) = install_faulty(name, Fault::Reset, 1, 0);
    (url, faults)
}

impl std::fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a store that fails")
    }
}

#[async_trait::async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        location: &Key,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let strike = self.faults.before()?;
        let result = self.inner.put_opts(location, payload, opts).await;
        self.faults.wrote(location);
        answered(strike, result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Key,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let strike = self.faults.before()?;
        let upload = self.inner.put_multipart_opts(location, opts).await;
        let upload = answered(strike, upload)?;
        let faults = Arc::clone(&self.faults);
        Ok(Box::new(FaultyUpload { upload, faults }))
    }

    async fn get_opts(&self, location: &Key, options: GetOptions) -> Result<GetResult> {
        let is_head = options.head;
        if self.faults.fault != Fault::Cut || is_head {
            let strike = self.faults.before()?;
            let found = self.inner.get_opts(location, options).await;
            self.faults.count_bytes(&found, is_head);
            return answered(strike, found);
        }
        let found = self.inner.get_opts(location, options).await?;
        match self.faults.strikes(true) {
            None => Ok(found),
            Some(_) => cut(found).await,
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Key>>,
    ) -> BoxStream<'static, Result<Key>> {
        match self.faults.before() {
            Err(error) => stream::once(async { Err(error) }).boxed(),
            Ok(_) => self.inner.delete_stream(locations),
        }
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        let hidden = match self.faults.fault {
            Fault::Lag => self.faults.strikes(true).and_then(|_| self.newest()),
            _ => match self.faults.before() {
                Err(error) => return stream::once(async { Err(error) }).boxed(),
                Ok(_) => None,
            },
        };
        let is_seen = move |meta: &Result<ObjectMeta>| match (meta, &hidden) {
            (Ok(meta), Some(hidden)) => meta.location != *hidden,
            _ => true,
        };
        let listed = self.inner.list(prefix);
        listed
            .filter(move |meta| std::future::ready(is_seen(meta)))
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        if self.faults.fault != Fault::Lag {
            let strike = self.faults.before()?;
            return answered(strike, self.inner.list_with_delimiter(prefix).await);
        }
        let mut found = self.inner.list_with_delimiter(prefix).await?;
        if let Some(hidden) = self.faults.strikes(true).and_then(|_| self.newest()) {
            found.objects.retain(|meta| meta.location != hidden);
        }
        Ok(found)
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl FaultyStore {
    fn newest(&self) -> Option<Key> {
        self.faults.newest.lock().unwrap().clone()
    }
}

/// The response with half its bytes.
async fn cut(found: GetResult) -> Result<GetResult> {
    let (meta, range) = (found.meta.clone(), found.range.clone());
    let (attributes, extensions) = (found.attributes.clone(), found.extensions.clone());
    let bytes = found.bytes().await?;
    let half = bytes.slice(..bytes.len() / 2);
    Ok(GetResult {
        payload: GetResultPayload::Stream(stream::once(async { Ok(half) }).boxed()),
        meta,
        range,
        attributes,
        extensions,
    })
}

#[derive(Debug)]
struct FaultyUpload {
    upload: Box<dyn MultipartUpload>,
    faults: Arc<Faults>,
}

#[async_trait::async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match self.faults.before() {
            Err(error) => Box::pin(async { Err(error) }),
            Ok(strike) => {
                let put = self.upload.put_part(data);
                Box::pin(async move { answered(strike, put.await) })
            }
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let strike = self.faults.before()?;
        answered(strike, self.upload.complete().await)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}
