//! LoRA adapters: `max_loras` slots, each loaded before use, the least recently used idle one making room.

use std::time::Duration;

use crate::time::Time;

/// An adapter, by a number that the caller chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdapterId(pub u32);

/// What a request that needs an adapter meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The adapter is in its slot.
    Ready,
    /// A slot is held; the adapter is on its way there.
    Loading,
    /// Every slot is held for another adapter.
    NoSlot,
}

#[derive(Debug)]
struct Slot {
    adapter: AdapterId,
    ready_at: Time,
    holders: u32,
    used_at: Time,
}

/// The slots of one engine.
#[derive(Debug)]
pub(crate) struct Adapters {
    slots_max: usize,
    load_time: Duration,
    slots: Vec<Slot>,
    loads: u64,
}

impl Adapters {
    pub(crate) fn new(slots_max: u32, load_time: Duration) -> Self {
        Self { slots_max: slots_max as usize, load_time, slots: Vec::new(), loads: 0 }
    }

    /// Adapters loaded into a slot, since the start.
    pub(crate) fn loads(&self) -> u64 {
        self.loads
    }

    /// Holds a slot for this adapter, loading it if need be. `NoSlot` holds nothing.
    pub(crate) fn claim(&mut self, adapter: AdapterId, now: Time) -> Claim {
        let index = match self.slots.iter().position(|slot| slot.adapter == adapter) {
            Some(index) => index,
            None => match self.load(adapter, now) {
                Some(index) => index,
                None => return Claim::NoSlot,
            },
        };
        let slot = &mut self.slots[index];
        slot.holders += 1;
        slot.used_at = now;
        if slot.ready_at <= now { Claim::Ready } else { Claim::Loading }
    }

    /// When a held adapter is, or was, ready.
    pub(crate) fn ready_at(&self, adapter: AdapterId) -> Time {
        self.slots.iter().find(|slot| slot.adapter == adapter).map_or(Time::ZERO, |slot| slot.ready_at)
    }

    /// Gives one hold back.
    pub(crate) fn release(&mut self, adapter: AdapterId) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.adapter == adapter) {
            slot.holders -= 1;
        }
    }

    fn load(&mut self, adapter: AdapterId, now: Time) -> Option<usize> {
        let slot = Slot { adapter, ready_at: now + self.load_time, holders: 0, used_at: now };
        if self.slots.len() < self.slots_max {
            self.slots.push(slot);
            self.loads += 1;
            return Some(self.slots.len() - 1);
        }
        let idle = self.slots.iter().enumerate().filter(|(_, slot)| slot.holders == 0);
        let (index, _) = idle.min_by_key(|(_, slot)| slot.used_at)?;
        self.slots[index] = slot;
        self.loads += 1;
        Some(index)
    }
}
