//! Which endpoint has seen which head of a prompt.
//!
//! A prompt is a chain of block hashes. For each block the index knows the set of endpoints that were sent it, and for each
//! endpoint the order in which its blocks were last used. Whoever uses a block uses every block before it afterwards, so a
//! block is never older than those behind it: when an endpoint's part is full, the tails of the oldest chains go first, and
//! what an endpoint holds of a chain is always a head of it. That makes the longest match findable by halving.
//!
//! All blocks of a chain lie in one shard, by the chain's first block: a look-up takes one shared lock. Writers order their
//! endpoint's blocks under that endpoint's own mutex, and take a shard only where a block comes or goes.

mod blocks;
mod endpoint_set;
mod recency;

pub use blocks::{BlockIndex, BlockMatches, BlockSettings};

use crate::Slot;
use blocks::{BYTES_PER_TOKEN, Stride};
use endpoint_set::EndpointSet;
use hashbrown::HashTable;
use payload::Prompt;
use recency::Recency;
use smallvec::SmallVec;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Shards of the index; more than the data threads that write at once.
const SHARDS: usize = 16;

/// The most look-ups in a shard that one match may take; with more ends of heads than these find, the shorter heads are
/// told shorter than they are.
const PROBES_MAX: u32 = 64;

/// The most places in a domain that the index follows; beyond these an endpoint has no prefix affinity.
const SLOTS_MAX: usize = 1 << 16;

/// Prompt heads by endpoint, bounded in memory; read without the pool's mutex, written only from what a decision lists.
#[derive(Debug)]
pub struct PrefixIndex {
    shards: [RwLock<Shard>; SHARDS],
    /// By slot. Grows when a slot is first written to.
    recencies: RwLock<Vec<Arc<Mutex<Recency>>>>,
    /// Bytes of prompts that an endpoint is taken to hold until its cache size is known.
    part_bytes: u64,
    /// Bytes in a block; 0: prompts are cut at growing strides.
    block_bytes: AtomicU32,
}

impl Default for PrefixIndex {
    /// An index of prompts as every prompt is hashed.
    fn default() -> PrefixIndex {
        PrefixIndex {
            shards: Default::default(),
            recencies: RwLock::default(),
            part_bytes: recency::CAPACITY_BYTES_DEFAULT,
            block_bytes: AtomicU32::new(0),
        }
    }
}

/// What the index knows of one prompt: for each endpoint that has any of it, the bytes of the longest head found.
#[derive(Debug, Clone, Default)]
pub struct PrefixMatches {
    /// (endpoint, bytes of the prompt whose hash it holds), longest first; an endpoint that is not listed holds nothing.
    pub heads: SmallVec<[(Slot, u64); 16]>,
    /// The same in whole blocks, by the index of a configured `prefix-cache-scorer`; nothing without one.
    pub blocks: BlockMatches,
}

impl PrefixIndex {
    /// An index of prompts in blocks of equal size.
    fn of_blocks(settings: &BlockSettings) -> PrefixIndex {
        PrefixIndex {
            part_bytes: u64::from(settings.capacity_blocks) * u64::from(settings.block_bytes),
            block_bytes: AtomicU32::new(settings.block_bytes.max(1)),
            ..PrefixIndex::default()
        }
    }

    /// Bytes in a block; 0 where prompts are cut at growing strides.
    fn block_bytes(&self) -> u32 {
        self.block_bytes.load(Relaxed)
    }

    /// Which endpoints hold how much of the prompt's head, for `model` (the model that will be sent).
    pub fn lookup(&self, model: &str, prompt: &Prompt) -> PrefixMatches {
        let chain = self.chain(model, prompt);
        let mut matches = PrefixMatches::default();
        if let Some(home) = chain.home() {
            let shard = self.shards[home].read().unwrap_or_else(PoisonError::into_inner);
            Walk { shard: &shard, chain, probes: PROBES_MAX }.collect(&mut matches);
        }
        matches
    }

