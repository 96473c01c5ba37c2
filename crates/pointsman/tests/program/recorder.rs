//! Endpoints that tell what they were sent: one stands before each endpoint of a journey.
//!
//! It reports what a step gives it, and answers by itself, or by the simulated model server behind it.

use crate::support::send;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use journeys::{Report, Sent};
use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
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

    /// What an endpoint was sent of the request that was answered with these headers.
    pub(crate) fn sent(&self, answer: &HeaderMap) -> Option<Sent> {
        self.sent.borrow_mut().remove(answer.get(REQUEST_ID)?.to_str().ok()?)
    }

    async fn answer(
        &self,
        behind: Option<SocketAddr>,
        at: (String, usize),
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return Response::default() };
        let body = body.to_bytes();
        if head.uri.path() == "/metrics" {
            let page = self.pages.borrow().get(&at).cloned().unwrap_or_else(|| Report::default().page());
            return Response::new(page.into());
        }
        let (pool, endpoint) = at;
        if let Some(id) = head.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()) {
            let path = head.uri.to_string();
            let sent = Sent { pool, endpoint, path, headers: head.headers.clone(), body: body.clone() };
            self.sent.borrow_mut().insert(id.to_owned(), sent);
        }
        let Some(behind) = behind else {
            let mut answer = Response::new(Full::from("{}"));
            answer.headers_mut().insert("content-type", "application/json".parse().unwrap());
            return answer;
        };
        let answer = send(behind, Request::from_parts(head, body.into())).await;
        let mut passed = Response::new(Full::new(answer.body));
        (*passed.status_mut(), *passed.headers_mut()) = (answer.status, answer.headers);
        passed.headers_mut().remove("transfer-encoding");
        passed
    }
}
