//! The index of a configured `prefix-cache-scorer`: prompts in blocks of equal size, as the reference cuts them.
//!
//! Where the reference drops the oldest block of an endpoint, which may be the head of a prompt, the tail of the oldest
//! prompt goes here; and what counts as held is always a head.

use super::PrefixIndex;
use crate::Slot;
use payload::{PROMPT_BLOCKS_MAX, Prompt, block_end};
use smallvec::SmallVec;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes of prompt to a token, as the reference has it.
pub(super) const BYTES_PER_TOKEN: u64 = 4;

/// How a configured `prefix-cache-scorer` cuts prompts, and how much of them it remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockSettings {
    /// Bytes in a block, where the reference counts characters. Default 64: 16 tokens.
    pub block_bytes: u32,
    /// The most blocks of a prompt that are looked at. Default 256.
    pub blocks_max: u16,
    /// Bytes of a prompt that are looked at, instead of `blocks_max`.
    pub prefix_bytes_max: Option<u64>,
    /// Blocks remembered of an endpoint. Default 31,250.
    pub capacity_blocks: u32,
    /// Takes the size of a block and the capacity from what the model server reports, where it does. Default true.
    pub auto_tune: bool,
}

impl Default for BlockSettings {
    fn default() -> BlockSettings {
        BlockSettings {
            block_bytes: 64,
            blocks_max: 256,
            prefix_bytes_max: None,
            capacity_blocks: 31_250,
            auto_tune: true,
        }
    }
}

impl BlockSettings {
    /// The most blocks of one prompt: half a megabyte of it in blocks of 64 bytes.
    pub const BLOCKS_MAX: u16 = 8_192;
    /// The most blocks of one endpoint: about 10 MB of memory.
    pub const CAPACITY_MAX: u32 = 1 << 18;
    /// The largest block, bytes.
    pub const BLOCK_BYTES_MAX: u32 = 1 << 16;

    /// The most blocks of a prompt that is cut into blocks of `block_bytes`.
    pub fn blocks_of(&self, block_bytes: u32) -> usize {
        let blocks = match self.prefix_bytes_max {
            Some(bytes) => bytes / u64::from(block_bytes.max(1)),
            None => u64::from(self.blocks_max),
        };
        blocks.min(u64::from(BlockSettings::BLOCKS_MAX)) as usize
    }
}

/// What such an index knows of one prompt.
#[derive(Debug, Clone, Default)]
pub struct BlockMatches {
    /// Whole blocks of the prompt.
    pub of: u16,
    /// (endpoint, blocks of the longest head found); an endpoint that is not listed holds nothing.
    pub heads: SmallVec<[(Slot, u16); 8]>,
}

/// Prompt heads in blocks of equal size, by endpoint.
#[derive(Debug)]
pub struct BlockIndex {
    settings: BlockSettings,
    index: PrefixIndex,
    /// A server has reported its size of a block, and it was taken.
    tuned: AtomicBool,
}

impl BlockIndex {
    /// An empty index.
    pub fn new(settings: BlockSettings) -> BlockIndex {
        BlockIndex { settings, index: PrefixIndex::of_blocks(&settings), tuned: AtomicBool::new(false) }
    }

    /// What it was made of.
    pub fn settings(&self) -> &BlockSettings {
        &self.settings
    }

    /// How a prompt is cut: bytes in a block, and how many blocks at most.
    pub fn cut(&self) -> (u32, usize) {
        let block_bytes = self.index.block_bytes();
        (block_bytes, self.settings.blocks_of(block_bytes))
    }

    /// Which endpoints hold how many blocks of the head of a prompt that was cut so.
    pub fn lookup(&self, model: &str, prompt: &Prompt) -> BlockMatches {
        let block_bytes = u64::from(self.index.block_bytes().max(1));
        let blocks = |bytes: u64| u16::try_from(bytes / block_bytes).unwrap_or(u16::MAX);
        let heads = self.index.lookup(model, prompt).heads;
        BlockMatches {
            of: u16::try_from(prompt.blocks.len()).unwrap_or(u16::MAX),
            heads: heads.into_iter().map(|(slot, bytes)| (slot, blocks(bytes))).collect(),
        }
    }

    /// See [`PrefixIndex::insert`].
    pub fn insert(&self, slot: Slot, model: &str, prompt: &Prompt) {
        self.index.insert(slot, model, prompt);
    }

    /// See [`PrefixIndex::forget`].
    pub fn forget(&self, slot: Slot) {
        self.index.forget(slot);
    }

    /// See [`PrefixIndex::entries`].
    pub fn entries(&self) -> u64 {
        self.index.entries()
    }

    /// The server at `slot` reported how its cache is cut. With `auto_tune` prompts are cut as the first server's cache
    /// that reports, from then on (what was cut otherwise is never found again and goes with time), and the endpoint's part
    /// becomes as large as its cache.
    pub fn fit(&self, slot: Slot, block_tokens: u32, blocks: u32) {
        let block_bytes = u64::from(block_tokens) * BYTES_PER_TOKEN;
        if !self.settings.auto_tune || !(1..=u64::from(BlockSettings::BLOCK_BYTES_MAX)).contains(&block_bytes)
        {
            return;
        }
        if !self.tuned.swap(true, Relaxed) {
            self.index.block_bytes.store(block_bytes as u32, Relaxed);
        }
        self.index.fit(slot, u64::from(blocks) * u64::from(block_tokens));
    }
}

/// Where the blocks of a chain end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stride {
    /// At growing strides, as every prompt is hashed.
    Growing,
    /// At multiples of so many bytes, at least 1.
    Equal(u32),
}

impl Stride {
    /// Bytes of prompt from its start to the end of block `index`, from 0.
    pub(super) fn end(self, index: usize) -> u64 {
        match self {
            Stride::Growing => block_end(index),
            Stride::Equal(bytes) => (index as u64 + 1) * u64::from(bytes),
        }
    }
}

const _: () = assert!(PROMPT_BLOCKS_MAX <= BlockSettings::BLOCKS_MAX as usize);
