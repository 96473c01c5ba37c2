//! Request bodies that are held: until they are read whole, and then until the head of the response.
//!
//! In: chunks as they arrive. Out: a [`Held`] body that is sent, and sent again, without a copy; its bytes are given
//! back to the [`Budget`] when the last user drops it.
//! Never: a wait for the budget (waiting on half-read bodies deadlocks), a reservation of what is only announced.

use crate::Rope;
use crate::rope::Growing;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many bytes of request bodies all data threads of a door may hold together.
#[derive(Debug)]
pub struct Budget {
    held: AtomicU64,
    limit: u64,
}

/// The budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Bytes held.
    pub held: u64,
    /// The limit.
    pub limit: u64,
    /// What the one that asks would hold by itself: beyond the limit, it never can.
    pub own: u64,
}

impl Spent {
    /// The same, of one that holds so many bytes more elsewhere.
    pub fn beside(self, bytes: u64) -> Spent {
        Spent { own: self.own + bytes, ..self }
    }
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Arc<Budget> {
        Arc::new(Budget { held: AtomicU64::new(0), limit })
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Whether a body of so many bytes could ever be held; none of them is taken.
    pub fn could_hold(&self, bytes: u64) -> Result<(), Spent> {
        if bytes <= self.limit {
            return Ok(());
        }
        Err(Spent { held: self.held(), limit: self.limit, own: bytes })
    }

    fn take(&self, bytes: u64) -> Result<(), Spent> {
        let held = self.held.fetch_add(bytes, Relaxed);
        if held + bytes <= self.limit {
            return Ok(());
        }
        self.give_back(bytes);
        Err(Spent { held, limit: self.limit, own: bytes })
    }

    fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Relaxed);
    }
}

/// Bytes taken of a budget; given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Share {
    /// Nothing yet.
    pub fn new(budget: &Arc<Budget>) -> Share {
        Share { budget: Arc::clone(budget), bytes: 0 }
    }

    /// Makes it `bytes` in all, more or less than before.
    pub fn hold(&mut self, bytes: u64) -> Result<(), Spent> {
        match bytes.checked_sub(self.bytes) {
            Some(0) => Ok(()),
            Some(more) => self.take(more),
            None => {
                self.give_back(self.bytes - bytes);
                Ok(())
            }
        }
    }

    /// Nothing yet, of the same budget.
    pub fn another(&self) -> Share {
        Share::new(&self.budget)
    }

    /// Bytes taken.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The same bytes, which give this share back when the last of them is dropped, wherever they are then.
    pub fn around(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Charged { bytes, _share: self })
    }

    /// So many bytes more, beyond the limit if need be: for what is on its way out, which nobody may stop; whoever asks next is
    /// refused.
    pub fn pass(&mut self, bytes: u64) {
        self.budget.held.fetch_add(bytes, Relaxed);
        self.bytes += bytes;
    }

    fn take(&mut self, bytes: u64) -> Result<(), Spent> {
        let own = self.bytes + bytes;
        self.budget.take(bytes).map_err(|spent| Spent { own, ..spent })?;
        self.bytes = own;
        Ok(())
    }

    fn give_back(&mut self, bytes: u64) {
        self.budget.give_back(bytes);
        self.bytes -= bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.give_back(self.bytes);
        }
    }
}

/// Bytes with what they are charged.
#[derive(Debug)]
struct Charged {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A request body, whole.
#[derive(Debug)]
pub struct Held {
    rope: Rope,
    share: Share,
}

impl Held {
    /// A body for which `share` was charged; what it has in common with another that is held may be missing.
    pub fn new(rope: Rope, share: Share) -> Held {
        Held { rope, share }
    }

    /// The body.
    pub fn rope(&self) -> &Rope {
        &self.rope
    }

    /// The same share of the budget, for the body as it is to be sent.
    pub fn replaced_by(self, rope: Rope) -> Held {
        Held { rope, share: self.share }
    }

    /// Another body in its place: what is held no more is given back, and what both have in common counts once.
    pub fn replace(&mut self, Held { rope, mut share }: Held) {
        let beside = self.share.bytes.saturating_sub(self.rope.bytes());
        self.share.bytes += std::mem::take(&mut share.bytes);
        self.rope = rope;
        let more = self.share.bytes.saturating_sub(beside + self.rope.bytes());
        self.share.give_back(more);
    }

    /// The share of the budget, for whoever keeps the body's bytes until they have left.
    pub fn into_share(self) -> Share {
        self.share
    }
}

/// A request body that is being read.
#[derive(Debug)]
pub struct Gathering {
    body: Growing,
    /// Bytes charged that are held elsewhere.
    beside: u64,
    share: Share,
}

impl Gathering {
    /// A body of which nothing came yet.
    pub fn new(budget: &Arc<Budget>) -> Gathering {
        Gathering { body: Growing::default(), beside: 0, share: Share::new(budget) }
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.body.bytes()
    }