    /// Notes that the endpoint at `slot` will hold the prompt: call it for each endpoint of a decision that the
    /// request is sent to, after the pool's mutex is released.
    pub fn insert(&self, slot: Slot, model: &str, prompt: &Prompt) {
        let chain = self.chain(model, prompt);
        let Some(home) = chain.home() else { return };
        let Some(recency) = self.recency(slot) else { return };
        let mut recency = recency.lock().unwrap_or_else(PoisonError::into_inner);
        recency.use_chain(&chain, home);
        self.evict(slot, &mut recency);
        if !recency.fresh.is_empty() {
            let mut shard = self.shards[home].write().unwrap_or_else(PoisonError::into_inner);
            for &key in &recency.fresh {
                shard.add(key, slot);
            }
        }
    }

    /// Empties what is known of `slot`: its endpoint has restarted or left.
    pub fn forget(&self, slot: Slot) {
        let known =
            self.recencies.read().unwrap_or_else(PoisonError::into_inner).get(slot.0 as usize).cloned();
        if let Some(recency) = known {
            let mut recency = recency.lock().unwrap_or_else(PoisonError::into_inner);
            let capacity = recency.resize(0);
            self.evict(slot, &mut recency);
            *recency = Recency::new(capacity);
        }
    }

    /// Tells how many tokens the KV cache of the endpoint at `slot` holds, so that its part of the index is as large.
    pub fn fit(&self, slot: Slot, cache_tokens: u64) {
        let Some(recency) = self.recency(slot) else { return };
        let mut recency = recency.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = cache_tokens.saturating_mul(BYTES_PER_TOKEN);
        let most = match self.block_bytes() {
            0 => recency::CAPACITY_BYTES_MAX,
            bytes => u64::from(bytes) * u64::from(BlockSettings::CAPACITY_MAX),
        };
        recency.resize(bytes.clamp(recency::CAPACITY_BYTES_MIN, most));
        self.evict(slot, &mut recency);
    }

    /// Blocks held, those of each endpoint counted. Takes every endpoint's mutex in turn: for a scrape.
    pub fn entries(&self) -> u64 {
        let recencies = self.recencies.read().unwrap_or_else(PoisonError::into_inner).clone();
        recencies.iter().map(|part| part.lock().unwrap_or_else(PoisonError::into_inner).len() as u64).sum()
    }

    fn chain<'p>(&self, model: &str, prompt: &'p Prompt) -> Chain<'p> {
        let stride = match self.block_bytes() {
            0 => Stride::Growing,
            bytes => Stride::Equal(bytes),
        };
        let seed = foldhash::fast::FixedState::with_seed(prompt.salt).hash_one(model);
        Chain { blocks: &prompt.blocks, seed, stride }
    }

    /// Takes away what the endpoint's part has no room for, oldest tails first.
    fn evict(&self, slot: Slot, recency: &mut Recency) {
        while let Some((key, home)) = recency.pop_over_capacity() {
            self.shards[home].write().unwrap_or_else(PoisonError::into_inner).remove(key, slot);
        }
    }

    fn recency(&self, slot: Slot) -> Option<Arc<Mutex<Recency>>> {
        let place = slot.0 as usize;
        if let Some(known) = self.recencies.read().unwrap_or_else(PoisonError::into_inner).get(place) {
            return Some(Arc::clone(known));
        }
        if place >= SLOTS_MAX {
            return None;
        }
        let mut recencies = self.recencies.write().unwrap_or_else(PoisonError::into_inner);
        if recencies.len() <= place {
            recencies.resize_with(place + 1, || Arc::new(Mutex::new(Recency::new(self.part_bytes))));
        }
        Some(Arc::clone(&recencies[place]))
    }
}

