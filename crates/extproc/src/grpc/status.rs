//! How a call ended.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;

/// The codes used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// It is done.
    Ok = 0,
    /// The caller left.
    Cancelled = 1,
    /// Something that has no code here.
    Unknown = 2,
    /// The caller's message cannot be used.
    InvalidArgument = 3,
    /// A time limit passed.
    DeadlineExceeded = 4,
    /// What was asked for is not there.
    NotFound = 5,
    /// A limit was reached.
    ResourceExhausted = 8,
    /// The method is not served.
    Unimplemented = 12,
    /// A bug.
    Internal = 13,
    /// Not now.
    Unavailable = 14,
}

/// How a call ended, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code:?}: {message}")]
pub struct Status {
    /// The code.
    pub code: Code,
    /// What a person is told.
    pub message: Cow<'static, str>,
}

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

impl Status {
    /// The call is done.
    pub const OK: Status = Status { code: Code::Ok, message: Cow::Borrowed("") };

    /// A call that failed.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Status {
        Status { code, message: message.into() }
    }

    /// The status as it stands in trailers.
    pub fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::with_capacity(2);
        trailers.insert(STATUS, HeaderValue::from(self.code as u16));
        if !self.message.is_empty() {
            let message = HeaderValue::try_from(percent_encoded(&self.message));
            trailers.insert(MESSAGE, message.expect("what is not visible ASCII was encoded"));
        }
        trailers
    }
}

/// What is not printable ASCII, and `%`, as gRPC wants it in a header.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.extend(["%".to_owned(), format!("{byte:02X}")]),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_stands_in_the_trailers_whatever_its_message_holds() {
        let trailers = Status::new(Code::InvalidArgument, "50 % of\nü").trailers();
        assert_eq!(trailers[STATUS], "3");
        assert_eq!(trailers[MESSAGE], "50 %25 of%0A%C3%BC");
        assert_eq!(Status::OK.trailers().len(), 1);
    }
}
