//! One request at a picker: one gRPC stream, from the request's head to the end of its response.

use super::Failure;
use super::channel::{Pickers, Place, Waited};
use super::message;
use super::turn::{Allowance, Answer, ResponseHeaders, Shown, Turn, Verdict, Wrong, no_room, shown};
use crate::grpc::{Decoder, FrameError};
use crate::wire::{BODIES_OF_RESPONSE, PROCESS_PATH, ProcessingResponse};
use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::header::{CONTENT_TYPE, HeaderValue, TE};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use payload::{Budget, Rope, Share, Spent};
use state::{EndpointPicker, Pool, Transport};
use std::fmt::{self, Debug, Display, Formatter};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// What a message of a picker may have beside a body, bytes: every header again that the picker was shown, and its list of
/// endpoints. With a longer one so many headers might be set that no map has room for them.
const BESIDE_BODY_BYTES_MAX: usize = 256 << 10;

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
    /// What the picker's bytes are charged to.
    pub budget: &'a Arc<Budget>,
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

/// How long a picker may take to end a stream whose request has ended: then it is reset, as Envoy does it. Until then the
/// stream has its place on the connection.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);

/// A stream with a picker. Dropped before it has ended on both sides it is reset as cancelled, whatever of it waits to be
/// sent: so the picker learns that the request was broken off.
pub struct Exchange {
    outgoing: SendStream<Bytes>,
    answers: Answers,
    decoder: Decoder,
    /// The charge for what the decoder holds.
    arriving: Share,
    response_headers: ResponseHeaders,
    begun: Instant,
    /// The picker has answered something.
    heard: bool,
    place: Place,
}

/// The answers, as far as they have come.
enum Answers {
    Awaited(ResponseFuture),
    Coming(RecvStream),
    Ended,
}

impl Debug for Exchange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("endpoint", &self.place.endpoint()).finish_non_exhaustive()
    }
}

