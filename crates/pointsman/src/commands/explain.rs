//! `pointsman explain`: why a request went where it went, or would go.

use super::Done;
use crate::gateway::Offline;
use clap::{ArgGroup, Args};
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Tells why a request went where it went, or would go.
///
/// With an ID (a response's `x-request-id`) it asks a running gateway's admin port. With --config and --request it decides
/// offline, as a gateway that has just started would.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("what").args(["id", "request"]).required(true)),
    override_usage = "pointsman explain [OPTIONS] <ID>\n       pointsman explain [OPTIONS] --config <PATH> --request <FILE>"
)]
pub(crate) struct Explain {
    /// The request's id: the `x-request-id` of its response.
    id: Option<String>,
    /// The running gateway's admin address.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901", env = "POINTSMAN_ADMIN")]
    admin: SocketAddr,
    /// Folders or files of manifests to decide by.
    #[arg(long, value_name = "PATH", env = "POINTSMAN_CONFIG", value_delimiter = ',')]
    config: Vec<PathBuf>,
    /// The request: an HTTP/1.1 request as text, or only its JSON body (then a POST to /v1/chat/completions on localhost);
    /// `-` reads standard input.
    #[arg(long, value_name = "FILE", requires = "config")]
    request: Option<PathBuf>,
    /// The port that the request comes in by; by default the first listener's.
    #[arg(long, value_name = "PORT", requires = "request")]
    port: Option<u16>,
    /// JSON, for machines.
    #[arg(long)]
    json: bool,
}

/// How long the admin port may take to answer.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest request file that is read, bytes.
const REQUEST_BYTES_MAX: u64 = 64 << 20;

impl Explain {
    pub(crate) fn execute(self) -> Done {
        match (&self.id, &self.request) {
            (Some(id), _) => self.ask(id),
            (None, Some(file)) => self.decide(&OfflineRequest::read(file)?),
            (None, None) => Err("it is an ID or a --request that is explained".into()),
        }
    }

    /// Asks the running gateway.
    fn ask(&self, id: &str) -> Done {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let format = if self.json { "json" } else { "text" };
        let path = format!("/explain/{}?format={format}", percent_encoded(id));
        let asked = async { tokio::time::timeout(ADMIN_TIMEOUT, get(self.admin, &path)).await };
        let (status, body) = runtime
            .block_on(asked)
            .map_err(|_| format!("no answer from the admin port {} within 5 s", self.admin))?
            .map_err(|error| {
                format!(
                    "cannot ask the admin port {}: {error}; is the gateway running? (--admin)",
                    self.admin
                )
            })?;
        anstream::println!("{}", body.trim_end());
        Ok(if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Decides by the manifests.
    fn decide(&self, request: &OfflineRequest) -> Done {
        let offline = Offline::load(&self.config)?;
        let explained = offline.explain(request, self.port)?;
        if self.json {
            anstream::println!("{}", explained.json);
        } else {
            anstream::println!("{}", explained.text.trim_end());
        }
        Ok(if explained.served { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// A request read from a file.
#[derive(Debug)]
pub(crate) struct OfflineRequest {
    pub(crate) method: http::Method,
    pub(crate) target: http::Uri,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: bytes::Bytes,
}

impl OfflineRequest {
    fn read(file: &Path) -> Result<OfflineRequest, Box<dyn std::error::Error>> {
        let source: Box<dyn Read> = if file == Path::new("-") {
            Box::new(std::io::stdin())
        } else {
            Box::new(
                std::fs::File::open(file)
                    .map_err(|error| format!("cannot read {}: {error}", file.display()))?,
            )
        };
        let mut bytes = Vec::new();
        source.take(REQUEST_BYTES_MAX).read_to_end(&mut bytes)?;
        OfflineRequest::parse(&bytes)
    }

    /// Reads an HTTP/1.1 request, or a bare body.
    fn parse(bytes: &[u8]) -> Result<OfflineRequest, Box<dyn std::error::Error>> {
        if bytes.trim_ascii_start().first().is_none_or(|first| matches!(first, b'{' | b'[')) {
            return Ok(OfflineRequest {
                method: http::Method::POST,
                target: http::Uri::from_static("/v1/chat/completions"),
                headers: http::HeaderMap::from_iter([(
                    http::header::HOST,
                    http::HeaderValue::from_static("localhost"),
                )]),
                body: bytes::Bytes::copy_from_slice(bytes),
            });
        }
        let mut slots = [httparse::EMPTY_HEADER; 100];
        let mut head = httparse::Request::new(&mut slots);
        let read = head
            .parse(bytes)
            .map_err(|error| format!("this is neither JSON nor an HTTP/1.1 request: {error}"))?;
        let httparse::Status::Complete(length) = read else {
            return Err("the HTTP request's head is not closed by an empty line".into());
        };
        let mut headers = http::HeaderMap::new();
        for header in head.headers.iter() {
            headers.append(
                http::HeaderName::from_bytes(header.name.as_bytes())?,
                http::HeaderValue::from_bytes(header.value)?,
            );
        }
        Ok(OfflineRequest {
            method: head.method.unwrap_or_default().parse()?,
            target: head.path.unwrap_or("/").parse()?,
            headers,
            body: bytes::Bytes::copy_from_slice(&bytes[length..]),
        })
    }
}

async fn get(
    address: SocketAddr,
    path: &str,
) -> Result<(http::StatusCode, String), Box<dyn std::error::Error + Send + Sync>> {
    use http_body_util::{BodyExt, Empty, Limited};
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
    let request =
        http::Request::get(path).header("host", address.to_string()).body(Empty::<bytes::Bytes>::new())?;
    let answered = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), 1 << 20).collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    let (answer, _) = tokio::join!(answered, connection);
    answer
}

fn percent_encoded(id: &str) -> String {
    id.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_body_is_a_chat_request_to_localhost() {
        let request = OfflineRequest::parse(b" {\"model\":\"chatbot\"}").unwrap();
        assert_eq!((request.method, request.target.path()), (http::Method::POST, "/v1/chat/completions"));
        assert_eq!(request.headers["host"], "localhost");
    }

    #[test]
    fn an_http_request_is_taken_as_it_stands() {
        let text = b"GET /v1/models?a=b HTTP/1.1\r\nHost: example.com\r\nX-A: 1\r\n\r\nbody";
        let request = OfflineRequest::parse(text).unwrap();
        assert_eq!(request.target.query(), Some("a=b"));
        assert_eq!(request.headers["x-a"], "1");
        assert_eq!(&request.body[..], b"body");
    }

    #[test]
    fn an_unfinished_head_is_refused() {
        assert!(OfflineRequest::parse(b"GET / HTTP/1.1\r\nHost: a\r\n").is_err());
        assert!(OfflineRequest::parse(b"hello").is_err());
    }

    #[test]
    fn an_id_cannot_leave_its_path_segment() {
        assert_eq!(percent_encoded("a/../b?c"), "a%2F..%2Fb%3Fc");
    }
}
