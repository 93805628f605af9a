//! A proxy before an S3 server that does what networks and stores do, at every n-th request.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Longer than the client waits.
const SILENCE: Duration = Duration::from_secs(4);
/// How long a slow part takes.
const SLOW_PART: Duration = Duration::from_secs(60);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 500.
    Internal,
    /// 503 SlowDown.
    SlowDown,
    /// The connection ends before the server sees the request.
    Reset,
    /// The body of the answer ends early; one without a body is lost.
    Cut,
    /// No answer for longer than the client waits.
    Silence,
    /// The server does what is asked, and the answer is lost.
    LostAnswer,
    /// The credentials have expired.
    Expired,
    /// Writing is not allowed: no fault of the network, and not among those at every n-th request.
    Denied,
    /// The condition of a put does not reach the store.
    Unconditional,
    /// A part of an upload takes very long.
    SlowPart,
}

impl Fault {
    pub(crate) const ALL: [Fault; 7] = [
        Fault::Internal,
        Fault::SlowDown,
        Fault::Reset,
        Fault::Cut,
        Fault::Silence,
        Fault::LostAnswer,
        Fault::Expired,
    ];

    /// Whether it can hit this request at all.
    fn hits(self, request: &Request) -> bool {
        match self {
            Fault::Denied => request.method == "PUT",
            Fault::Unconditional => request
                .head
                .to_ascii_lowercase()
                .contains("\r\nif-none-match"),
            Fault::SlowPart => request.method == "PUT" && request.head.contains("partNumber="),
            _ => true,
        }
    }
}

struct Request {
    method: String,
    head: String,
    body: Vec<u8>,
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    injected: AtomicU64,
}

/// Listens until the test ends.
pub(crate) struct Proxy {
    port: u16,
    counts: Arc<Counts>,
}

impl Proxy {
    pub(crate) fn start(server: u16, fault: Fault, every: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counts = Arc::clone(&shared);
                // A client that went away is no failure of the proxy.
                std::thread::spawn(move || drop(pass(stream, server, fault, every, &counts)));
            }
        });
        Proxy { port, counts }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Requests, and those that something was done to.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::SeqCst);
        (read(&self.counts.requests), read(&self.counts.injected))
    }
}

fn pass(
    mut client: TcpStream,
    server: u16,
    fault: Fault,
    every: u64,
    counts: &Counts,
) -> io::Result<()> {
    let Some(mut request) = read_request(&mut client)? else {
        return Ok(());
    };
    let n = counts.requests.fetch_add(1, Ordering::SeqCst) + 1;
    if !fault.hits(&request) || !n.is_multiple_of(every) {
        let answer = ask(server, &request)?;
        return client.write_all(&answer);
    }
    counts.injected.fetch_add(1, Ordering::SeqCst);
    match fault {
        Fault::Internal => client.write_all(&failure("500 Internal Server Error", "InternalError")),
        Fault::SlowDown => client.write_all(&failure("503 Slow Down", "SlowDown")),
        Fault::Expired => client.write_all(&failure("400 Bad Request", "ExpiredToken")),
        Fault::Denied => client.write_all(&failure("403 Forbidden", "AccessDenied")),
        Fault::Reset => client.shutdown(Shutdown::Both),
        Fault::LostAnswer => {
            ask(server, &request)?;
            client.shutdown(Shutdown::Both)
        }
        Fault::Cut => {
            let answer = ask(server, &request)?;
            let end = head_end(&answer).unwrap_or(answer.len());
            let n_sent = if request.method == "HEAD" {
                0
            } else {
                (end + answer.len()) / 2
            };
            client.write_all(&answer[..n_sent])?;
            client.shutdown(Shutdown::Both)
        }
        Fault::Silence => {
            std::thread::sleep(SILENCE);
            client.shutdown(Shutdown::Both)
        }
        Fault::Unconditional => {
            let lines = request.head.split("\r\n");
            let kept = lines.filter(|line| !line.to_ascii_lowercase().starts_with("if-none-match"));
            request.head = kept.collect::<Vec<_>>().join("\r\n");
            client.write_all(&ask(server, &request)?)
        }
        Fault::SlowPart => {
            std::thread::sleep(SLOW_PART);
            Ok(())
        }
    }
}

fn failure(status: &str, code: &str) -> Vec<u8> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

fn read_request(client: &mut TcpStream) -> io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    let mut block = [0; 1 << 16];
    let end = loop {
        if let Some(end) = head_end(&bytes) {
            break end;
        }
        match client.read(&mut block)? {
            0 => return Ok(None),
            n => bytes.extend_from_slice(&block[..n]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let length: usize = length.unwrap_or(0);
    let mut body = bytes.split_off(end);
    while body.len() < length {
        match client.read(&mut block)? {
            0 => return Ok(None),
            n => body.extend_from_slice(&block[..n]),
        }
    }
    let method = head.split(' ').next().unwrap_or_default().to_owned();
    Ok(Some(Request { method, head, body }))
}

/// The server's whole answer. One request a connection, on both sides.
fn ask(server: u16, request: &Request) -> io::Result<Vec<u8>> {
    let mut upstream = TcpStream::connect(("127.0.0.1", server))?;
    let lines = request.head.trim_end().split("\r\n");
    let kept = lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head: Vec<&str> = kept.chain(["Connection: close", "", ""]).collect();
    upstream.write_all(head.join("\r\n").as_bytes())?;
    upstream.write_all(&request.body)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    Ok(answer)
}
