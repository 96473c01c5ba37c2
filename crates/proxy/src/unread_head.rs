//! A head that is not HTTP, or too large: it begins no journey, and hyper answers it by itself, without a body.
//!
//! In: what hyper is about to write. Out: the same answer with what a refused request is told, in the API's own shape,
//! and a record of it. OpenAI's shape: no path was read that could tell another one.

use crate::account::Account;
use crate::client_io::Watch;
use crate::core::Core;
use bytes::Bytes;
use journey::Refusal;
use payload::Dialect;
use std::rc::Rc;

/// The longest target that hyper reads, bytes.
const TARGET_BYTES_MAX: usize = 65_534;

/// How an empty answer tells its length. A response of a journey has its request's id as well.
const EMPTY: &str = "content-length: 0\r\n";

/// The answer to be written in the place of `written`, if that is one of hyper's own.
pub(crate) fn answer(core: &Rc<Core>, watch: &Rc<Watch>, written: &[u8]) -> Option<Bytes> {
    let refusal = refusal(core, status(written)?);
    let (before, after) = std::str::from_utf8(written).ok()?.split_once(EMPTY)?;
    if !after.ends_with("\r\n\r\n") || written.windows(13).any(|name| name == b"x-request-id:") {
        return None;
    }
    let mut account = Account::open(core, watch);
    account.name(None);
    account.refused(&refusal);
    // The client may still be sending what nobody will read.
    watch.close_lingering();
    let (id, body) = (&account.record.id, refusal.body(Dialect::ChatCompletions));
    let length = body.len();
    Some(
        format!(
            "{before}content-type: application/json\r\ncontent-length: {length}\r\nx-request-id: {id}\r\n{after}{body}"
        )
        .into(),
    )
}

/// The status of an answer that hyper may have made.
fn status(written: &[u8]) -> Option<&[u8]> {
    let status = written.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    matches!(status, b"400" | b"414" | b"431").then_some(status)
}

fn refusal(core: &Core, status: &[u8]) -> Refusal {
    match status {
        b"414" => Refusal::TargetTooLong { limit: TARGET_BYTES_MAX },
        b"431" => Refusal::HeadTooLarge {
            bytes_max: core.settings.header_bytes_max,
            headers_max: core.settings.headers_max,
        },
        _ => Refusal::MalformedRequest { what: "its head is not one of HTTP/1.1" },
    }
}
