//! A model server without a model: it reads the body and answers at once.

use crate::message::{self, Framing, Start};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Bytes taken from a socket at once; above the largest of the small bodies, and within the second-level cache.
const READ_BYTES: usize = 256 << 10;

/// A pause after a failed accept (no more file descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Series of a histogram on the page of metrics.
const BUCKETS: u32 = 22;

const ANSWER: &str = r#"{"id":"chatcmpl-5f2b0c9d7e614a21","object":"chat.completion","created":1767225600,"model":"chatbot","choices":[{"index":0,"message":{"role":"assistant","content":"The sky looks blue by day because air scatters the short, blue wavelengths of sunlight far more than the long, red ones. At sunrise and sunset the light travels a longer way through the air; most of the blue is scattered out of it, and what is left is \"warm\": orange and red.","refusal":null,"tool_calls":[]},"logprobs":null,"finish_reason":"stop","stop_reason":null}],"service_tier":null,"system_fingerprint":null,"usage":{"prompt_tokens":214,"total_tokens":281,"completion_tokens":67,"prompt_tokens_details":null},"prompt_logprobs":null,"kv_transfer_params":null}"#;

const METRICS: &str = "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{model_name=\"chatbot\"} 8\n\
    # TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting{model_name=\"chatbot\"} 0\n\
    # TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc{model_name=\"chatbot\"} 0.25\n";

/// A page of metrics of about `bytes` bytes: what is read first, then histograms, as a model server has them.
pub(crate) fn metrics_page(bytes: usize) -> String {
    let mut page = String::from(METRICS);
    for histogram in 0.. {
        let name = format!("vllm:stage_{histogram}_time_seconds");
        page.push_str(&format!(
            "# HELP {name} Histogram of the time that a request spends in a stage.\n# TYPE {name} histogram\n"
        ));
        for bucket in 1..=BUCKETS {
            if page.len() >= bytes {
                return page;
            }
            let bound = f64::from(bucket) * 0.3;
            page.push_str(&format!(
                "{name}_bucket{{engine=\"0\",le=\"{bound:.1}\",model_name=\"chatbot\"}} {bucket}17.0\n"
            ));
        }
    }
    page
}

/// Listens on free ports of the loopback address.
pub(crate) async fn bind(endpoints: usize) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::with_capacity(endpoints);
    for _ in 0..endpoints {
        listeners.push(TcpListener::bind(("127.0.0.1", 0)).await?);
    }
    Ok(listeners)
}

/// Serves every connection until the process ends.
pub(crate) async fn serve(listeners: Vec<TcpListener>, metrics: &str) {
    let metrics = answer("text/plain; version=0.0.4", metrics);
    let accepting: Vec<_> =
        listeners.into_iter().map(|listener| tokio::spawn(accept(listener, metrics.clone()))).collect();
    for task in accepting {
        let _ = task.await;
    }
}

async fn accept(listener: TcpListener, metrics: Vec<u8>) {
    let chat = answer("application/json", ANSWER);
    loop {
        match listener.accept().await {
            // A connection ends when its peer closes it, or with an error; neither matters to the others.
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, chat.clone(), metrics.clone()))),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

fn answer(content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

async fn connection(mut stream: TcpStream, chat: Vec<u8>, metrics: Vec<u8>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let Some(start) = read_request(&mut stream, &mut buffer).await? else { return Ok(()) };
        let reply = if start == (Start::Request { metrics: true }) { &metrics } else { &chat };
        stream.write_all(reply).await?;
    }
}

/// Reads one request whole; `None` if the peer closed the connection before one.
async fn read_request(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<Option<Start>> {
    let mut filled = 0;
    let (start, head) = loop {
        let count = stream.read(&mut buffer[filled..]).await?;
        if count == 0 {
            return if filled == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        filled += count;
        if let Some(head) = message::request_head(&buffer[..filled])? {
            break head;
        }
    };
    match head.framing {
        Framing::Length(length) => {
            let mut missing = (head.bytes + length).saturating_sub(filled);
            while missing > 0 {
                let most = missing.min(buffer.len());
                missing -= read_some(stream, &mut buffer[..most]).await?;
            }
        }
        Framing::Chunked => {
            // Only the last bytes matter: they stay at the front, the next ones come behind them.
            while !message::ends_chunked(&buffer[..filled]) {
                let keep = filled.min(8);
                buffer.copy_within(filled - keep..filled, 0);
                filled = keep + read_some(stream, &mut buffer[keep..]).await?;
            }
        }
    }
    Ok(Some(start))
}

async fn read_some(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    match stream.read(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}
