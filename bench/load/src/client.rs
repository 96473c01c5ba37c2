//! Closed-loop load: every connection sends its next request when the answer to the last one has come.

use crate::cpu;
use crate::message::{self, Framing, Start};
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// Bytes of an answer that are read at once; answers are small.
const READ_BYTES: usize = 16 << 10;

/// A pause after a failed connection, so that a proxy that refuses is not flooded.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);

/// What to send.
pub(crate) struct Plan {
    /// Where to; connections take them in turn.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Whole requests; connections take them in turn.
    pub(crate) requests: Vec<Vec<u8>>,
    /// Connections, each with one request under way.
    pub(crate) connections: usize,
    /// Time before anything is counted.
    pub(crate) warmup: Duration,
    /// Time in which everything is counted.
    pub(crate) counted: Duration,
    /// Processes whose CPU time is read at both ends of it.
    pub(crate) pids: Vec<u32>,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    requests: usize,
    errors: usize,
    requests_per_second: f64,
    /// Of each process that was watched, in the order of the plan.
    cpu_us_per_request: Vec<f64>,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
}

/// What the connections write into while they run.
#[derive(Default)]
struct Tally {
    counting: Cell<bool>,
    errors: Cell<usize>,
    latencies: RefCell<Vec<Duration>>,
}

/// Runs the plan.
pub(crate) async fn send(plan: Plan) -> io::Result<Report> {
    LocalSet::new().run_until(send_local(plan)).await
}

async fn send_local(plan: Plan) -> io::Result<Report> {
    let tally = Rc::new(Tally::default());
    let requests: Vec<Rc<[u8]>> = plan.requests.into_iter().map(Rc::from).collect();
    let mut tasks = Vec::with_capacity(plan.connections);
    for index in 0..plan.connections {
        let address = plan.addresses[index % plan.addresses.len()];
        let request = Rc::clone(&requests[index % requests.len()]);
        tasks.push(tokio::task::spawn_local(connection(address, request, Rc::clone(&tally))));
    }
    tokio::time::sleep(plan.warmup).await;
    let (cpu_before, start) = (cpu::seconds(&plan.pids)?, Instant::now());
    tally.counting.set(true);
    tokio::time::sleep(plan.counted).await;
    tally.counting.set(false);
    let (cpu_after, elapsed) = (cpu::seconds(&plan.pids)?, start.elapsed());
    for task in tasks {
        task.abort();
    }
    let mut latencies = tally.latencies.take();
    let cpu_seconds: Vec<f64> =
        cpu_after.iter().zip(&cpu_before).map(|(after, before)| after - before).collect();
    Ok(report(&mut latencies, tally.errors.get(), &cpu_seconds, elapsed))
}

async fn connection(address: SocketAddr, request: Rc<[u8]>, tally: Rc<Tally>) {
    loop {
        let Err(_) = exchange(address, &request, &tally).await;
        if tally.counting.get() {
            tally.errors.set(tally.errors.get() + 1);
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

/// Sends and receives on one connection until something goes wrong.
async fn exchange(
    address: SocketAddr,
    request: &[u8],
    tally: &Tally,
) -> io::Result<std::convert::Infallible> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let start = Instant::now();
        stream.write_all(request).await?;
        let status = read_response(&mut stream, &mut buffer).await?;
        if status != (Start::Response { status: 200 }) {
            return Err(io::Error::other("an answer other than 200"));
        }
        if tally.counting.get() {
            tally.latencies.borrow_mut().push(start.elapsed());
        }
    }
}

async fn read_response(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<Start> {
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..]).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += count;
        let Some((start, head)) = message::response_head(&buffer[..filled])? else { continue };
        let whole = match head.framing {
            Framing::Length(length) => filled >= head.bytes + length,
            Framing::Chunked => message::ends_chunked(&buffer[..filled]),
        };
        if whole {
            return Ok(start);
        }
    }
}

fn report(latencies: &mut [Duration], errors: usize, cpu_seconds: &[f64], elapsed: Duration) -> Report {
    latencies.sort_unstable();
    let requests = latencies.len();
    let quantile_ms = |per_mille: usize| {
        let index = (requests * per_mille / 1000).min(requests.saturating_sub(1));
        latencies.get(index).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    };
    Report {
        requests,
        errors,
        requests_per_second: requests as f64 / elapsed.as_secs_f64(),
        cpu_us_per_request: cpu_seconds.iter().map(|seconds| seconds * 1e6 / requests as f64).collect(),
        p50_ms: quantile_ms(500),
        p99_ms: quantile_ms(990),
        p999_ms: quantile_ms(999),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream;

    fn plan(addresses: Vec<SocketAddr>) -> Plan {
        Plan {
            addresses,
            requests: vec![message::chat_request(b"{}"), message::chat_request(&[b' '; 600_000])],
            connections: 4,
            warmup: Duration::ZERO,
            counted: Duration::from_millis(100),
            pids: vec![std::process::id()],
        }
    }

    #[tokio::test]
    async fn every_request_to_the_instant_upstream_is_answered() {
        let listeners = upstream::bind(2).await.unwrap();
        let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        tokio::spawn(upstream::serve(listeners, ""));
        let report = send(plan(addresses)).await.unwrap();
        assert_eq!(report.errors, 0);
        assert!(report.requests > 0 && report.p50_ms <= report.p999_ms, "{report:?}");
    }

    #[tokio::test]
    async fn a_refused_connection_is_an_error() {
        let listener = upstream::bind(1).await.unwrap().remove(0);
        let address = listener.local_addr().unwrap();
        drop(listener);
        let report = send(plan(vec![address])).await.unwrap();
        assert_eq!(report.requests, 0);
        assert!(report.errors > 0);
    }

    #[test]
    fn quantiles_are_taken_from_the_sorted_latencies() {
        let mut latencies: Vec<_> = (1..=1000).rev().map(Duration::from_millis).collect();
        let report = report(&mut latencies, 3, &[0.5, 2.0], Duration::from_secs(2));
        assert_eq!((report.p50_ms, report.p99_ms, report.p999_ms), (501.0, 991.0, 1000.0));
        assert_eq!((report.requests_per_second, report.cpu_us_per_request), (500.0, vec![500.0, 2000.0]));
    }
}
