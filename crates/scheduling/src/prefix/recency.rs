//! The blocks of one endpoint, in the order of their last use.

use super::Chain;
use hashbrown::HashTable;

/// Prompt bytes that an endpoint is taken to hold until its cache size is known: half a million tokens.
pub(super) const CAPACITY_BYTES_DEFAULT: u64 = 2 << 20;
/// A smaller cache than this would not hold one prompt.
pub(super) const CAPACITY_BYTES_MIN: u64 = 64 << 10;
/// A larger cache is followed only so far: 65,536 blocks, about 4 MB of memory for an endpoint.
pub(super) const CAPACITY_BYTES_MAX: u64 = 64 << 20;

/// No node.
const NONE: u32 = u32::MAX;

/// A block; a link of the list from newest to oldest.
#[derive(Debug, Clone, Copy)]
struct Node {
    key: u64,
    newer: u32,
    older: u32,
    bytes: u32,
    home: u32,
}

#[derive(Debug)]
pub(super) struct Recency {
    nodes: Vec<Node>,
    places: HashTable<u32>,
    /// Places in `nodes` that hold no block, chained by `older`.
    vacant: u32,
    newest: u32,
    oldest: u32,
    bytes: u64,
    capacity: u64,
    /// Blocks that the last chain brought.
    pub(super) fresh: Vec<u64>,
}

impl Recency {
    pub(super) fn new(capacity: u64) -> Recency {
        Recency {
            nodes: Vec::new(),
            places: HashTable::new(),
            vacant: NONE,
            newest: NONE,
            oldest: NONE,
            bytes: 0,
            capacity,
            fresh: Vec::new(),
        }
    }

    /// Sets how many bytes of prompts are kept; answers how many were.
    pub(super) fn resize(&mut self, capacity: u64) -> u64 {
        std::mem::replace(&mut self.capacity, capacity)
    }

    /// Uses the chain's blocks, the last one first, so that none is older than those behind it. A chain longer than the
    /// capacity is cut, or its own tail would be evicted at once.
    pub(super) fn use_chain(&mut self, chain: &Chain<'_>, home: usize) {
        self.fresh.clear();
        let fitting =
            (0..chain.blocks.len()).take_while(|&index| chain.stride.end(index) <= self.capacity).count();
        for index in (0..fitting).rev() {
            let start = index.checked_sub(1).map_or(0, |before| chain.stride.end(before));
            self.use_block(chain.key(index), (chain.stride.end(index) - start) as u32, home as u32);
        }
    }

    /// Takes out the oldest block if there is more than the capacity: its key and its shard.
    pub(super) fn pop_over_capacity(&mut self) -> Option<(u64, usize)> {
        if self.bytes <= self.capacity || self.oldest == NONE {
            return None;
        }
        let place = self.oldest;
        let Node { key, bytes, home, .. } = self.nodes[place as usize];
        self.unlink(place);
        if let Ok(entry) = self.places.find_entry(key, |held| *held == place) {
            entry.remove();
        }
        self.bytes -= u64::from(bytes);
        self.nodes[place as usize].older = self.vacant;
        self.vacant = place;
        Some((key, home as usize))
    }

    /// Blocks held.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    fn use_block(&mut self, key: u64, bytes: u32, home: u32) {
        let nodes = &self.nodes;
        if let Some(&place) = self.places.find(key, |&held| nodes[held as usize].key == key) {
            if place != self.newest {
                self.unlink(place);
                self.link_newest(place);
            }
            return;
        }
        let node = Node { key, newer: NONE, older: NONE, bytes, home };
        let place = if self.vacant == NONE {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        } else {
            let place = self.vacant;
            self.vacant = self.nodes[place as usize].older;
            self.nodes[place as usize] = node;
            place
        };
        let nodes = &self.nodes;
        self.places.insert_unique(key, place, |&held| nodes[held as usize].key);
        self.link_newest(place);
        self.bytes += u64::from(bytes);
        self.fresh.push(key);
    }

    fn unlink(&mut self, place: u32) {
        let Node { newer, older, .. } = self.nodes[place as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.nodes[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.nodes[older as usize].newer = newer,
        }
    }

    fn link_newest(&mut self, place: u32) {
        let older = std::mem::replace(&mut self.newest, place);
        self.nodes[place as usize].newer = NONE;
        self.nodes[place as usize].older = older;
        match older {
            NONE => self.oldest = place,
            older => self.nodes[older as usize].newer = place,
        }
    }
}
