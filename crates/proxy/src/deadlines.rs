//! Time limits of a data thread: one list, looked through every [`TICK`].
//!
//! Every request carries several limits that almost never pass. A timer of the runtime for each would cost more than
//! parsing its head; an entry here costs a few nanoseconds to set, and the list is walked 20 times a second.
//! A deadline fires up to two ticks late, never early.

use journey::Now;
use slab::Slab;
use state::Clock;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How often the list is looked through.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// The deadlines of one data thread.
#[derive(Debug)]
pub(crate) struct Deadlines {
    clock: Clock,
    now: Cell<Now>,
    entries: RefCell<Slab<Entry>>,
}

#[derive(Debug)]
struct Entry {
    at: Now,
    waker: Option<Waker>,
}

/// No deadline.
const NEVER: Now = Now(u64::MAX);

impl Deadlines {
    pub(crate) fn new(clock: Clock) -> Rc<Deadlines> {
        Rc::new(Deadlines { clock, now: Cell::new(clock.now()), entries: RefCell::default() })
    }

    /// The time of the last tick: good enough for anything that is counted in seconds, and free.
    pub(crate) fn coarse(&self) -> Now {
        self.now.get()
    }

    /// A deadline that is not set.
    pub(crate) fn unset(self: &Rc<Self>) -> Deadline {
        let key = self.entries.borrow_mut().insert(Entry { at: NEVER, waker: None });
        Deadline { list: Rc::clone(self), key }
    }

    /// A deadline `after` from the last tick.
    pub(crate) fn after(self: &Rc<Self>, after: Duration) -> Deadline {
        let deadline = self.unset();
        deadline.set(after);
        deadline
    }

    /// Wakes everybody: something else than the time has changed.
    pub(crate) fn wake_all(&self) {
        for (_, entry) in self.entries.borrow_mut().iter_mut() {
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
    }

    /// Looks through the list, and wakes whoever waits for a deadline that has passed.
    pub(crate) fn tick(&self) {
        let now = self.clock.now();
        self.now.set(now);
        for (_, entry) in self.entries.borrow_mut().iter_mut() {
            if entry.at <= now
                && let Some(waker) = entry.waker.take()
            {
                waker.wake();
            }
        }
    }
}

/// A place in the list; given back when dropped.
#[derive(Debug)]
pub(crate) struct Deadline {
    list: Rc<Deadlines>,
    key: usize,
}

impl Deadline {
    /// Moves it to `after` from now.
    pub(crate) fn set(&self, after: Duration) {
        self.list.entries.borrow_mut()[self.key].at = self.list.now.get().plus(after.saturating_add(TICK));
    }

    /// Moves it to a moment.
    pub(crate) fn set_at(&self, at: Now) {
        self.list.entries.borrow_mut()[self.key].at = at.plus(TICK);
    }

    /// The moment that it was moved to.
    pub(crate) fn at(&self) -> Now {
        self.list.entries.borrow()[self.key].at
    }

    /// Moves it to `moment` if it is later than that.
    pub(crate) fn no_later_than(&self, moment: Now) {
        let at = &mut self.list.entries.borrow_mut()[self.key].at;
        *at = moment.min(*at);
    }

    /// Takes it away; the place stays.
    pub(crate) fn clear(&self) {
        self.list.entries.borrow_mut()[self.key].at = NEVER;
    }

    /// True while it is not set.
    pub(crate) fn is_clear(&self) -> bool {
        self.list.entries.borrow()[self.key].at == NEVER
    }

    /// Ready once it has passed.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let entry = &mut self.list.entries.borrow_mut()[self.key];
        if entry.at <= self.list.now.get() {
            return Poll::Ready(());
        }
        match &mut entry.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.list.entries.borrow_mut().remove(self.key);
    }
}

/// Waits for `future` until `deadline` passes; `None` if it did.
pub(crate) async fn before<F: Future>(deadline: &Deadline, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => deadline.poll(cx).map(|()| None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_wakes_its_waiter_once_it_has_passed() {
        let list = Deadlines::new(Clock::start());
        let deadline = list.after(Duration::ZERO);
        let cx = Context::from_waker(Waker::noop());
        assert!(deadline.poll(&cx).is_pending(), "never early");
        while deadline.poll(&cx).is_pending() {
            std::thread::yield_now();
            list.tick();
        }
        deadline.set(Duration::from_secs(3600));
        list.tick();
        assert!(deadline.poll(&cx).is_pending());
        deadline.clear();
        drop(deadline);
        assert!(list.entries.borrow().is_empty(), "its place is given back");
    }
}
