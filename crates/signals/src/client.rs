//! One keep-alive HTTP/1.1 connection to one endpoint, for its metrics page.

use crate::scrape::ScrapeError;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// Capacity that the page's buffer keeps from one scrape to the next: five times a usual page.
const PAGE_BYTES_KEPT: usize = 256 << 10;

/// What is to be fetched.
pub(crate) struct Fetch<'p> {
    pub(crate) path: &'p PathAndQuery,
    pub(crate) bytes_max: usize,
}

/// What the endpoint answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// The page is in the buffer.
    Page,
    /// The endpoint has nothing at this path.
    Nothing,
}

/// A connection that is made when it is needed.
pub(crate) struct Client {
    address: SocketAddr,
    host: String,
    tls: Option<TlsConnector>,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

impl Client {
    /// A client of `address`; with a configuration it speaks TLS.
    pub(crate) fn new(address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Client {
        Client { address, host: address.to_string(), tls: tls.map(TlsConnector::from), connection: None }
    }

    /// Gives the connection up: an answer may still be on its way.
    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Fetches a page into `page`. A kept connection that fails before it answers is replaced once: the endpoint may have
    /// closed it while it was idle.
    pub(crate) async fn fetch(
        &mut self,
        fetch: Fetch<'_>,
        page: &mut Vec<u8>,
    ) -> Result<Fetched, ScrapeError> {
        let kept = self.connection.as_ref().is_some_and(|connection| !connection.is_closed());
        let response = match self.send(fetch.path).await {
            Err(ScrapeError::Broken(_)) if kept => {
                self.disconnect();
                self.send(fetch.path).await
            }
            response => response,
        };
        let received = match response {
            Ok(response) => receive(response, fetch.bytes_max, page).await,
            Err(broken) => Err(broken),
        };
        if received.is_err() {
            self.disconnect();
        }
        received
    }

    async fn send(&mut self, path: &PathAndQuery) -> Result<http::Response<Incoming>, ScrapeError> {
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => self.connect().await?,
        };
        connection.ready().await.map_err(ScrapeError::Broken)?;
        let request = Request::get(path.as_str())
            .header(header::HOST, &self.host)
            .header(header::ACCEPT, "text/plain;version=0.0.4")
            .header(header::USER_AGENT, concat!("pointsman/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .expect("a parsed path and the text of an address make a valid request");
        let response = connection.send_request(request).await.map_err(ScrapeError::Broken)?;
        self.connection = Some(connection);
        Ok(response)
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, ScrapeError> {
        let stream = TcpStream::connect(self.address).await.map_err(ScrapeError::Connect)?;
        let Some(tls) = &self.tls else { return begin(stream).await };
        // By its address: an endpoint has no name.
        let name = ServerName::IpAddress(self.address.ip().into());
        begin(tls.connect(name, stream).await.map_err(ScrapeError::Connect)?).await
    }
}

/// Speaks HTTP/1.1 over `stream`.
async fn begin(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Empty<Bytes>>, ScrapeError> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(ScrapeError::Broken)?;
    // Ends by itself when the sender is dropped; what goes wrong is told to the sender.
    tokio::spawn(connection);
    Ok(sender)
}

/// Reads the response. The body of an answer that is no page is drained too, so that the connection can be kept.
async fn receive(
    mut response: http::Response<Incoming>,
    bytes_max: usize,
    page: &mut Vec<u8>,
) -> Result<Fetched, ScrapeError> {
    page.clear();
    page.shrink_to(PAGE_BYTES_KEPT);
    while let Some(frame) = response.body_mut().frame().await {
        let frame = frame.map_err(ScrapeError::Broken)?;
        if let Some(data) = frame.data_ref() {
            if page.len() + data.len() > bytes_max {
                return Err(ScrapeError::TooLarge { limit: bytes_max });
            }
            page.extend_from_slice(data);
        }
    }
    match response.status() {
        StatusCode::OK => Ok(Fetched::Page),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            Ok(Fetched::Nothing)
        }
        status => Err(ScrapeError::Status(status)),
    }
}
