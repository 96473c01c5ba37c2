//! Step 1 of 5, parse: reading a request body as it arrives, held within the budget.
//!
//! In: the client's body, nobody having read of it. Out: the body whole, with what the parser saw. Never: a byte read
//! that no rule asks for; a wait longer than the stall timeout, than the least rate allows or than the request has time; a byte more than the limit or the budget allow.

use crate::account::Account;
use crate::client_io::Watch;
use crate::core::Core;
use crate::deadlines::before;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT, HeaderName, HeaderValue};
use http::request;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use journey::{BodyArriving, Now, Refusal};
use payload::{BodyHead, Fed, Gathering, Held, InferenceRequest, Limits, ParseError, RequestParser, Rope};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// The most that is read of a refused request's body so that its connection may go on, bytes.
const DISCARD_BYTES_MAX: u64 = 64 << 10;

/// How long that may take.
const DISCARD_TIMEOUT: Duration = Duration::from_millis(500);

/// A request's body, as far as the journey has taken it.
#[derive(Debug)]
pub(crate) struct Arriving {
    body: Option<Incoming>,
    read: Option<Read>,
    /// The client waits for a word before it sends its body.
    expects: bool,
}

/// A body that was read.
#[derive(Debug)]
pub(crate) struct Read {
    /// Its bytes.
    pub(crate) held: Held,
    /// What the parser saw; `None` if it was only held.
    pub(crate) request: Option<InferenceRequest>,
}

impl Arriving {
    pub(crate) fn new(body: Incoming, head: &request::Parts, watch: &Watch) -> Arriving {
        let expects = head.headers.contains_key(EXPECT);
        if body.is_end_stream() {
            watch.request_is_whole();
        }
        Arriving { body: (!body.is_end_stream()).then_some(body), read: None, expects }
    }

    /// True while there is a body that was not begun.
    pub(crate) fn is_unread(&self) -> bool {
        self.body.is_some() && self.read.is_none()
    }

    /// The body, to be streamed through.
    pub(crate) fn take_unread(&mut self) -> Option<Incoming> {
        self.body.take()
    }

    /// What was read.
    pub(crate) fn take_read(&mut self) -> Option<Read> {
        self.read.take()
    }

    /// Reads and parses the body, and gives what the parser saw. A request without one is parsed as empty. `end`: when the
    /// request's time is over, and how long that was.
    pub(crate) async fn read(
        &mut self,
        core: &Core,
        account: &mut Account,
        head: &request::Parts,
        end: Option<(Now, Duration)>,
    ) -> Result<&InferenceRequest, Refusal> {
        let kind = BodyHead::new(head.uri.path(), only(head, CONTENT_TYPE)?, only(head, CONTENT_ENCODING)?)?;
        let limits = Limits { body_bytes_max: core.settings.body_bytes_max, ..Limits::default() };
        let mut parser = RequestParser::new(kind, limits);
        let gathered = self.gather(core, account, end, Some(&mut parser)).await;
        account.asks_for(parser.model());
        let mut gathering = gathered?;
        let request = parser.finish()?;
        gathering.beside(request.decoded.as_ref().map_or(0, Rope::bytes))?;
        account.parsed(&request);
        let read = self.read.insert(Read { held: gathering.finish(), request: None });
        Ok(read.request.insert(request))
    }

    /// Reads the body without looking at it.
    pub(crate) async fn hold(
        &mut self,
        core: &Core,
        account: &mut Account,
        end: Option<(Now, Duration)>,
    ) -> Result<(), Refusal> {
        let gathering = self.gather(core, account, end, None).await?;
        self.read = Some(Read { held: gathering.finish(), request: None });
        Ok(())
    }

    /// Reads the body; the parser, if there is one, sees each chunk.
    async fn gather(
        &mut self,
        core: &Core,
        account: &mut Account,
        end: Option<(Now, Duration)>,
        mut parser: Option<&mut RequestParser>,
    ) -> Result<Gathering, Refusal> {
        let mut gathering = Gathering::new(&core.budget);
        let Some(body) = &mut self.body else { return Ok(gathering) };
        let limit = core.settings.body_bytes_max;
        if body.size_hint().lower() > limit {
            return Err(ParseError::TooLarge { limit }.into());
        }
        core.budget.could_hold(body.size_hint().lower())?;
        let mut coming = BodyArriving::begun(core.deadlines.coarse());
        while let Some(chunk) = next_chunk(core, account, body, (&coming, end)).await? {
            coming.came(chunk.len() as u64, core.settings.body_pace(), core.deadlines.coarse());
            account.record.request_bytes += chunk.len() as u64;
            if account.record.request_bytes > limit {
                return Err(ParseError::TooLarge { limit }.into());
            }
            if let Some(parser) = &mut parser {
                parse(parser, &chunk, &mut gathering).await?;
            }
            gathering.push(chunk)?;
        }
        self.body = None;
        account.watch().request_is_whole();
        Ok(gathering)
    }

