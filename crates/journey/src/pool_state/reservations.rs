//! What requests hold at endpoints, each given back once.

use super::health::Trial;
use crate::{Now, ReservationId};
use scheduling::Slot;
use std::time::Duration;

/// What one request holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reservation {
    /// Where; `None` if the endpoint that it was moved to had gone.
    pub(super) slot: Option<Slot>,
    /// When it was sent there.
    pub(super) sent: Now,
    /// Bytes of its prompt.
    pub(super) prompt_bytes: u64,
    /// Prompt work that it added to the endpoint's backlog; zero once its first token came.
    pub(super) work: Duration,
    /// Whether it is the request by which a resting endpoint may return.
    pub(super) trial: Trial,
    /// Tokens streamed.
    pub(super) tokens: u32,
}

/// A table of reservations. A place is told apart from its earlier users by its generation. As long as the number of
/// requests under way was at most, which the doors limit.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    places: Vec<(u32, Option<Reservation>)>,
    vacant: Vec<u32>,
}

impl Reservations {
    pub(super) fn add(&mut self, reservation: Reservation) -> ReservationId {
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            (self.places.len() - 1) as u32
        });
        let (generation, place) = &mut self.places[index as usize];
        *place = Some(reservation);
        ReservationId { index, generation: *generation }
    }

    pub(super) fn get(&self, id: ReservationId) -> Option<&Reservation> {
        match self.places.get(id.index as usize) {
            Some((generation, place)) if *generation == id.generation => place.as_ref(),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, id: ReservationId) -> Option<&mut Reservation> {
        match self.places.get_mut(id.index as usize) {
            Some((generation, place)) if *generation == id.generation => place.as_mut(),
            _ => None,
        }
    }

    /// What is held at `slot`.
    pub(super) fn at(&self, slot: Slot) -> impl Iterator<Item = &Reservation> {
        let held = self.places.iter().filter_map(|(_, held)| held.as_ref());
        held.filter(move |held| held.slot == Some(slot))
    }

    /// Finds the vacant places anew.
    pub(super) fn recount(&mut self) {
        let places = (0u32..).zip(&self.places);
        self.vacant = places.filter(|(_, (_, held))| held.is_none()).map(|(index, _)| index).collect();
    }

    #[cfg(test)]
    pub(super) fn forget_vacant(&mut self) {
        self.vacant.clear();
    }

    pub(super) fn take(&mut self, id: ReservationId) -> Option<Reservation> {
        let (generation, place) = self.places.get_mut(id.index as usize)?;
        if *generation != id.generation {
            return None;
        }
        let taken = place.take()?;
        *generation = generation.wrapping_add(1);
        self.vacant.push(id.index);
        Some(taken)
    }
}
