//! Stops all uploads when the process is asked to end, and removes the parts they have sent.

use futures_util::future::{Either, select};
use std::future::Future;
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long a stop waits for uploads to remove their parts.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);

static N_IN_PROGRESS: AtomicUsize = AtomicUsize::new(0);

fn stopped() -> &'static watch::Sender<bool> {
    static STOPPED: OnceLock<watch::Sender<bool>> = OnceLock::new();
    STOPPED.get_or_init(|| watch::Sender::new(false))
}

/// Stops every upload to a store, now and from here on, and waits (a few seconds at most) until they have removed the
/// parts that they sent. For a process that is about to end.
pub fn stop_uploads() {
    stopped().send_replace(true);
    let end = Instant::now() + STOP_TIMEOUT;
    while N_IN_PROGRESS.load(Ordering::SeqCst) > 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The result of `work`, or `None` as soon as a stop is requested.
pub(super) async fn unless_stopped<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut receiver = stopped().subscribe();
    let stop = pin!(receiver.wait_for(|&is_stopped| is_stopped));
    match select(stop, pin!(work)).await {
        Either::Left(_) => None,
        Either::Right((value, _)) => Some(value),
    }
}

/// Counts an upload as in progress as long as the value lives.
pub(super) struct UploadInProgress;

impl UploadInProgress {
    pub(super) fn begin() -> Self {
        N_IN_PROGRESS.fetch_add(1, Ordering::SeqCst);
        UploadInProgress
    }
}

impl Drop for UploadInProgress {
    fn drop(&mut self) {
        N_IN_PROGRESS.fetch_sub(1, Ordering::SeqCst);
    }
}
