//! One simulated server: its engine, who waits for tokens, and the clock that drives both.
//!
//! One task per server sleeps until the engine's next event and no longer; an idle server holds no timer. The lock is
//! held for one call into the engine, never across an await.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use engine::{AdapterId, Counters, Engine, Event, Load, Refused, Request, RequestId, Time};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::Config;
use crate::dialects::Finish;
use crate::fault::{Fault, Faults};
use crate::text::mix;

/// How far a request has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Tokens ready.
    pub(crate) generated: u32,
    /// Prompt tokens found in the cache; known with the first token.
    pub(crate) cached: u32,
    /// Whether the last token is ready.
    pub(crate) finished: bool,
}

#[derive(Debug)]
struct Watcher {
    progress: Progress,
    waker: Option<Waker>,
    finish: Finish,
}

/// A server's state; shared by its connections and its clock.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) config: Config,
    endpoint: OnceLock<String>,
    started: Instant,
    changed: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    engine: Engine,
    watchers: HashMap<RequestId, Watcher>,
    /// Adapter names; an adapter's id is its index. Unloaded ones leave `None`.
    adapters: Vec<Option<String>>,
    faults: Faults,
    random: fastrand::Rng,
    events: Vec<Event>,
    /// Finished requests that ended of themselves, not at their limit.
    stopped: u64,
}

/// What the metrics page is made of.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) load: Load,
    pub(crate) kv_usage: f64,
    pub(crate) counters: Counters,
    /// Of the finished requests, those that ended of themselves.
    pub(crate) stopped: u64,
    pub(crate) running_adapters: Vec<String>,
    pub(crate) waiting_adapters: Vec<String>,
}

impl Snapshot {
    /// Share of the prompt tokens looked up that were found in the cache, 0 to 1.
    pub(crate) fn hit_ratio(&self) -> f64 {
        self.counters.prefix_hits as f64 / self.counters.prefix_queries.max(1) as f64
    }
}

/// Adapters that one server may know, over its life: more is a test gone wrong.
const ADAPTERS_MAX: usize = 10_000;

impl Instance {
    pub(crate) fn new(mut config: Config) -> Self {
        config.block_tokens = config.block_tokens.max(1);
        // A speed that is no number becomes the slowest.
        config.speed = config.speed.max(SPEED.0).min(SPEED.1);
        let mut engine = Engine::new(config.engine());
        let faults = Faults::new(config.faults.clone());
        engine.set_slowdown(faults.slowdown());
        let state = State {
            engine,
            watchers: HashMap::new(),
            adapters: config.adapters.iter().cloned().map(Some).collect(),
            faults,
            random: fastrand::Rng::with_seed(0),
            events: Vec::new(),
            stopped: 0,
        };
        let endpoint = config.name.clone().map(OnceLock::from).unwrap_or_default();
        Self { config, endpoint, started: Instant::now(), changed: Notify::new(), state: Mutex::new(state) }
    }

    /// The name told to clients; the first address served unless the config has one.
    pub(crate) fn endpoint(&self) -> &str {
        self.endpoint.get().map_or("", String::as_str)
    }

    /// Takes this name unless the config has one; the ids of two servers never meet.
    pub(crate) fn name_if_unnamed(&self, name: String) {
        let name = self.endpoint.get_or_init(|| name);
        self.lock().random = fastrand::Rng::with_seed(mix(0, name.as_bytes()));
    }