    /// Gets the rest of a refused request out of the way, if that is little; else its connection ends with the answer.
    pub(crate) async fn discard(&mut self, core: &Core, watch: &Watch) {
        let Some(mut body) = self.body.take() else { return };
        let little = body.size_hint().lower() <= DISCARD_BYTES_MAX;
        if self.expects || !little {
            return watch.close_lingering();
        }
        let deadline = core.deadlines.after(DISCARD_TIMEOUT);
        if before(&deadline, discard_whole(&mut body)).await != Some(Discarded::Whole) {
            watch.close_lingering();
        }
    }
}

/// Shows the parser a chunk, and the budget what it keeps of it. Between two parts of what a coded chunk stands for, others
/// have their turn.
async fn parse(parser: &mut RequestParser, chunk: &Bytes, gathering: &mut Gathering) -> Result<(), Refusal> {
    let mut rest = &chunk[..];
    while parser.feed_part(&mut rest)? == Fed::Partly {
        gathering.beside(parser.held_bytes())?;
        tokio::task::yield_now().await;
    }
    Ok(gathering.beside(parser.held_bytes())?)
}

/// The value of a header that says how a body is read: two of them would let two readers see two bodies.
fn only(head: &request::Parts, name: HeaderName) -> Result<Option<&[u8]>, Refusal> {
    let mut values = head.headers.get_all(name).iter();
    let value = values.next().map(HeaderValue::as_bytes);
    match values.next() {
        None => Ok(value),
        Some(_) => {
            Err(Refusal::MalformedRequest { what: "`Content-Type` or `Content-Encoding` stands twice" })
        }
    }
}

/// How the rest of a body went out of the way.
#[derive(Debug, PartialEq, Eq)]
enum Discarded {
    Whole,
    TooMuch,
}

async fn discard_whole(body: &mut Incoming) -> Discarded {
    let mut left = DISCARD_BYTES_MAX;
    while let Some(frame) = body.frame().await {
        let bytes = frame.ok().map(|frame| frame.data_ref().map_or(0, |data| data.len() as u64));
        match bytes.and_then(|bytes| left.checked_sub(bytes)) {
            Some(rest) => left = rest,
            None => return Discarded::TooMuch,
        }
    }
    Discarded::Whole
}

/// The next bytes of the body; `None` at its end. Trailers are dropped: what is sent on has a length in their place.
async fn next_chunk(
    core: &Core,
    account: &mut Account,
    body: &mut Incoming,
    (coming, end): (&BodyArriving, Option<(Now, Duration)>),
) -> Result<Option<Bytes>, Refusal> {
    let pace = core.settings.body_pace();
    let late = || match end {
        Some((end, limit)) if end <= core.deadlines.coarse() => {
            Refusal::BodyLate { received: coming.received(), limit }
        }
        _ => coming.refusal(pace),
    };
    loop {
        let mut waiting = None;
        let frame = std::future::poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            Poll::Pending => {
                let deadline = waiting.get_or_insert_with(|| {
                    account.pause();
                    let deadline = core.deadlines.unset();
                    deadline.set_at(coming.deadline(pace));
                    if let Some((end, _)) = end {
                        deadline.no_later_than(end);
                    }
                    deadline
                });
                deadline.poll(cx).map(|()| Err(late()))
            }
        })
        .await;
        if waiting.is_some() {
            account.resume();
        }
        match frame? {
            None => return Ok(None),
            Some(Err(error)) => {
                account.watch().request_breaks(&error);
                return Err(Refusal::MalformedRequest { what: "its body breaks off or is badly framed" });
            }
            Some(Ok(frame)) => {
                if let Ok(chunk) = frame.into_data() {
                    return Ok(Some(chunk));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use payload::Budget;
    use std::io::Write;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn a_few_bytes_that_stand_for_many_leave_the_thread_to_others_in_between() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        write!(encoder, r#"{{"model":"m","prompt":"{}"}}"#, "a".repeat(16 << 20)).unwrap();
        let chunk = Bytes::from(encoder.finish().unwrap());
        let head = BodyHead::new("/v1/completions", None, Some(b"gzip")).unwrap();
        let mut parser = RequestParser::new(head, Limits::default());
        let budget = Budget::new(64 << 20);
        let mut gathering = Gathering::new(&budget);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _inside = runtime.enter();
        let mut turns = 0;
        {
            let mut parsing = pin!(parse(&mut parser, &chunk, &mut gathering));
            while parsing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                turns += 1;
            }
        }
        assert!(turns >= 8, "{} bytes decoded in {turns} turns", 16 << 20);
        assert!(budget.held() >= 16 << 20);
    }
}
