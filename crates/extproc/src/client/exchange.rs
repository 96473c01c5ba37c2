//! One request at a picker: one gRPC stream, from the request's head to the end of its response.

use super::Failure;
use super::channel::{Pickers, Place, Waited};
use super::message;
use super::turn::{Charge, ResponseHeaders, Shown, Turn, Verdict, Wrong, shown};
use crate::grpc::{Decoder, FrameError};
use crate::wire::{PROCESS_PATH, ProcessingResponse};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, TE};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use payload::Rope;
use state::{EndpointPicker, Pool, Transport};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::{self, Debug, Formatter};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// What a message of a picker may be longer than the longest body, bytes.
const MESSAGE_BYTES_MORE: u64 = 1 << 20;

/// How often a request is begun: a connection that was idle may have died without a word.
const ATTEMPTS_MAX: usize = 2;

/// What a picker is asked.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The pool, which names the endpoints to choose from.
    pub pool: &'a Arc<Pool>,
    /// The request's head, as it will leave.
    pub head: &'a http::request::Parts,
    /// The scheme that the client spoke.
    pub scheme: &'static str,
    /// The request's body, whole.
    pub body: &'a Rope,
    /// Which of the picker's endpoints is asked first.
    pub turn: usize,
    /// What it gets of the request's own time: the pick may take no longer.
    pub limit: Duration,
    /// Who made the limit what it is.
    pub limit_of: LimitOf,
}

/// Who made a pick's limit what it is: a client that leaves its request no time does not put a picker to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitOf {
    /// The route, or the settings.
    Route,
    /// The client, who took most of its request's time over the body.
    Client,
}

/// The least limit of a route that says anything of a picker which lets it pass.
const TOLD_FROM: Duration = Duration::from_millis(100);

/// What it says of a picker that it let `limit` pass.
fn waited(limit: Duration, limit_of: LimitOf, pick_timeout: Duration) -> Waited {
    match limit_of {
        _ if limit >= pick_timeout => Waited::Long,
        LimitOf::Route if limit >= TOLD_FROM => Waited::Briefly,
        _ => Waited::TooBriefly,
    }
}

type ResponseHead = Pin<Box<dyn Future<Output = hyper::Result<http::Response<Incoming>>>>>;

/// A stream with a picker. Dropped, it is closed: so the picker learns that the request has ended.
pub struct Exchange {
    outbox: Rc<RefCell<Outbox>>,
    answers: Answers,
    decoder: Decoder,
    response_headers: ResponseHeaders,
    begun: Instant,
    /// The picker has answered something.
    heard: bool,
    place: Place,
}

/// The answers, as far as they have come.
enum Answers {
    Awaited(ResponseHead),
    Coming(Incoming),
    Ended,
}

impl Debug for Exchange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("endpoint", &self.place.endpoint()).finish_non_exhaustive()
    }
}

impl Pickers {
    /// Asks a picker where a request goes. `charge` is asked before bytes of a changed body are held, and says why not.
    pub async fn pick(
        &self,
        picker: &EndpointPicker,
        asked: Asked<'_>,
        charge: Charge<'_>,
    ) -> Result<(Exchange, Verdict), Failure> {
        let limit = asked.limit.min(self.settings.pick_timeout);
        let late = Failure::TimedOut { limit };
        let deadline = Instant::now() + limit;
        let mut attempt = 0;
        loop {
            let place = timeout_at(deadline, self.place(picker, asked.turn + attempt)).await;
            let place = place.map_err(|_| late.clone())??;
            let (mut exchange, mut turn) = self.begin(picker, place, asked)?;
            attempt += 1;
            match timeout_at(deadline, exchange.verdict(&mut turn, &mut *charge)).await {
                Ok(Ok(verdict)) => {
                    exchange.place.works();
                    exchange.response_headers = turn.response_headers;
                    return Ok((exchange, verdict));
                }
                Ok(Err(Failure::Broken { .. })) if !exchange.heard && attempt < ATTEMPTS_MAX => {}
                Ok(Err(failure)) => return Err(failure),
                Err(_) => {
                    let waited = waited(limit, asked.limit_of, self.settings.pick_timeout);
                    exchange.place.times_out(exchange.begun, waited, &late.to_string());
                    return Err(late);
                }
            }
        }
    }