impl Pickers {
    /// Asks a picker where a request goes.
    pub async fn pick(
        &self,
        picker: &EndpointPicker,
        asked: Asked<'_>,
    ) -> Result<(Exchange, Verdict), Failure> {
        let limit = asked.limit.min(self.settings.pick_timeout);
        let late = Failure::TimedOut { limit };
        let deadline = Instant::now() + limit;
        let mut attempt = 0;
        loop {
            let place = timeout_at(deadline, self.place(picker, asked.turn + attempt)).await;
            let place = place.map_err(|_| late.clone())??;
            attempt += 1;
            let (mut exchange, mut turn) = match self.begin(picker, place, asked) {
                Ok(begun) => begun,
                Err(Failure::Broken { .. }) if attempt < ATTEMPTS_MAX => continue,
                Err(failure) => return Err(failure),
            };
            match timeout_at(deadline, exchange.verdict(&mut turn)).await {
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
        let scheme = match picker.transport {
            Transport::Tls => "https",
            Transport::Plaintext => "http",
        };
        let target = Uri::builder().scheme(scheme).authority(&*picker.host).path_and_query(PROCESS_PATH);
        let target = target.build().map_err(|error| broken(&place, &error))?;
        let mut request = Request::post(target).body(()).map_err(|error| broken(&place, &error))?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
        let body_bytes_max = self.settings.body_bytes_max;
        let mut exchange = Exchange::open(place, request, body_bytes_max, asked.budget)?;
        let mut pieces = Vec::new();
        let hint = self.hint(asked.pool);
        message::request_headers(asked.head, asked.scheme, asked.body.is_empty(), &hint, &mut pieces);
        let parts = message::request_body(asked.body, &mut pieces);
        pieces.retain(|piece| !piece.is_empty());
        pieces.into_iter().for_each(|piece| exchange.send(piece));
        let allowance = Allowance::new(Share::new(asked.budget), body_bytes_max);
        Ok((exchange, Turn::new(asked.body, parts, allowance)))
    }
}

impl Exchange {
    /// Opens the stream; a body in a message of the picker may have so many bytes.
    fn open(
        place: Place,
        request: Request<()>,
        body_bytes_max: u64,
        budget: &Arc<Budget>,
    ) -> Result<Exchange, Failure> {
        let limit = usize::try_from(body_bytes_max).unwrap_or(usize::MAX);
        let limit = limit.saturating_add(BESIDE_BODY_BYTES_MAX);
        let sent = place.sender().send_request(request, false);
        let (answer, outgoing) = sent.map_err(|error| broken(&place, &error))?;
        Ok(Exchange {
            outgoing,
            answers: Answers::Awaited(answer),
            decoder: Decoder::new(limit).with_beside(&BODIES_OF_RESPONSE, BESIDE_BODY_BYTES_MAX),
            arriving: Share::new(budget),
            response_headers: ResponseHeaders::Shown,
            begun: Instant::now(),
            heard: false,
            place,
        })
    }

    async fn verdict(&mut self, turn: &mut Turn) -> Result<Verdict, Failure> {
        while let Some(answer) = self.next().await? {
            match turn.take(answer).map_err(|wrong| self.wrong(wrong))? {
                Some(Verdict::Answered(answer)) => return self.charged(answer).map(Verdict::Answered),
                Some(picked) => return Ok(picked),
                None => {}
            }
        }
        Err(broken(&self.place, &"the stream ended"))
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
        self.send(message::response_headers(head, served, bodiless));
        let answered = timeout(limit, async {
            while let Some(answer) = self.next().await? {
                match shown(answer).map_err(|wrong| self.wrong(wrong))? {
                    Some(Shown::Answered(answer)) => return self.charged(answer).map(Shown::Answered),
                    Some(Shown::Changed { headers, body: Some(body) }) => {
                        return Ok(Shown::Changed { headers, body: Some(self.charged_bytes(body)?) });
                    }
                    Some(shown) => return Ok(shown),
                    None => {}
                }
            }
            Ok(Shown::Unchanged)
        });
        answered.await.unwrap_or(Err(Failure::TimedOut { limit }))
    }

    /// The request has ended well: the picker is told so, and has [`CLOSING_TIMEOUT`] to end the stream too.
    pub fn finish(self) {
        tokio::task::spawn_local(timeout(CLOSING_TIMEOUT, self.close()));
    }

    /// Says its last, and waits for the picker's; of what comes meanwhile nothing is read.
    async fn close(mut self) -> Result<(), h2::Error> {
        self.outgoing.send_data(Bytes::new(), true)?;
        let Answers::Coming(body) = &mut self.answers else { return Ok(()) };
        while let Some(data) = next_data(body).await {
            data?;
        }
        body.trailers().await.map(drop)
    }

    /// Sends what is held anyway, as the connection takes it. A stream that has broken tells so where its answers are read.
    fn send(&mut self, piece: Bytes) {
        let _ = self.outgoing.send_data(piece, false);
    }

    /// An answer of the picker's own, whose body is charged until it has left.
    fn charged(&self, answer: Answer) -> Result<Answer, Failure> {
        Ok(Answer { body: self.charged_bytes(answer.body)?, ..answer })
    }

    fn charged_bytes(&self, bytes: Bytes) -> Result<Bytes, Failure> {
        let mut share = self.arriving.another();
        share.hold(bytes.len() as u64).map_err(no_room_left)?;
        Ok(share.around(bytes))
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
            self.arriving.hold(self.decoder.held_bytes()).map_err(no_room_left)?;
            if next.is_some() {
                self.heard = true;
                return Ok(next);
            }
            match &mut self.answers {
                Answers::Awaited(head) => {
                    let response = head.await.map_err(|error| broken(&self.place, &error))?;
                    self.place.heard();
                    self.begins(response)?;
                }
                Answers::Coming(body) => {
                    let data = next_data(body).await;
                    self.place.heard();
                    match data {
                        Some(data) => {
                            self.decoder.feed(data.map_err(|error| broken(&self.place, &error))?);
                        }
                        None => {
                            let trailers = body.trailers().await;
                            let trailers = trailers.map_err(|error| broken(&self.place, &error))?;
                            self.end(&trailers.unwrap_or_default())?;
                        }
                    }
                }
                Answers::Ended => return Ok(None),
            }
        }
    }

    /// The head of the stream came.
    fn begins(&mut self, response: Response<RecvStream>) -> Result<(), Failure> {
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
                Err(broken(&self.place, &format_args!("gRPC status {status}: {}", message.escape_debug())))
            }
        }
    }

    fn garbage(&self, error: &FrameError) -> Failure {
        Failure::Garbage { endpoint: self.place.endpoint(), what: error.to_string() }
    }
}

