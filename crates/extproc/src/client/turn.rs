//! What the answers of a picker come to: pure, message by message.
//!
//! In: the answers in their order. Out: a [`Verdict`], once the headers are answered and it is known what becomes of the
//! body. A body that comes back as it went is compared as it comes and not held a second time.
//! Source: Endpoint Picker Protocol, "Destination Endpoint"; ext_proc, FULL_DUPLEX_STREAMED: what goes on is what the
//! answers carry. Beyond it an answer without a mutation passes its part of the body on, and may come before the headers'
//! answer (some pickers of the field do that).

use crate::wire::{
    BodyMutation, BodyResponse, CommonResponse, HeaderMutation, HeaderSendMode, HeadersResponse,
    ImmediateResponse, Kind, LB_NAMESPACE, Mutation, ProcessingResponse, Response, ResponseStatus, Struct,
};
use bytes::Bytes;
use http::StatusCode;
use journey::headers::DESTINATION_ENDPOINT;
use payload::{Growing, Held, Rope, Share, Spent};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// The longest piece of an answer that a message repeats, bytes.
const TOLD_BYTES_MAX: usize = 128;

/// How far a list of endpoints is read: of those that are of the pool a few are used, and a list of more than that has no order
/// that anybody would mean.
const LISTED_MAX: usize = 64;

/// What a picker says of a request.
#[derive(Debug)]
pub enum Verdict {
    /// Where it goes.
    Picked(Box<Chosen>),
    /// It goes nowhere: the client is answered thus.
    Answered(Answer),
}

/// Where a request goes, and as what.
#[derive(Debug, Default)]
pub struct Chosen {
    /// In the order of preference; never empty.
    pub endpoints: SmallVec<[SocketAddr; 4]>,
    /// Changes of its headers: see [`apply`](super::apply).
    pub headers: HeaderMutation,
    /// Its body, if it is another one than was sent; charged for what is not of that.
    pub body: Option<Held>,
}

/// A picker's own answer to the client.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, as changes of none.
    pub headers: HeaderMutation,
    /// Its body.
    pub body: Bytes,
    /// A word for the log; perhaps empty.
    pub details: String,
}

/// What a picker says of a response.
#[derive(Debug, Clone)]
pub enum Shown {
    /// It goes on as it came.
    Unchanged,
    /// It goes on, changed.
    Changed {
        /// Changes of its headers: see [`apply`](super::apply).
        headers: HeaderMutation,
        /// The body in the place of its own.
        body: Option<Bytes>,
    },
    /// The client is answered thus in its place.
    Answered(Answer),
}

/// Whether the head of the response is to be shown to the picker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseHeaders {
    Shown,
    Skipped,
}

/// Why an answer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is not the protocol.
    Garbage(String),
    /// Its body does not fit a limit.
    TooLarge(String),
}

/// What may be held of a body that comes back as another one: its charge, given back with it, and the most bytes.
#[derive(Debug)]
pub(super) struct Allowance {
    share: Share,
    bytes_max: u64,
}

impl Allowance {
    pub(super) fn new(share: Share, bytes_max: u64) -> Allowance {
        Allowance { share, bytes_max }
    }

    fn take(&mut self, bytes: usize) -> Result<(), Wrong> {
        let bytes = self.share.bytes() + bytes as u64;
        if bytes > self.bytes_max {
            return Err(Wrong::TooLarge(format!("more than {} bytes", self.bytes_max)));
        }
        self.share.hold(bytes).map_err(|spent| Wrong::TooLarge(no_room(spent)))
    }
}

/// Why a picker's bytes are not held.
pub(super) fn no_room(spent: Spent) -> String {
    format!("the gateway holds {} of at most {} bytes", spent.held, spent.limit)
}

/// One request at a picker.
#[derive(Debug)]
pub(super) struct Turn {
    chosen: Option<Chosen>,
    echo: Echo,
    pub(super) response_headers: ResponseHeaders,
}

impl Turn {
    /// A request whose `body` was sent in messages of these `parts`.
    pub(super) fn new(body: &Rope, parts: Vec<usize>, allowance: Allowance) -> Turn {
        Turn {
            chosen: None,
            echo: Echo::new(body, parts, allowance),
            response_headers: ResponseHeaders::Shown,
        }
    }

