//! A set of endpoints: a few slots in line, or a bit for each.

use crate::Slot;
use arrayvec::ArrayVec;

/// Slots kept in line; a block that more endpoints hold is kept as bits.
const FEW: usize = 6;

#[derive(Debug)]
pub(super) enum EndpointSet {
    Few(ArrayVec<Slot, FEW>),
    Many(Box<Bits>),
}

#[derive(Debug, Default)]
pub(super) struct Bits {
    count: usize,
    words: Vec<u64>,
}

impl Default for EndpointSet {
    fn default() -> EndpointSet {
        EndpointSet::Few(ArrayVec::new())
    }
}

impl EndpointSet {
    pub(super) fn len(&self) -> usize {
        match self {
            EndpointSet::Few(slots) => slots.len(),
            EndpointSet::Many(bits) => bits.count,
        }
    }

    pub(super) fn contains(&self, slot: Slot) -> bool {
        match self {
            EndpointSet::Few(slots) => slots.contains(&slot),
            EndpointSet::Many(bits) => {
                let (word, bit) = place(slot);
                bits.words.get(word).is_some_and(|word| word & bit != 0)
            }
        }
    }

    pub(super) fn insert(&mut self, slot: Slot) {
        if self.contains(slot) {
            return;
        }
        match self {
            EndpointSet::Few(slots) if !slots.is_full() => slots.push(slot),
            EndpointSet::Few(slots) => {
                let mut bits = Bits::default();
                slots.iter().for_each(|&held| bits.set(held));
                bits.set(slot);
                *self = EndpointSet::Many(Box::new(bits));
            }
            EndpointSet::Many(bits) => bits.set(slot),
        }
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        if !self.contains(slot) {
            return;
        }
        match self {
            EndpointSet::Few(slots) => slots.retain(|held| *held != slot),
            EndpointSet::Many(bits) => {
                let (word, bit) = place(slot);
                bits.words[word] &= !bit;
                bits.count -= 1;
                // Half of what makes bits of it, so that a set at the border does not change to and fro.
                if bits.count <= FEW / 2 {
                    *self = EndpointSet::Few(self.iter().collect());
                }
            }
        }
    }

    /// The slots, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Slot> {
        let (few, words): (&[Slot], &[u64]) = match self {
            EndpointSet::Few(slots) => (slots, &[]),
            EndpointSet::Many(bits) => (&[], &bits.words),
        };
        let of_word = |(index, &word): (usize, &u64)| {
            let base = index as u32 * 64;
            std::iter::successors(Some(word), |rest| Some(rest & rest.wrapping_sub(1)))
                .take_while(|rest| *rest != 0)
                .map(move |rest| Slot(base + rest.trailing_zeros()))
        };
        few.iter().copied().chain(words.iter().enumerate().flat_map(of_word))
    }
}

impl Bits {
    /// Sets a bit that is not set.
    fn set(&mut self, slot: Slot) {
        let (word, bit) = place(slot);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
        self.count += 1;
    }
}

fn place(slot: Slot) -> (usize, u64) {
    (slot.0 as usize / 64, 1 << (slot.0 % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_set_of_endpoints_is_a_set(steps in prop::collection::vec((any::<bool>(), 0u32..200), 0..300)) {
            let (mut set, mut model) = (EndpointSet::default(), BTreeSet::new());
            for (add, slot) in steps {
                if add {
                    set.insert(Slot(slot));
                    model.insert(slot);
                } else {
                    set.remove(Slot(slot));
                    model.remove(&slot);
                }
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.contains(Slot(slot)), model.contains(&slot));
            }
            prop_assert_eq!(set.iter().map(|slot| slot.0).collect::<BTreeSet<_>>(), model);
        }
    }
}