const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";

fn broken(place: &Place, why: &dyn Display) -> Failure {
    Failure::Broken { endpoint: place.endpoint(), why: why.to_string() }
}

fn no_room_left(spent: Spent) -> Failure {
    Failure::BodyTooLarge { why: no_room(spent) }
}

/// The next bytes of a stream; the picker may send as many more.
async fn next_data(body: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    let data = body.data().await?;
    Some(data.and_then(|data| body.flow_control().release_capacity(data.len()).map(|()| data)))
}

#[cfg(test)]
mod tests {
    use super::super::channel::tests::place;
    use super::*;
    use h2::Reason;
    use std::future::poll_fn;
    use tokio::task::{LocalSet, spawn_local};

    /// A stream of which the picker has answered the head, and the picker's side of it.
    async fn stream() -> (Exchange, RecvStream, SendStream<Bytes>) {
        let (near, far) = tokio::io::duplex(1 << 20);
        let accepted = spawn_local(async {
            let mut connection = h2::server::handshake(far).await.unwrap();
            let (request, mut respond) = connection.accept().await.unwrap().unwrap();
            let head = Response::builder().header(CONTENT_TYPE, "application/grpc").body(()).unwrap();
            let answers = respond.send_response(head, false).unwrap();
            // Driven on.
            spawn_local(async move { while connection.accept().await.is_some() {} });
            (request.into_body(), answers)
        });
        let request = Request::post("http://picker/").body(()).unwrap();
        let mut exchange =
            Exchange::open(place(near).await, request, 1 << 10, &Budget::new(1 << 20)).unwrap();
        let Answers::Awaited(head) = &mut exchange.answers else { panic!("no answer yet") };
        let head = head.await.unwrap();
        exchange.begins(head).unwrap();
        let (body, answers) = accepted.await.unwrap();
        (exchange, body, answers)
    }

    /// The picker is told that nothing more comes.
    async fn ends(body: &mut RecvStream) {
        let last = body.data().await.expect("a last word").expect("no reset");
        assert!(last.is_empty() && body.is_end_stream());
    }

    async fn reset(answers: &mut SendStream<Bytes>) -> Reason {
        poll_fn(|cx| answers.poll_reset(cx)).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_picker_that_does_not_end_a_stream_which_was_finished_has_it_reset() {
        let finished = async {
            let (exchange, mut body, mut answers) = stream().await;
            let (place, begun) = (exchange.place.another_look(), Instant::now());
            exchange.finish();
            ends(&mut body).await;
            assert_eq!((begun.elapsed(), place.streams()), (Duration::ZERO, 1));
            assert_eq!(reset(&mut answers).await, Reason::CANCEL);
            assert_eq!((begun.elapsed(), place.streams()), (CLOSING_TIMEOUT, 0));
        };
        LocalSet::new().run_until(finished).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_picker_that_ends_a_finished_stream_gives_its_place_back_and_sees_no_reset() {
        let finished = async {
            let (exchange, mut body, mut answers) = stream().await;
            let place = exchange.place.another_look();
            exchange.finish();
            ends(&mut body).await;
            answers.send_data(Bytes::from(vec![0; 3 << 20]), false).unwrap();
            answers.send_trailers(HeaderMap::new()).unwrap();
            let resets = timeout(CLOSING_TIMEOUT * 2, poll_fn(|cx| answers.poll_reset(cx))).await;
            assert!(!matches!(resets, Ok(Ok(_))), "{resets:?}");
            assert_eq!(place.streams(), 0);
        };
        LocalSet::new().run_until(finished).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_broken_off_is_reset_at_once_though_the_picker_reads_nothing() {
        let broken_off = async {
            let (mut exchange, _body, mut answers) = stream().await;
            let begun = Instant::now();
            exchange.send(Bytes::from(vec![0; 1 << 20]));
            drop(exchange);
            assert_eq!(reset(&mut answers).await, Reason::CANCEL);
            assert_eq!(begun.elapsed(), Duration::ZERO);
        };
        LocalSet::new().run_until(broken_off).await;
    }

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
