//! Whether this machine has a metadata service that gives credentials. Without one, asking it takes minutes.

use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

/// The address on AWS, Google and Azure alike.
const ADDRESS: ([u8; 4], u16) = ([169, 254, 169, 254], 80);
/// The service is on the same machine or the next one.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Whether something answers there; checked once.
pub(super) fn is_available() -> bool {
    static IS_AVAILABLE: OnceLock<bool> = OnceLock::new();
    *IS_AVAILABLE
        .get_or_init(|| TcpStream::connect_timeout(&SocketAddr::from(ADDRESS), TIMEOUT).is_ok())
}
