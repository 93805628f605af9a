//! Whether this machine has a metadata service that gives credentials. Without one, asking it takes minutes.

use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

/// The address on AWS, Google and Azure alike.
const ADDRESS: ([u8; 4], u16) = ([169, 254, 169, 254], 80);
/// The service is on the same machine or the next one.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether something answers there; checked once.
pub(super) fn is_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| TcpStream::connect_timeout(&SocketAddr::from(ADDRESS), PATIENCE).is_ok())
}