    /// Bytes charged, here and elsewhere.
    pub fn charged(&self) -> u64 {
        self.share.bytes
    }

    /// Charges the budget for what is held elsewhere on behalf of this body: `bytes` in all, more or less than before.
    pub fn beside(&mut self, bytes: u64) -> Result<(), Spent> {
        if bytes >= self.beside {
            self.share.take(bytes - self.beside)?;
        } else {
            self.share.give_back(self.beside - bytes);
        }
        self.beside = bytes;
        Ok(())
    }

    /// Holds the next chunk.
    pub fn push(&mut self, chunk: Bytes) -> Result<(), Spent> {
        self.share.take(chunk.len() as u64)?;
        self.body.push(chunk);
        Ok(())
    }

    /// The body is whole.
    pub fn finish(self) -> Held {
        Held { rope: self.body.finish(), share: self.share }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_counts_as_what_it_holds_until_it_is_dropped() {
        let budget = Budget::new(1 << 20);
        let mut gathering = Gathering::new(&budget);
        for _ in 0..5000 {
            gathering.push(Bytes::from_static(b"a")).unwrap();
        }
        let held = gathering.finish();
        assert_eq!((held.rope().chunks().concat(), budget.held()), (vec![b'a'; 5000], 5000));
        assert!(held.rope().chunks().len() < 10, "{} chunks", held.rope().chunks().len());
        drop(held);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_spent_budget_refuses_the_body_that_asks_for_more_and_gets_its_bytes_back() {
        let budget = Budget::new(10);
        let mut first = Gathering::new(&budget);
        let mut second = Gathering::new(&budget);
        first.push(Bytes::from_static(b"123456")).unwrap();
        second.push(Bytes::from_static(b"1234")).unwrap();
        assert_eq!(second.push(Bytes::from_static(b"5")), Err(Spent { held: 10, limit: 10, own: 5 }));
        drop(second);
        assert_eq!(budget.held(), 6);
        first.push(Bytes::from_static(b"7890")).unwrap();
        let held = first.finish().replaced_by(Rope::default());
        assert_eq!(budget.held(), 10);
        drop(held);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_body_in_anothers_place_counts_alone_and_what_both_have_once() {
        let budget = Budget::new(100);
        let mut gathering = Gathering::new(&budget);
        gathering.push(Bytes::from_static(b"prompt and more")).unwrap();
        gathering.beside(5).unwrap();
        let mut held = gathering.finish();
        let mut share = Share::new(&budget);
        share.hold(3).unwrap();
        let mut rope = held.rope().splice(6..15, Bytes::new());
        rope.push(Bytes::from_static(b"new"));
        held.replace(Held::new(rope, share));
        assert_eq!(budget.held(), 5 + 6 + 3);
        drop(held);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn bytes_give_their_share_back_with_the_last_that_is_left_of_them() {
        let budget = Budget::new(10);
        let mut share = Share::new(&budget);
        share.hold(4).unwrap();
        let whole = share.around(Bytes::from_static(b"body"));
        let part = whole.slice(2..);
        drop(whole);
        assert_eq!((&part[..], budget.held()), (&b"dy"[..], 4));
        drop(part);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn what_is_larger_than_the_whole_budget_is_never_held() {
        let budget = Budget::new(10);
        let mut others = Share::new(&budget);
        others.hold(9).unwrap();
        assert_eq!(budget.could_hold(10), Ok(()), "it may, one day");
        let spent = Spent { held: 9, limit: 10, own: 11 };
        assert_eq!((budget.could_hold(11), budget.held()), (Err(spent), 9));
        assert_eq!(spent.beside(4), Spent { own: 15, ..spent });
    }

    #[test]
    fn a_share_is_made_larger_and_smaller_and_outlives_its_body() {
        let budget = Budget::new(10);
        let mut share = Share::new(&budget);
        for (bytes, held) in [(4, Ok(4)), (9, Ok(9)), (9, Ok(9)), (2, Ok(2)), (11, Err(2)), (0, Ok(0))] {
            assert_eq!(share.hold(bytes).map(|()| budget.held()).map_err(|spent| spent.held), held);
        }
        let mut passing = share.another();
        passing.pass(11);
        assert_eq!((passing.bytes(), share.hold(1)), (11, Err(Spent { held: 11, limit: 10, own: 1 })));
        drop(passing);
        let mut gathering = Gathering::new(&budget);
        gathering.push(Bytes::from_static(b"body")).unwrap();
        let share = gathering.finish().into_share();
        assert_eq!(budget.held(), 4);
        drop(share);
        assert_eq!(budget.held(), 0);
    }
}