/// A prompt's blocks as keys of the index.
struct Chain<'a> {
    blocks: &'a [u64],
    /// What else tells caches apart: model and salt.
    seed: u64,
    stride: Stride,
}

impl Chain<'_> {
    fn key(&self, index: usize) -> u64 {
        // One round of splitmix64: the blocks are good hashes already, the seed has to reach every bit.
        let mixed = (self.blocks[index] ^ self.seed).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ (mixed >> 32)
    }

    /// The shard of the whole chain; `None` if the prompt has no whole block.
    fn home(&self) -> Option<usize> {
        (!self.blocks.is_empty()).then(|| (self.key(0) >> 20) as usize % SHARDS)
    }
}

/// Blocks of the chains whose first block falls here, with who holds them.
#[derive(Debug, Default)]
struct Shard {
    holders: HashTable<(u64, EndpointSet)>,
}

impl Shard {
    fn get(&self, key: u64) -> Option<&EndpointSet> {
        self.holders.find(key, |(held, _)| *held == key).map(|(_, set)| set)
    }

    fn add(&mut self, key: u64, slot: Slot) {
        let entry = self.holders.entry(key, |(held, _)| *held == key, |(held, _)| *held);
        entry.or_insert_with(|| (key, EndpointSet::default())).get_mut().1.insert(slot);
    }

    fn remove(&mut self, key: u64, slot: Slot) {
        if let Ok(mut entry) = self.holders.find_entry(key, |(held, _)| *held == key) {
            entry.get_mut().1.remove(slot);
            if entry.get().1.len() == 0 {
                entry.remove();
            }
        }
    }
}

/// A search for the ends of the heads that endpoints hold. Holders of a block hold every block before it, so their number
/// falls along the chain.
struct Walk<'a> {
    shard: &'a Shard,
    chain: Chain<'a>,
    probes: u32,
}

impl<'a> Walk<'a> {
    /// Longest head first: finds its end by galloping, then steps back to where there are more holders, by halving.
    fn collect(mut self, matches: &mut PrefixMatches) {
        let Some(first) = self.probe(0) else { return };
        let mut told: Option<&EndpointSet> = None;
        let (mut at, mut holders) = self.last_held(first);
        loop {
            for slot in holders.iter() {
                if told.is_none_or(|told| !told.contains(slot)) {
                    matches.heads.push((slot, self.chain.stride.end(at)));
                }
            }
            if at == 0 || holders.len() >= first.len() {
                return;
            }
            told = Some(holders);
            (at, holders) = self.last_with_more(at, holders.len(), first);
        }
    }

    fn probe(&mut self, index: usize) -> Option<&'a EndpointSet> {
        self.probes = self.probes.saturating_sub(1);
        self.shard.get(self.chain.key(index))
    }

    /// The last block that anybody holds, and who does.
    fn last_held(&mut self, first: &'a EndpointSet) -> (usize, &'a EndpointSet) {
        let (mut held, mut holders, mut free) = (0, first, self.chain.blocks.len());
        let mut step = 1;
        while held + 1 < free {
            let next = held.saturating_add(step).min(held + (free - held) / 2).max(held + 1);
            match self.probe(next) {
                Some(set) => (held, holders, step) = (next, set, step.saturating_mul(2)),
                None => (free, step) = (next, usize::MAX),
            }
        }
        (held, holders)
    }

    /// The last block before `end` that more than `count` hold, and who does; the first one when the probes are spent.
    fn last_with_more(
        &mut self,
        end: usize,
        count: usize,
        first: &'a EndpointSet,
    ) -> (usize, &'a EndpointSet) {
        let (mut more, mut holders, mut same) = (0, first, end);
        while more + 1 < same && self.probes > 0 {
            let middle = more + (same - more) / 2;
            match self.probe(middle) {
                Some(set) if set.len() > count => (more, holders) = (middle, set),
                _ => same = middle,
            }
        }
        (more, holders)
    }
}

#[cfg(test)]
mod tests;
