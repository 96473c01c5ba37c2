//! Endpoints that tell what they were sent: one stands before each endpoint of a journey.
//!
//! It reports what a step gives it, and answers what the step says, or what the simulated model server behind it does.

use crate::support::send;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use journeys::{Ends, PerEndpoint, Reply, Report, Sent};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio::task::spawn_local;

/// The header by which a request and its answer are known to each other.
const REQUEST_ID: &str = "x-request-id";

/// What the endpoints of a gateway were sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorder {
    /// By the request's id.
    sent: Rc<RefCell<HashMap<String, Sent>>>,
    /// The pages of metrics, by pool and place.
    pages: Rc<RefCell<HashMap<(String, usize), String>>>,
    /// What the step says that they answer.
    replies: Rc<RefCell<Option<PerEndpoint<Reply>>>>,
}

impl Recorder {
    /// Starts an endpoint before a model server, if there is one.
    pub(crate) async fn stand_before(
        &self,
        behind: Option<SocketAddr>,
        pool: &str,
        place: usize,
    ) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (recorder, pool) = (self.clone(), pool.to_owned());
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (recorder, pool) = (recorder.clone(), pool.clone());
                let service = service_fn(move |request| {
                    let (recorder, at) = (recorder.clone(), (pool.clone(), place));
                    async move { Ok::<_, Infallible>(recorder.answer(behind, at, request).await) }
                });
                let serving = hyper::server::conn::http1::Builder::new();
                spawn_local(serving.serve_connection(TokioIo::new(stream), service));
            }
        });
        address
    }

    /// What an endpoint reports from now on.
    pub(crate) fn report(&self, pool: &str, place: usize, report: &Report) {
        self.pages.borrow_mut().insert((pool.to_owned(), place), report.page());
    }

    /// What the endpoints answer from now on, where no model server stands behind them.
    pub(crate) fn reply(&self, replies: Option<PerEndpoint<Reply>>) {
        *self.replies.borrow_mut() = replies;
    }

    /// What an endpoint was sent of the request that was answered with these headers.
    pub(crate) fn sent(&self, answer: &HeaderMap) -> Option<Sent> {
        self.sent.borrow_mut().remove(answer.get(REQUEST_ID)?.to_str().ok()?)
    }

    async fn answer(
        &self,
        behind: Option<SocketAddr>,
        at: (String, usize),
        request: Request<Incoming>,
    ) -> Response<Leaving> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return Response::new(Leaving::whole(Bytes::new())) };
        let body = body.to_bytes();
        if head.uri.path() == "/metrics" {
            let page = self.pages.borrow().get(&at).cloned().unwrap_or_else(|| Report::default().page());
            return Response::new(Leaving::whole(page.into()));
        }
        let (pool, endpoint) = at;
        if let Some(id) = head.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()) {
            let path = head.uri.to_string();
            let sent = Sent { pool, endpoint, path, headers: head.headers.clone(), body: body.clone() };
            self.sent.borrow_mut().insert(id.to_owned(), sent);
        }
        let Some(behind) = behind else {
            let reply = self.replies.borrow().as_ref().map(|replies| replies.of(endpoint).clone());
            return answered(&reply.unwrap_or_default()).await;
        };
        let answer = send(behind, Request::from_parts(head, body.into())).await;
        let mut passed = Response::new(Leaving::whole(answer.body));
        (*passed.status_mut(), *passed.headers_mut()) = (answer.status, answer.headers);
        passed.headers_mut().remove("transfer-encoding");
        passed
    }
}

async fn answered(reply: &Reply) -> Response<Leaving> {
    if reply.ends == Ends::Silent {
        std::future::pending::<()>().await;
    }
    let data = Some(reply.body()).filter(|body| !body.is_empty()).map(Frame::data);
    let frames = data.into_iter().chain(reply.trailers().map(Frame::trailers)).collect();
    let mut answer = Response::new(Leaving { frames, ends: reply.ends, was_flushed: false });
    *answer.status_mut() = reply.status.try_into().unwrap();
    *answer.headers_mut() = reply.headers();
    answer
}

/// The body of an answer, as it leaves.
struct Leaving {
    frames: VecDeque<Frame<Bytes>>,
    ends: Ends,
    /// What came before the break was written.
    was_flushed: bool,
}

impl Leaving {
    fn whole(body: Bytes) -> Leaving {
        Leaving { frames: [Frame::data(body)].into(), ends: Ends::Whole, was_flushed: false }
    }
}

impl Body for Leaving {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match self.ends {
            Ends::Whole => Poll::Ready(None),
            Ends::Broken if self.was_flushed => Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into()))),
            Ends::Broken => {
                self.was_flushed = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Ends::Never | Ends::Silent => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let bytes: Option<usize> = self.frames.iter().map(|frame| frame.data_ref().map(Bytes::len)).sum();
        match (self.ends, bytes) {
            (Ends::Whole, Some(bytes)) => SizeHint::with_exact(bytes as u64),
            _ => SizeHint::default(),
        }
    }
}
