//! A fixed ring of decision records for each core.
//!
//! Written by its core only; the mutex is there for the reader, which holds it for a few records at a time. A slot is
//! used again in place, so that a write in the steady state allocates nothing.

use crate::Record;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Records that a reader clones under one lock: what a core may have to wait for is some microseconds.
const BATCH_MAX: usize = 16;

/// The newest records of one core.
#[derive(Debug)]
pub(crate) struct Ring {
    slots: Mutex<Slots>,
    hasher: foldhash::fast::FixedState,
}

/// Record number `n` (from 0) lies at `n % capacity`.
#[derive(Debug)]
struct Slots {
    /// Hashes of the ids beside the records: a look-up walks 8 bytes a record.
    ids: Vec<u64>,
    records: Vec<Record>,
    capacity: usize,
    written: u64,
}

impl Ring {
    /// A ring of `capacity` records; of none if that is 0.
    pub(crate) fn new(capacity: usize) -> Ring {
        let (ids, records) = (Vec::with_capacity(capacity), Vec::with_capacity(capacity));
        let slots = Mutex::new(Slots { ids, records, capacity, written: 0 });
        Ring { slots, hasher: foldhash::fast::FixedState::default() }
    }

    /// Writes a record in the place of the oldest one, and leaves that, or a blank one, in its own place: so it is dropped
    /// outside the lock.
    pub(crate) fn write(&self, record: &mut Record) {
        let id = self.hasher.hash_one(record.id.as_str());
        let mut slots = self.slots();
        let slots = &mut *slots;
        if slots.records.len() < slots.capacity {
            slots.ids.push(id);
            slots.records.push(std::mem::replace(record, Record::blank()));
        } else if let Some(at) = slots.written.checked_rem(slots.capacity as u64) {
            slots.ids[at as usize] = id;
            std::mem::swap(&mut slots.records[at as usize], record);
        }
        slots.written += 1;
    }

    /// The newest record of this id.
    pub(crate) fn find(&self, id: &str) -> Option<Record> {
        let wanted = self.hasher.hash_one(id);
        let slots = self.slots();
        slots
            .numbers()
            .rev()
            .map(|number| (number % slots.capacity as u64) as usize)
            .find(|&at| slots.ids[at] == wanted && slots.records[at].id.as_str() == id)
            .map(|at| slots.records[at].clone())
    }

    /// Appends the records from number `next` on, oldest first, and tells the number after the last one. Those that were
    /// written over meanwhile are left out.
    pub(crate) fn since(&self, mut next: u64, out: &mut Vec<Record>) -> u64 {
        let end = self.slots().written;
        while next < end {
            let slots = self.slots();
            let numbers = slots.numbers();
            next = next.max(numbers.start);
            let batch = next..end.min(next + BATCH_MAX as u64);
            out.extend(batch.clone().map(|number| slots.at(number).clone()));
            next = batch.end.max(next);
        }
        next
    }

    /// How many records were written so far.
    pub(crate) fn written(&self) -> u64 {
        self.slots().written
    }

    /// A record is whole or was never begun: nothing in the lock can panic half-way, so poison says nothing.
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    /// Numbers of the records that are there.
    fn numbers(&self) -> std::ops::Range<u64> {
        self.written - self.records.len() as u64..self.written
    }

    fn at(&self, number: u64) -> &Record {
        &self.records[(number % self.capacity as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RequestId;
    use crate::record::tests::served;

    fn write(ring: &Ring, id: &str, status: u16) {
        ring.write(&mut Record { id: RequestId::from(id).unwrap(), status, ..served() });
    }

    #[test]
    fn the_newest_record_of_an_id_is_found_until_it_is_written_over() {
        let ring = Ring::new(3);
        write(&ring, "a", 1);
        write(&ring, "b", 2);
        write(&ring, "a", 3);
        assert_eq!(ring.find("a").map(|record| record.status), Some(3));
        write(&ring, "c", 4);
        write(&ring, "d", 5);
        assert!(ring.find("b").is_none());
        assert_eq!(ring.find("a").map(|record| record.status), Some(3));
        write(&ring, "e", 6);
        assert!(ring.find("a").is_none());
    }

    #[test]
    fn a_slow_reader_misses_what_was_written_over_and_reads_the_rest_once() {
        let ring = Ring::new(40);
        (0..100).for_each(|status| write(&ring, "x", status));
        let mut records = Vec::new();
        let next = ring.since(0, &mut records);
        assert_eq!(next, 100);
        assert_eq!(
            records.iter().map(|record| record.status).collect::<Vec<_>>(),
            (60..100).collect::<Vec<_>>()
        );
        assert_eq!(ring.since(next, &mut records), 100);
        assert_eq!(records.len(), 40);
    }

    #[test]
    fn a_ring_of_no_records_keeps_none() {
        let ring = Ring::new(0);
        write(&ring, "a", 200);
        let mut records = Vec::new();
        assert_eq!((ring.since(0, &mut records), records.len()), (1, 0));
        assert!(ring.find("a").is_none());
    }
}
