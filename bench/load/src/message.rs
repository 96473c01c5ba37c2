//! Just enough HTTP/1.1: one request to send, and where a message ends.

use std::io;

/// Header fields that a message may have before it is refused.
const FIELDS_MAX: usize = 64;

/// A chat request with this body, as a client library sends it.
pub(crate) fn chat_request(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: inference.example.com\r\naccept: application/json\r\n\
         user-agent: bench/1\r\nauthorization: Bearer sk-0123456789abcdef0123456789abcdef\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// How the body of a message is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// This many bytes follow the head.
    Length(usize),
    /// Chunks follow the head.
    Chunked,
}

/// Where a message's body begins, and how it is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes of the head.
    pub(crate) bytes: usize,
    /// How the body is framed.
    pub(crate) framing: Framing,
}

/// Whose message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// A request, by whether it is for `/metrics`.
    Request { metrics: bool },
    /// A response, by its status.
    Response { status: u16 },
}

/// Reads a request's head; `None` if it is not whole yet.
pub(crate) fn request_head(bytes: &[u8]) -> io::Result<Option<(Start, Head)>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    Ok(match request.parse(bytes).map_err(io::Error::other)? {
        httparse::Status::Partial => None,
        httparse::Status::Complete(length) => {
            let metrics = request.path == Some("/metrics");
            Some((Start::Request { metrics }, Head { bytes: length, framing: framing(request.headers) }))
        }
    })
}

/// Reads a response's head; `None` if it is not whole yet.
pub(crate) fn response_head(bytes: &[u8]) -> io::Result<Option<(Start, Head)>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    Ok(match response.parse(bytes).map_err(io::Error::other)? {
        httparse::Status::Partial => None,
        httparse::Status::Complete(length) => {
            let status = response.code.unwrap_or(0);
            Some((Start::Response { status }, Head { bytes: length, framing: framing(response.headers) }))
        }
    })
}

fn framing(fields: &[httparse::Header<'_>]) -> Framing {
    let length = fields.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok());
    let chunked = fields.iter().any(|field| field.name.eq_ignore_ascii_case("transfer-encoding"));
    if chunked { Framing::Chunked } else { Framing::Length(length.unwrap_or(0)) }
}

/// Whether a chunked body ends with these bytes. True of every body the benchmark sends or answers: they are JSON and
/// cannot hold such a line break themselves.
pub(crate) fn ends_chunked(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\r\n0\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_back_as_it_was_written() {
        let request = chat_request(b"{}");
        assert_eq!(request_head(&request[..40]).unwrap(), None);
        let (start, head) = request_head(&request).unwrap().unwrap();
        assert_eq!(start, Start::Request { metrics: false });
        assert_eq!(head, Head { bytes: request.len() - 2, framing: Framing::Length(2) });
    }

    #[test]
    fn a_response_says_how_its_body_is_framed() {
        let (start, head) =
            response_head(b"HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap().unwrap();
        assert_eq!((start, head.framing), (Start::Response { status: 404 }, Framing::Chunked));
        assert!(ends_chunked(b"2\r\n{}\r\n0\r\n\r\n"));
        assert!(!ends_chunked(b"2\r\n{}\r\n0\r\n"));
    }
}
