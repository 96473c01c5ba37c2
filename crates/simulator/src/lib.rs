//! A simulated model server: OpenAI's API over HTTP/1.1, on the [`engine`] in wall time.
//!
//! In: requests as vLLM takes them. Out: answers as vLLM gives them, with canned words that say that they are
//! simulated, and the metrics page of the chosen [`EngineKind`].
//! Never: a model. What is honest is the behaviour: queueing, batching, prefix reuse, eviction, adapters, and every
//! fault on demand ([`Fault`]).
//!
//! Hundreds of instances share one `current_thread` runtime: an idle one holds no timer.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let config = simulator::Config { model: "chatbot".into(), ..simulator::Config::default() };
//! simulator::serve(config, listener, std::future::pending()).await;
//! # Ok(()) }
//! ```

mod body;
mod config;
mod connection;
mod dialects;
mod exchange;
mod fault;
mod instance;
mod metrics;
mod server;
mod text;

pub use config::{Config, EngineKind, UnknownEngineKind};
pub use exchange::ENDPOINT_HEADER;
pub use fault::{Fault, FaultError};
pub use server::{Simulator, serve};
