//! The body-based router: tells the gateway which model a body names, and what else of it was asked for, so that its routes
//! can match on it.
//!
//! Step 1 of 5, parse, and nothing else: the gateway routes.
//! In: a request's headers and body. Out: `X-Gateway-Model-Name`, and a header for each field that was asked for, as soon as
//! all of them have been read, the body behind them byte for byte; or an `ImmediateResponse` if the body is none that a model
//! server could read.
//! Never: a byte of the body changed; a client's own copy of such a header let through.
//! Source: GAIE v1.5.0, `pkg/bbr`; docs/ext-proc.md lists where this differs on purpose.

mod base_models;
mod fields;
mod session;

pub use base_models::BaseModels;
pub use fields::{FieldHeaderError, FieldHeaders};
pub use session::BbrSession;

use crate::BodyMode;
use crate::modes::Misset;
use arc_swap::ArcSwap;
use fields::Found;
use journey::BodyPace;
use payload::Budget;
use state::Clock;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use telemetry::{BODIES_PER_SAMPLE, BbrCounts, BbrPlugin};

/// When a body is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassOn {
    /// As soon as everything has been read that goes to a header.
    Early,
    /// When it is whole, as the reference does.
    Whole,
}

/// How the router works.
#[derive(Debug, Clone)]
pub struct BbrSettings {
    /// When a body is passed on.
    pub pass_on: PassOn,
    /// Which fields go to which headers.
    pub fields: Arc<FieldHeaders>,
    /// How bodies come where the gateway does not say.
    pub body_mode: BodyMode,
    /// Body of a request that is read, bytes.
    pub body_bytes_max: u64,
    /// How fast a body that is held must come.
    pub body_pace: BodyPace,
}

/// The router, on one thread.
#[derive(Debug)]
pub struct Bbr {
    settings: BbrSettings,
    base_models: Arc<ArcSwap<BaseModels>>,
    budget: Arc<Budget>,
    counts: Arc<BbrCounts>,
    clock: Clock,
    /// Bodies read so far.
    bodies: Cell<u64>,
    misset: Misset,
}

impl Bbr {
    /// A router for one thread.
    pub fn new(
        settings: BbrSettings,
        base_models: Arc<ArcSwap<BaseModels>>,
        budget: Arc<Budget>,
        counts: Arc<BbrCounts>,
    ) -> Bbr {
        Bbr {
            settings,
            base_models,
            budget,
            counts,
            clock: Clock::start(),
            bodies: Cell::new(0),
            misset: Misset::default(),
        }
    }

    /// Counts the fields of a whole body that went to no header.
    fn count_missed(&self, found: Found<'_>) {
        for field in self.settings.fields.fields() {
            if let Err(miss) = found.text(field) {
                self.counts.missed(field, miss);
            }
        }
    }

    /// One body in [`BODIES_PER_SAMPLE`] is timed.
    fn times_next_body(&self) -> Timing {
        let bodies = self.bodies.get();
        self.bodies.set(bodies.wrapping_add(1));
        Timing { took: bodies.is_multiple_of(BODIES_PER_SAMPLE).then_some(Duration::ZERO) }
    }
}

/// How long a plugin has worked on one body; nothing is measured of most.
#[derive(Debug, Clone, Copy, Default)]
struct Timing {
    took: Option<Duration>,
}

impl Timing {
    /// Does the work, and measures it if this body is timed.
    fn of<T>(&mut self, clock: Clock, work: impl FnOnce() -> T) -> T {
        let Some(took) = &mut self.took else { return work() };
        let begun = clock.now();
        let done = work();
        *took += clock.now().since(begun);
        done
    }

    /// Hands the time over.
    fn tell(self, plugin: BbrPlugin, counts: &BbrCounts) {
        if let Some(took) = self.took {
            counts.took(plugin, took);
        }
    }
}

impl crate::Door for Bbr {
    type Session = BbrSession;

    fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    fn open(self: &Rc<Bbr>, _port: usize) -> BbrSession {
        BbrSession::new(Rc::clone(self))
    }
}