    /// Begins an exchange: everything about the request is on its way, as fast as the picker takes it.
    fn begin(
        &self,
        picker: &EndpointPicker,
        place: Place,
        asked: Asked<'_>,
    ) -> Result<(Exchange, Turn), Failure> {
        let mut pieces = Vec::new();
        let hint = self.hint(asked.pool);
        message::request_headers(asked.head, asked.scheme, asked.body.is_empty(), &hint, &mut pieces);
        let parts = message::request_body(asked.body, &mut pieces);
        pieces.retain(|piece| !piece.is_empty());
        let outbox = Rc::new(RefCell::new(Outbox { pieces: pieces.into(), ended: false, waker: None }));
        let scheme = match picker.transport {
            Transport::Tls => "https",
            Transport::Plaintext => "http",
        };
        let target = Uri::builder().scheme(scheme).authority(&*picker.host).path_and_query(PROCESS_PATH);
        let target = target.build().map_err(|error| broken(&place, &error.to_string()))?;
        let mut request = Request::post(target)
            .body(Outgoing(Rc::clone(&outbox)))
            .map_err(|error| broken(&place, &error.to_string()))?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
        let limit = self.settings.body_bytes_max.saturating_add(MESSAGE_BYTES_MORE);
        let exchange = Exchange {
            outbox,
            answers: Answers::Awaited(Box::pin(place.sender().send_request(request))),
            decoder: Decoder::new(usize::try_from(limit).unwrap_or(usize::MAX)),
            response_headers: ResponseHeaders::Shown,
            begun: Instant::now(),
            heard: false,
            place,
        };
        Ok((exchange, Turn::new(asked.body, parts)))
    }
}

impl Exchange {
    async fn verdict(&mut self, turn: &mut Turn, charge: Charge<'_>) -> Result<Verdict, Failure> {
        while let Some(answer) = self.next().await? {
            if let Some(verdict) = turn.take(answer, &mut *charge).map_err(|wrong| self.wrong(wrong))? {
                return Ok(verdict);
            }
        }
        Err(broken(&self.place, "the stream ended"))
    }

    /// Shows the picker the head of the response and which endpoint gave it, and answers what it makes of that: nothing if
    /// it does not want to see it, or has ended the stream.
    pub async fn answered(
        &mut self,
        head: (StatusCode, &HeaderMap),
        served: SocketAddr,
        bodiless: bool,
        limit: Duration,
    ) -> Result<Shown, Failure> {
        if self.response_headers == ResponseHeaders::Skipped || matches!(self.answers, Answers::Ended) {
            return Ok(Shown::Unchanged);
        }
        self.outbox.borrow_mut().push(message::response_headers(head, served, bodiless));
        let answered = timeout(limit, async {
            while let Some(answer) = self.next().await? {
                if let Some(shown) = shown(answer).map_err(|wrong| self.wrong(wrong))? {
                    return Ok(shown);
                }
            }
            Ok(Shown::Unchanged)
        });
        answered.await.unwrap_or(Err(Failure::TimedOut { limit }))
    }

    fn wrong(&self, wrong: Wrong) -> Failure {
        match wrong {
            Wrong::Garbage(what) => Failure::Garbage { endpoint: self.place.endpoint(), what },
            Wrong::TooLarge(why) => Failure::BodyTooLarge { why },
        }
    }

