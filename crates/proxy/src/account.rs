//! A request's account, with what this door keeps until the request has ended.

use crate::client_io::Watch;
use crate::core::Core;
use extproc::client::Exchange;
use journey::Outcome;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// One request's account. Boxed once: it moves from the journey to the response's body.
#[derive(Debug)]
pub(crate) struct Account {
    learnt: state::Account,
    /// The stream to the pool's own endpoint picker, if that picked or answered; it ends with the request.
    pub(crate) exchange: Option<Box<Exchange>>,
    core: Rc<Core>,
    watch: Rc<Watch>,
}

impl Account {
    /// A request's head was read.
    pub(crate) fn open(core: &Rc<Core>, watch: &Rc<Watch>) -> Box<Account> {
        Box::new(Account {
            learnt: state::Account::open(&core.telemetry, core.clock),
            exchange: None,
            core: Rc::clone(core),
            watch: Rc::clone(watch),
        })
    }

    /// Names the request: as its client did, or anew.
    pub(crate) fn name(&mut self, sent: Option<&[u8]>) {
        self.learnt.name(sent, &mut self.core.random.borrow_mut());
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    pub(crate) fn watch(&self) -> &Rc<Watch> {
        &self.watch
    }

    /// Whether the client was answered to the end, be it with a refusal.
    fn is_answered(&self) -> bool {
        let outcome = self.learnt.outcome();
        self.learnt.record.refusal.is_some()
            || matches!(outcome, Outcome::Served | Outcome::ServerError { .. })
    }
}

impl Deref for Account {
    type Target = state::Account;

    fn deref(&self) -> &state::Account {
        &self.learnt
    }
}

impl DerefMut for Account {
    fn deref_mut(&mut self) -> &mut state::Account {
        &mut self.learnt
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if self.core.stopping.get() {
            self.learnt.stopped();
        }
        if let Some(exchange) = self.exchange.take()
            && self.is_answered()
        {
            exchange.finish();
        }
        self.watch.request_ends();
    }
}
