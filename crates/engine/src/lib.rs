//! A model server's engine as plain data in virtual time.
//!
//! In: requests, cancellations and the time. Out: tokens, with the time at which each was ready.
//! Never: I/O, a clock, a thread, randomness. The same calls with the same times give the same events, so one engine
//! serves both the simulated model server (wall clock) and the fleet simulator (virtual clock).
//! Source: vLLM V1's scheduler: continuous batching under a token budget with chunked prefill, running requests first,
//! then first come first served; KV blocks found again by chained hashes of the prompt; the last running request is
//! preempted when blocks run out. What a step costs is in [`Coefficients`].
//!
//! Not modelled: speculative decoding, KV tiers below the GPU, the reuse of generated tokens by a later prompt.
//!
//! ```
//! use engine::{Config, Engine, Event, Prompt, Request, Time};
//!
//! let mut engine = Engine::new(Config::default());
//! let prompt = Prompt::from_bytes(b"What is the color of the sky?", 0, engine.config().block_tokens);
//! let request = Request { prompt, output_tokens: 2, adapter: None };
//! let id = engine.submit(request, Time::ZERO).expect("a short prompt fits");
//!
//! let mut events = Vec::new();
//! while let Some(time) = engine.next_event() {
//!     engine.advance(time, &mut events);
//! }
//! assert!(matches!(events[0], Event::FirstToken { id: first, .. } if first == id));
//! assert!(matches!(events[1], Event::Finished { generated: 2, .. }));
//! ```

mod adapters;
mod blocks;
mod coefficients;
mod counters;
mod prompt;
mod scheduler;
mod sequence;
mod time;

#[cfg(test)]
mod tests;

pub use adapters::AdapterId;
pub use coefficients::{Coefficients, UnknownCoefficients};
pub use counters::{Counters, Histogram};
pub use prompt::Prompt;
pub use scheduler::{AdapterUse, Config, Engine, Event, Load, Refused, Request};
pub use sequence::RequestId;
pub use time::Time;
