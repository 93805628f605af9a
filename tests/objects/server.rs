//! moto's S3 server in a process of its own, with one bucket, and what is in it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the server may take to start.
const TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    /// Starts it, with the bucket `bucket`.
    pub(crate) fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let default = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv-scale/bin/moto_server");
        let program = std::env::var_os("SALTWORKS_MOTO_SERVER").map_or(default, PathBuf::from);
        let child = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{}: {error}; run `make setup-scale`", program.display())
            });
        let server = Server { child, port };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < TIMEOUT, "the server never answers");
            std::thread::sleep(Duration::from_millis(50));
        }
        server.ask("PUT", "/bucket");
        server
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Puts an object into the bucket.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        self.send("PUT", &format!("/bucket/{key}"), bytes);
    }

    fn ask(&self, method: &str, path: &str) -> Vec<u8> {
        self.send(method, path, &[])
    }

    /// The body of the answer.
    fn send(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let n = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {n}\r\nConnection: close\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n"
        );
        stream
            .write_all(&[request.as_bytes(), body].concat())
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        assert!(head.contains(" 200 "), "{method} {path}: {head}");
        answer.split_off(end + 4)
    }

    /// Names of the objects below `prefix`, from there.
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        let path = format!("/bucket?list-type=2&max-keys=1000&prefix={prefix}/");
        let listing = String::from_utf8(self.ask("GET", &path)).unwrap();
        let keys = listing.split("<Key>").skip(1);
        let keys = keys.map(|rest| rest.split_once("</Key>").unwrap().0);
        let name = |key: &str| {
            let name = key.strip_prefix(prefix).unwrap();
            name.trim_start_matches('/').to_owned()
        };
        keys.map(name).collect()
    }

    /// Every object below `prefix`, by its name from there.
    pub(crate) fn objects(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        let names = self.names(prefix).into_iter();
        let object = |name: String| {
            let bytes = self.ask("GET", &format!("/bucket/{prefix}/{name}"));
            (name, bytes)
        };
        names.map(object).collect()
    }

    /// Uploads by parts that were neither completed nor taken back.
    pub(crate) fn n_unfinished_uploads(&self) -> usize {
        let listing = String::from_utf8(self.ask("GET", "/bucket?uploads")).unwrap();
        listing.matches("<Upload>").count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
