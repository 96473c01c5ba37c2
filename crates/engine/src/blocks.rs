//! The KV cache: blocks with reference counts, found again by hash, evicted least recently used first.
//!
//! A block is in one of four states: never used, held by requests (`holders` > 0), cached (no holder, hash known, in the
//! eviction list), or spare (no holder, no hash). Blocks are made on demand, so an idle engine costs nothing.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// A block's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockId(u32);

#[derive(Debug, Clone, Copy)]
struct Block {
    holders: u32,
    hash: Option<u64>,
    /// Neighbours in the eviction list; `NONE` at its ends and outside it.
    older: u32,
    newer: u32,
}

const NONE: u32 = u32::MAX;

/// Every block of one engine.
#[derive(Debug)]
pub(crate) struct Blocks {
    capacity: u32,
    blocks: Vec<Block>,
    by_hash: HashMap<u64, BlockId, FixedState>,
    spare: Vec<BlockId>,
    oldest: u32,
    newest: u32,
    cached: u32,
    held: u32,
    evicted: u64,
    published: u64,
}

impl Blocks {
    pub(crate) fn new(capacity: u32) -> Self {
        Self {
            capacity,
            blocks: Vec::new(),
            by_hash: HashMap::with_hasher(FixedState::with_seed(0)),
            spare: Vec::new(),
            oldest: NONE,
            newest: NONE,
            cached: 0,
            held: 0,
            evicted: 0,
            published: 0,
        }
    }

    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Blocks that some request holds.
    pub(crate) fn held(&self) -> u32 {
        self.held
    }

    /// Blocks that a request could get: never used, spare or evictable.
    pub(crate) fn available(&self) -> u32 {
        self.capacity - self.held
    }

    /// Blocks without a holder that a later prompt may find.
    pub(crate) fn cached(&self) -> u32 {
        self.cached
    }

    /// Cached blocks whose content made room for another, since the start.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Blocks made findable, since the start.
    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    /// How many leading hashes are cached.
    pub(crate) fn match_length(&self, hashes: &[u64]) -> usize {
        hashes.iter().take_while(|hash| self.by_hash.contains_key(*hash)).count()
    }

    /// How many of these blocks nobody holds: what holding them takes from the available ones.
    pub(crate) fn idle_among(&self, hashes: &[u64]) -> u32 {
        let idle = hashes
            .iter()
            .filter(|hash| self.by_hash.get(*hash).is_some_and(|id| self.blocks[id.0 as usize].holders == 0));
        idle.count() as u32
    }

    /// Holds the cached block of this hash.
    pub(crate) fn hold(&mut self, hash: u64) -> Option<BlockId> {
        let id = *self.by_hash.get(&hash)?;
        if self.blocks[id.0 as usize].holders == 0 {
            self.unlink(id);
            self.cached -= 1;
            self.held += 1;
        }
        self.blocks[id.0 as usize].holders += 1;
        Some(id)
    }

    /// Takes a block for new content: a spare one, a fresh one, or the least recently used cached one.
    pub(crate) fn take(&mut self) -> Option<BlockId> {
        let id = self.spare.pop().or_else(|| self.fresh()).or_else(|| self.evict())?;
        self.blocks[id.0 as usize].holders = 1;
        self.held += 1;
        Some(id)
    }

    /// Makes a held block findable. If another block has the content already, that one stays the findable one.
    pub(crate) fn publish(&mut self, id: BlockId, hash: u64) {
        if let Entry::Vacant(entry) = self.by_hash.entry(hash) {
            entry.insert(id);
            self.published += 1;
            self.blocks[id.0 as usize].hash = Some(hash);
        }
    }

    /// Gives blocks back, the last first: heads of prompts stay longest in the eviction list.
    pub(crate) fn release(&mut self, ids: &[BlockId]) {
        for &id in ids.iter().rev() {
            let block = &mut self.blocks[id.0 as usize];
            block.holders -= 1;
            if block.holders > 0 {
                continue;
            }
            self.held -= 1;
            if block.hash.is_some() {
                self.link_newest(id);
                self.cached += 1;
            } else {
                self.spare.push(id);
            }
        }
    }

    fn fresh(&mut self) -> Option<BlockId> {
        let index = u32::try_from(self.blocks.len()).ok().filter(|&index| index < self.capacity)?;
        self.blocks.push(Block { holders: 0, hash: None, older: NONE, newer: NONE });
        Some(BlockId(index))
    }

    fn evict(&mut self) -> Option<BlockId> {
        let id = Some(self.oldest).filter(|&oldest| oldest != NONE).map(BlockId)?;
        self.unlink(id);
        self.cached -= 1;
        self.evicted += 1;
        if let Some(hash) = self.blocks[id.0 as usize].hash.take() {
            self.by_hash.remove(&hash);
        }
        Some(id)
    }

    fn link_newest(&mut self, id: BlockId) {
        let before = std::mem::replace(&mut self.newest, id.0);
        let block = &mut self.blocks[id.0 as usize];
        (block.older, block.newer) = (before, NONE);
        match before {
            NONE => self.oldest = id.0,
            before => self.blocks[before as usize].newer = id.0,
        }
    }

    fn unlink(&mut self, id: BlockId) {
        let block = &mut self.blocks[id.0 as usize];
        let (older, newer) = (block.older, block.newer);
        (block.older, block.newer) = (NONE, NONE);
        match older {
            NONE => self.oldest = newer,
            older => self.blocks[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.blocks[newer as usize].older = older,
        }
    }
}
