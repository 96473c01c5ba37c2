//! Who stands at which place of the domain.

use super::Reconciled;
use super::endpoint::{Endpoint, Standing};
use crate::{EndpointKey, Now};
use scheduling::Slot;
use std::collections::{HashMap, VecDeque};
use std::ops::{Index, IndexMut};
use std::time::Duration;

/// How long a place stays vacant, so that no request with an older snapshot takes the next endpoint for the last one.
const VACANT_FOR: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub(super) struct Roster {
    /// By slot.
    places: Vec<Endpoint>,
    slots: HashMap<EndpointKey, Slot>,
    /// Vacant places, the longest vacant first.
    vacant: VecDeque<(Now, Slot)>,
    /// Places vacated since the last `reconcile`.
    vacated: Vec<Slot>,
}

impl Roster {
    /// See `PoolState::reconcile`.
    pub(super) fn reconcile(&mut self, keys: &[EndpointKey], now: Now) -> Reconciled {
        for endpoint in &mut self.places {
            if endpoint.standing == Standing::Present {
                endpoint.standing = Standing::Departed;
            }
        }
        let slots = keys.iter().map(|key| self.place(key, now)).collect();
        for index in 0..self.places.len() {
            self.vacate_if_empty(Slot(index as u32), now);
        }
        Reconciled { slots, vacated: std::mem::take(&mut self.vacated) }
    }

    /// Forgets a departed endpoint that no request is at.
    pub(super) fn vacate_if_empty(&mut self, slot: Slot, now: Now) {
        let endpoint = &mut self.places[slot.0 as usize];
        if endpoint.standing == Standing::Departed && endpoint.in_flight == 0 {
            endpoint.standing = Standing::Vacant;
            self.slots.remove(&endpoint.key);
            self.vacant.push_back((now, slot));
            self.vacated.push(slot);
        }
    }

    /// Places, whoever stands there.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The endpoint at `slot`, if it may be picked.
    pub(super) fn present(&self, slot: Slot) -> Option<&Endpoint> {
        self.places.get(slot.0 as usize).filter(|endpoint| endpoint.standing == Standing::Present)
    }

    /// The endpoint at `slot`, departed or not.
    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Endpoint> {
        self.places.get_mut(slot.0 as usize).filter(|endpoint| endpoint.standing != Standing::Vacant)
    }

    /// Every endpoint, departed or not.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &Endpoint)> {
        let slots = (0u32..).map(Slot);
        slots.zip(&self.places).filter(|(_, endpoint)| endpoint.standing != Standing::Vacant)
    }

    /// The same, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Slot, &mut Endpoint)> {
        let slots = (0u32..).map(Slot);
        slots.zip(&mut self.places).filter(|(_, endpoint)| endpoint.standing != Standing::Vacant)
    }

    fn place(&mut self, key: &EndpointKey, now: Now) -> Slot {
        if let Some(&slot) = self.slots.get(key) {
            self.places[slot.0 as usize].standing = Standing::Present;
            return slot;
        }
        let endpoint = Endpoint::new(key.clone());
        let slot = match self.vacant.front() {
            Some(&(since, slot)) if now.since(since) >= VACANT_FOR => {
                self.vacant.pop_front();
                self.vacated.push(slot);
                self.places[slot.0 as usize] = endpoint;
                slot
            }
            _ => {
                self.places.push(endpoint);
                Slot((self.places.len() - 1) as u32)
            }
        };
        self.slots.insert(key.clone(), slot);
        slot
    }
}

impl Index<Slot> for Roster {
    type Output = Endpoint;

    fn index(&self, slot: Slot) -> &Endpoint {
        &self.places[slot.0 as usize]
    }
}

impl IndexMut<Slot> for Roster {
    fn index_mut(&mut self, slot: Slot) -> &mut Endpoint {
        &mut self.places[slot.0 as usize]
    }
}