    /// The next answer. `None`: more is to come.
    pub(super) fn take(&mut self, answer: ProcessingResponse) -> Result<Option<Verdict>, Wrong> {
        if let Some(mode) = &answer.mode_override
            && mode.response_header_mode() == HeaderSendMode::Skip
        {
            self.response_headers = ResponseHeaders::Skipped;
        }
        match answer.response {
            Some(Response::ImmediateResponse(immediate)) => {
                return answered(immediate).map(|answer| Some(Verdict::Answered(answer)));
            }
            Some(Response::RequestHeaders(headers)) if self.chosen.is_none() => {
                self.headers(headers, answer.dynamic_metadata.as_ref())?;
            }
            Some(Response::RequestBody(body)) => self.body(body)?,
            // What a picker says of trailers is about none: there are none.
            Some(Response::RequestTrailers(_)) => {}
            Some(Response::RequestHeaders(_)) => {
                return Err(garbage("the request's headers are answered twice"));
            }
            Some(_) => return Err(garbage("a response is answered before the request")),
            // More time may be asked for. It has what it has.
            None if answer.override_message_timeout.is_some() => {}
            None => return Err(garbage("an answer to nothing")),
        }
        if !self.echo.ended {
            return Ok(None);
        }
        let Some(chosen) = self.chosen.take() else { return Ok(None) };
        let chosen = Chosen { body: self.echo.changed(), ..chosen };
        Ok(Some(Verdict::Picked(Box::new(chosen))))
    }

    fn headers(
        &mut self,
        HeadersResponse { response }: HeadersResponse,
        metadata: Option<&Struct>,
    ) -> Result<(), Wrong> {
        let CommonResponse { status, header_mutation, body_mutation, .. } = response.unwrap_or_default();
        let headers = header_mutation.unwrap_or_default();
        let named = headers
            .set_headers
            .iter()
            .filter_map(|option| option.header.as_ref())
            .find(|header| header.key.eq_ignore_ascii_case(DESTINATION_ENDPOINT.as_str().as_bytes()))
            .map(|header| header.bytes().clone())
            .or_else(|| destination_in(metadata?));
        let named = named.ok_or_else(|| garbage("its answer names no x-gateway-destination-endpoint"))?;
        self.chosen = Some(Chosen { endpoints: endpoints(&named)?, headers, body: None });
        if replaces(status) {
            self.echo.replace(replacement(body_mutation))?;
        }
        Ok(())
    }

    fn body(&mut self, BodyResponse { response }: BodyResponse) -> Result<(), Wrong> {
        let body = response.and_then(|response| response.body_mutation).and_then(|body| body.mutation);
        match body {
            Some(Mutation::StreamedResponse(streamed)) => {
                self.echo.push(streamed.body)?;
                self.echo.ended |= streamed.end_of_stream;
                Ok(())
            }
            other => self.echo.answer_part(other),
        }
    }
}

/// What the answer to a response's head comes to; `None`: it is not that answer, and more is to come.
pub(super) fn shown(answer: ProcessingResponse) -> Result<Option<Shown>, Wrong> {
    let HeadersResponse { response } = match answer.response {
        Some(Response::ImmediateResponse(immediate)) => {
            return answered(immediate).map(|answer| Some(Shown::Answered(answer)));
        }
        Some(Response::ResponseHeaders(headers)) => headers,
        // What is left of the answers to a request that has gone on.
        Some(Response::RequestBody(_) | Response::RequestTrailers(_)) => return Ok(None),
        None if answer.override_message_timeout.is_some() => return Ok(None),
        _ => return Err(garbage("something else was to be answered than the head of the response")),
    };
    let Some(CommonResponse { status, header_mutation, body_mutation, .. }) = response else {
        return Ok(Some(Shown::Unchanged));
    };
    let body = replaces(status).then(|| replacement(body_mutation));
    Ok(Some(Shown::Changed { headers: header_mutation.unwrap_or_default(), body }))
}

/// Whether an answer to headers replaces the body that they came with.
fn replaces(status: i32) -> bool {
    status == i32::from(ResponseStatus::ContinueAndReplace)
}

/// The body that replaces another: empty if the answer has none.
fn replacement(mutation: Option<BodyMutation>) -> Bytes {
    match mutation.and_then(|body| body.mutation) {
        Some(Mutation::Body(body)) => body,
        _ => Bytes::new(),
    }
}

/// The destination in metadata, in its namespace.
fn destination_in(metadata: &Struct) -> Option<Bytes> {
    let Some(Kind::StructValue(lb)) = &metadata.fields.get(LB_NAMESPACE)?.kind else { return None };
    Some(Bytes::copy_from_slice(lb.fields.get(DESTINATION_ENDPOINT.as_str())?.as_str()?.as_bytes()))
}

/// The beginning of an ordered list of endpoints: `ip:port,ip:port`.
fn endpoints(list: &[u8]) -> Result<SmallVec<[SocketAddr; 4]>, Wrong> {
    let wrong = || garbage(&format!("the destination {:?} is no list of ip:port", told(list)));
    let endpoint = |text| std::str::from_utf8(text).ok()?.trim().parse().ok();
    let listed = list.split(|byte| *byte == b',').take(LISTED_MAX);
    listed.map(|text| endpoint(text).ok_or_else(wrong)).collect()
}