    /// Drives the engine for as long as it is polled.
    pub(crate) async fn run_clock(&self) {
        loop {
            let next = self.advance();
            let changed = self.changed.notified();
            match next {
                None => changed.await,
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(at) => {}
                    () = changed => {}
                },
            }
        }
    }

    /// Gives a request to the engine.
    pub(crate) fn submit(self: &Arc<Self>, request: Request, finish: Finish) -> Result<Ticket, Refused> {
        let now = self.now();
        let mut state = self.lock();
        let before = state.engine.next_event();
        let id = state.engine.submit(request, now)?;
        state.watchers.insert(id, Watcher { progress: Progress::default(), waker: None, finish });
        state.advance(now);
        if state.engine.next_event() != before {
            self.changed.notify_one();
        }
        drop(state);
        Ok(Ticket { instance: self.clone(), id })
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut state = self.lock();
        state.advance(self.now());
        let mut load = state.engine.load();
        let mut kv_usage = load.kv_usage();
        if let Some((waiting, running, claimed)) = state.faults.metrics() {
            (load.waiting, load.running, kv_usage) = (waiting, running, claimed);
        }
        let uses = state.engine.adapters();
        let name = |id: AdapterId| state.adapters.get(id.0 as usize).cloned().flatten();
        let running = uses.iter().filter(|entry| entry.running > 0);
        let waiting = uses.iter().filter(|entry| entry.waiting > 0);
        Snapshot {
            load,
            kv_usage,
            counters: state.engine.counters().clone(),
            stopped: state.stopped,
            running_adapters: running.filter_map(|entry| name(entry.adapter)).collect(),
            waiting_adapters: waiting.filter_map(|entry| name(entry.adapter)).collect(),
        }
    }

    /// The true load.
    pub(crate) fn load(&self) -> Load {
        let mut state = self.lock();
        state.advance(self.now());
        state.engine.load()
    }

    pub(crate) fn set_faults(&self, faults: Vec<Fault>) {
        let mut state = self.lock();
        state.advance(self.now());
        state.faults = Faults::new(faults);
        let slowdown = state.faults.slowdown();
        state.engine.set_slowdown(slowdown);
    }

    pub(crate) fn with_faults<T>(&self, look: impl FnOnce(&mut Faults) -> T) -> T {
        look(&mut self.lock().faults)
    }

    pub(crate) fn random<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.lock().random)
    }

    /// The names of the adapters served.
    pub(crate) fn adapter_names(&self) -> Vec<String> {
        self.lock().adapters.iter().flatten().cloned().collect()
    }

    pub(crate) fn adapter(&self, name: &str) -> Option<AdapterId> {
        let state = self.lock();
        let index = state.adapters.iter().position(|known| known.as_deref() == Some(name))?;
        Some(AdapterId(index as u32))
    }

    /// Serves one more adapter; `None` if it is served already, or there are too many.
    pub(crate) fn add_adapter(&self, name: &str) -> Option<()> {
        let mut state = self.lock();
        let known = state.adapters.iter().any(|known| known.as_deref() == Some(name));
        if known || name == self.config.model || state.adapters.len() >= ADAPTERS_MAX {
            return None;
        }
        state.adapters.push(Some(name.into()));
        Some(())
    }

    /// Stops serving an adapter; `None` if it was not served.
    pub(crate) fn remove_adapter(&self, name: &str) -> Option<()> {
        let mut state = self.lock();
        let known = state.adapters.iter_mut().find(|known| known.as_deref() == Some(name))?;
        *known = None;
        Some(())
    }

    fn advance(&self) -> Option<Instant> {
        let mut state = self.lock();
        state.advance(self.now());
        state.engine.next_event().map(|time| self.wall(time))
    }

    fn now(&self) -> Time {
        Time((self.started.elapsed().as_secs_f64() * self.config.speed * 1e9) as u64)
    }

    /// When the wall clock has passed this virtual time.
    fn wall(&self, time: Time) -> Instant {
        self.started + Duration::from_secs_f64(time.0 as f64 / 1e9 / self.config.speed) + WALL_ROUNDING
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Beyond these, times would overflow.
const SPEED: (f64, f64) = (1e-6, 1e9);

/// Added to a wake-up, so that rounding never wakes the clock just before the event it was set for.
const WALL_ROUNDING: Duration = Duration::from_micros(1);

impl State {
    fn advance(&mut self, now: Time) {
        let mut events = std::mem::take(&mut self.events);
        self.engine.advance(now, &mut events);
        for event in events.drain(..) {
            let (id, generated, finished) = match event {
                Event::FirstToken { id, .. } => (id, 1, false),
                Event::Token { id, generated, .. } => (id, generated, false),
                Event::Finished { id, generated, .. } => (id, generated, true),
                Event::Preempted { .. } => continue,
            };
            let Some(watcher) = self.watchers.get_mut(&id) else { continue };
            if let Event::FirstToken { cached_tokens, .. } = event {
                watcher.progress.cached = cached_tokens;
            }
            watcher.progress.generated = generated;
            watcher.progress.finished = finished;
            if finished && watcher.finish == Finish::Stop {
                self.stopped += 1;
            }
            if let Some(waker) = watcher.waker.take() {
                waker.wake();
            }
        }
        self.events = events;
    }
}

/// A request in the engine; dropping it cancels what is not finished.
#[derive(Debug)]
pub(crate) struct Ticket {
    instance: Arc<Instance>,
    id: RequestId,
}

impl Ticket {
    /// Waits until more than `seen` tokens are ready, or the last one is.
    pub(crate) fn poll_beyond(&self, seen: u32, context: &mut Context<'_>) -> Poll<Progress> {
        let mut state = self.instance.lock();
        let Some(watcher) = state.watchers.get_mut(&self.id) else { return Poll::Pending };
        if watcher.progress.finished || watcher.progress.generated > seen {
            return Poll::Ready(watcher.progress);
        }
        watcher.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Waits until at least `tokens` tokens are ready, or the last one is.
    pub(crate) async fn reaches(&self, tokens: u32) -> Progress {
        std::future::poll_fn(|context| self.poll_beyond(tokens.saturating_sub(1), context)).await
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let now = self.instance.now();
        let mut state = self.instance.lock();
        state.advance(now);
        state.watchers.remove(&self.id);
        let before = state.engine.next_event();
        state.engine.cancel(self.id, now);
        if state.engine.next_event() != before {
            self.instance.changed.notify_one();
        }
    }
}