    /// The next answer; `None` once the picker has ended the stream in order.
    async fn next(&mut self) -> Result<Option<ProcessingResponse>, Failure> {
        loop {
            let next = self.decoder.next_message().map_err(|error| self.garbage(&error))?;
            if next.is_some() {
                self.heard = true;
                return Ok(next);
            }
            match &mut self.answers {
                Answers::Awaited(head) => {
                    let response = head.await.map_err(|error| broken(&self.place, &told(&error)))?;
                    self.place.heard();
                    self.open(response)?;
                }
                Answers::Coming(body) => {
                    let frame = body.frame().await;
                    self.place.heard();
                    match frame.map(|frame| frame.map(Frame::into_data)) {
                        Some(Ok(Ok(data))) => self.decoder.feed(data),
                        Some(Ok(Err(frame))) => {
                            let trailers = frame.into_trailers().unwrap_or_default();
                            self.end(&trailers)?;
                        }
                        Some(Err(error)) => return Err(broken(&self.place, &told(&error))),
                        None => self.end(&HeaderMap::new())?,
                    }
                }
                Answers::Ended => return Ok(None),
            }
        }
    }

    /// The head of the stream came.
    fn open(&mut self, response: http::Response<Incoming>) -> Result<(), Failure> {
        let content_type = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let is_grpc = content_type.is_some_and(|value| value.starts_with(b"application/grpc"));
        if response.status() != StatusCode::OK || !is_grpc {
            let what = format!("status {} and no gRPC", response.status().as_u16());
            return Err(Failure::Garbage { endpoint: self.place.endpoint(), what });
        }
        if response.headers().contains_key(GRPC_STATUS) {
            return self.end(response.headers());
        }
        self.answers = Answers::Coming(response.into_body());
        Ok(())
    }

    fn end(&mut self, trailers: &HeaderMap) -> Result<(), Failure> {
        self.answers = Answers::Ended;
        self.decoder.finish().map_err(|error| self.garbage(&error))?;
        let text = |name| trailers.get(name).map_or("", |value: &HeaderValue| value.to_str().unwrap_or(""));
        match text(GRPC_STATUS) {
            "" | "0" => Ok(()),
            status => {
                let message = &text(GRPC_MESSAGE);
                Err(broken(&self.place, &format!("gRPC status {status}: {}", message.escape_debug())))
            }
        }
    }

    fn garbage(&self, error: &FrameError) -> Failure {
        Failure::Garbage { endpoint: self.place.endpoint(), what: error.to_string() }
    }
}

const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";

fn broken(place: &Place, why: &str) -> Failure {
    Failure::Broken { endpoint: place.endpoint(), why: why.to_owned() }
}

/// An error with its causes.
fn told(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut outbox = self.outbox.borrow_mut();
        outbox.pieces.clear();
        outbox.ended = true;
        outbox.wake();
    }
}

/// What is still to be sent: pieces that are held anyway, read when the connection takes them.
#[derive(Debug)]
struct Outbox {
    pieces: VecDeque<Bytes>,
    ended: bool,
    waker: Option<Waker>,
}

impl Outbox {
    fn push(&mut self, piece: Bytes) {
        self.pieces.push_back(piece);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The body of the stream to a picker.
#[derive(Debug)]
pub(super) struct Outgoing(Rc<RefCell<Outbox>>);

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut outbox = self.0.borrow_mut();
        match outbox.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if outbox.ended => Poll::Ready(None),
            None => {
                outbox.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cannot_put_a_picker_to_rest_and_a_route_can() {
        let second = Duration::from_secs;
        for (limit, limit_of, told) in [
            (second(10), LimitOf::Route, Waited::Long),
            (second(10), LimitOf::Client, Waited::Long),
            (second(9), LimitOf::Route, Waited::Briefly),
            (second(9), LimitOf::Client, Waited::TooBriefly),
            (TOLD_FROM, LimitOf::Route, Waited::Briefly),
            (TOLD_FROM / 2, LimitOf::Route, Waited::TooBriefly),
        ] {
            assert_eq!(waited(limit, limit_of, second(10)), told, "{limit:?} of {limit_of:?}");
        }
    }
}