fn told(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(TOLD_BYTES_MAX)]).into_owned()
}

fn garbage(what: &str) -> Wrong {
    Wrong::Garbage(what.to_owned())
}

fn answered(immediate: ImmediateResponse) -> Result<Answer, Wrong> {
    // Envoy takes a missing status for 200.
    let code = immediate.status.map_or(200, |status| status.code);
    let status = u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.filter(|status| !status.is_informational());
    let status = status.ok_or_else(|| garbage(&format!("an answer of status {code}")))?;
    let headers = immediate.headers.unwrap_or_default();
    Ok(Answer { status, headers, body: immediate.body, details: immediate.details })
}

/// The body as it comes back.
#[derive(Debug)]
struct Echo {
    sent: Rope,
    /// Parts that were sent and are not answered.
    parts: VecDeque<usize>,
    /// The next byte of `sent` to compare: its chunk, and the place in that.
    at: (usize, usize),
    /// Bytes that came back as they went.
    same: u64,
    /// From the first byte on that did not: the whole body as it came back.
    changed: Option<Growing>,
    allowance: Allowance,
    ended: bool,
}

impl Echo {
    fn new(sent: &Rope, parts: Vec<usize>, allowance: Allowance) -> Echo {
        Echo {
            sent: sent.clone(),
            ended: parts.is_empty(),
            parts: parts.into(),
            at: (0, 0),
            same: 0,
            changed: None,
            allowance,
        }
    }

    /// The next bytes.
    fn push(&mut self, piece: Bytes) -> Result<(), Wrong> {
        if self.ended && !piece.is_empty() {
            return Err(garbage("more of the body comes after its end"));
        }
        if self.changed.is_none() && self.comes_back(&piece) {
            return Ok(());
        }
        self.allowance.take(piece.len())?;
        let changed = self
            .changed
            .get_or_insert_with(|| self.sent.splice(self.same..self.sent.bytes(), Bytes::new()).into());
        changed.push(piece);
        Ok(())
    }

    /// Compares a piece with what was sent; moves on only if all of it is the same.
    fn comes_back(&mut self, piece: &[u8]) -> bool {
        let (mut chunk, mut offset) = self.at;
        let mut left = piece;
        while !left.is_empty() {
            let Some(own) = self.sent.chunks().get(chunk).map(|own| &own[offset..]) else { return false };
            let length = own.len().min(left.len());
            if own[..length] != left[..length] {
                return false;
            }
            left = &left[length..];
            (chunk, offset) = if length == own.len() { (chunk + 1, 0) } else { (chunk, offset + length) };
        }
        self.at = (chunk, offset);
        self.same += piece.len() as u64;
        true
    }

    /// The next part is answered otherwise than by a streamed piece: as it went, emptied, or replaced.
    fn answer_part(&mut self, mutation: Option<Mutation>) -> Result<(), Wrong> {
        let part =
            self.parts.pop_front().ok_or_else(|| garbage("the body is answered oftener than it was sent"))?;
        let end = self.sent_up_to();
        match mutation {
            Some(Mutation::Body(body)) => self.push(body)?,
            Some(Mutation::ClearBody(true)) => {}
            _ => {
                let own = self.sent.splice(end..self.sent.bytes(), Bytes::new());
                let own = own.splice(0..end - part as u64, Bytes::new());
                own.into_chunks().try_for_each(|piece| self.push(piece))?;
            }
        }
        self.ended = self.parts.is_empty();
        Ok(())
    }

    /// Where the part that was answered last ends in the body that was sent.
    fn sent_up_to(&self) -> u64 {
        self.sent.bytes() - self.parts.iter().map(|part| *part as u64).sum::<u64>()
    }

    /// The whole body is replaced, and nothing more of it is answered.
    fn replace(&mut self, body: Bytes) -> Result<(), Wrong> {
        self.allowance.take(body.len())?;
        self.changed = Some(Rope::from_iter([body]).into());
        self.ended = true;
        Ok(())
    }

    /// The body as it came back, if it is another one.
    fn changed(&mut self) -> Option<Held> {
        let cut_short = || self.sent.splice(self.same..self.sent.bytes(), Bytes::new());
        let changed = self.changed.take().map(Growing::finish);
        let changed = changed.or_else(|| (self.same < self.sent.bytes()).then(cut_short))?;
        let empty = self.allowance.share.another();
        Some(Held::new(changed, std::mem::replace(&mut self.allowance.share, empty)))
    }
}

#[cfg(test)]
mod tests;
