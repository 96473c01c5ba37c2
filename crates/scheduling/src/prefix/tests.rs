use super::*;
use payload::block_end;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A prompt of a tenant: its first `shared` blocks are the tenant's, what follows is the variant's.
fn prompt(tenant: u64, shared: usize, variant: u64, blocks: usize) -> Prompt {
    let block = |index: usize| {
        let whose = if index < shared { (0, 0) } else { (shared, variant + 1) };
        foldhash::quality::FixedState::with_seed(9).hash_one((tenant, whose, index))
    };
    let blocks: SmallVec<[u64; 16]> = (0..blocks).map(block).collect();
    let bytes = blocks.len().checked_sub(1).map_or(10, block_end) + 10;
    Prompt { bytes, blocks, salt: 0 }
}

fn heads(matches: &PrefixMatches) -> BTreeMap<u32, u64> {
    matches.heads.iter().map(|&(slot, bytes)| (slot.0, bytes)).collect()
}

/// The index as it ought to be: each endpoint's blocks as a list, oldest first.
#[derive(Default)]
struct Model(BTreeMap<u32, (Vec<(u64, u64)>, u64)>);

impl Model {
    fn slot(&mut self, slot: u32) -> &mut (Vec<(u64, u64)>, u64) {
        self.0.entry(slot).or_insert_with(|| (Vec::new(), recency::CAPACITY_BYTES_DEFAULT))
    }

    fn insert(&mut self, slot: u32, prompt: &Prompt) {
        let (held, capacity) = self.slot(slot);
        let fitting = (0..prompt.blocks.len()).filter(|&index| block_end(index) <= *capacity).count();
        for index in (0..fitting).rev() {
            let bytes = block_end(index) - if index == 0 { 0 } else { block_end(index - 1) };
            held.retain(|&(key, _)| key != prompt.blocks[index]);
            held.push((prompt.blocks[index], bytes));
        }
        self.evict(slot);
    }

    fn evict(&mut self, slot: u32) {
        let (held, capacity) = self.slot(slot);
        while held.iter().map(|(_, bytes)| bytes).sum::<u64>() > *capacity {
            held.remove(0);
        }
    }

    fn lookup(&self, prompt: &Prompt) -> BTreeMap<u32, u64> {
        let mut heads = BTreeMap::new();
        for (&slot, (held, _)) in &self.0 {
            let held: BTreeSet<u64> = held.iter().map(|&(key, _)| key).collect();
            let run = prompt.blocks.iter().take_while(|block| held.contains(block)).count();
            let all = prompt.blocks.iter().filter(|block| held.contains(block)).count();
            assert_eq!(run, all, "what is held of a chain is a head of it");
            if run > 0 {
                heads.insert(slot, block_end(run - 1));
            }
        }
        heads
    }
}

/// Blocks in all shards, and in all endpoints' lists.
fn sizes(index: &PrefixIndex) -> (u64, u64) {
    let shards = index
        .shards
        .iter()
        .map(|shard| shard.read().unwrap().holders.iter().map(|(_, set)| set.len() as u64).sum::<u64>());
    (shards.sum(), index.entries())
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u32, Prompt),
    Forget(u32),
    Fit(u32, u64),
}

fn prompts() -> impl Strategy<Value = Prompt> {
    (0u64..3, 0usize..100, 0u64..3, 0usize..257)
        .prop_map(|(tenant, shared, variant, blocks)| prompt(tenant, shared / 20 * 20, variant, blocks))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0u32..4, prompts()).prop_map(|(slot, prompt)| Step::Insert(slot, prompt)),
        1 => (0u32..4).prop_map(Step::Forget),
        2 => (0u32..4, 0u64..200_000).prop_map(|(slot, tokens)| Step::Fit(slot, tokens)),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn the_index_tells_what_a_plain_model_tells(steps in steps(), asked in prompts()) {
        let (index, mut model) = (PrefixIndex::default(), Model::default());
        for step in steps {
            match step {
                Step::Insert(slot, prompt) => {
                    index.insert(Slot(slot), "m", &prompt);
                    model.insert(slot, &prompt);
                    prop_assert_eq!(heads(&index.lookup("m", &prompt)), model.lookup(&prompt));
                }
                Step::Forget(slot) => {
                    index.forget(Slot(slot));
                    model.slot(slot).0.clear();
                }
                Step::Fit(slot, tokens) => {
                    index.fit(Slot(slot), tokens);
                    model.slot(slot).1 = (tokens * 4).clamp(recency::CAPACITY_BYTES_MIN, recency::CAPACITY_BYTES_MAX);
                    model.evict(slot);
                }
            }
            prop_assert_eq!(heads(&index.lookup("m", &asked)), model.lookup(&asked));
            let held: u64 = model.0.values().map(|(held, _)| held.len() as u64).sum();
            prop_assert_eq!(sizes(&index), (held, held), "nothing is left behind");
        }
    }

    #[test]
    fn a_match_is_never_more_than_what_was_sent(lengths in prop::collection::vec(0usize..257, 1..150)) {
        let index = PrefixIndex::default();
        let whole = prompt(1, 256, 0, 256);
        for (slot, &blocks) in lengths.iter().enumerate() {
            index.insert(Slot(slot as u32), "m", &prompt(1, 256, 0, blocks));
        }
        let found = heads(&index.lookup("m", &whole));
        for (slot, &blocks) in lengths.iter().enumerate() {
            let sent = blocks.checked_sub(1).map_or(0, block_end);
            let told = found.get(&(slot as u32)).copied().unwrap_or(0);
            prop_assert!(told <= sent && (told > 0) == (sent > 0), "slot {slot}: {told} of {sent}");
        }
        let longest = lengths.iter().max().and_then(|&blocks| blocks.checked_sub(1)).map_or(0, block_end);
        prop_assert_eq!(found.values().max().copied().unwrap_or(0), longest, "the longest is exact");
    }
}

#[test]
fn a_prompt_shorter_than_a_block_matches_nothing() {
    let index = PrefixIndex::default();
    let short = prompt(1, 0, 0, 0);
    index.insert(Slot(0), "m", &short);
    assert!(index.lookup("m", &short).heads.is_empty());
}

#[test]
fn another_model_and_another_salt_are_another_cache() {
    let index = PrefixIndex::default();
    let asked = prompt(1, 0, 0, 4);
    index.insert(Slot(0), "m", &asked);
    assert!(index.lookup("n", &asked).heads.is_empty());
    assert!(index.lookup("m", &Prompt { salt: 1, ..asked.clone() }).heads.is_empty());
    assert_eq!(heads(&index.lookup("m", &asked)), BTreeMap::from([(0, 4096)]));
}

#[test]
fn a_full_part_loses_the_tail_of_its_oldest_prompt_first() {
    let index = PrefixIndex::default();
    index.fit(Slot(0), 64 * 1024 / 4);
    let (old, new) = (prompt(1, 0, 0, 40), prompt(2, 0, 0, 40));
    index.insert(Slot(0), "m", &old);
    index.insert(Slot(0), "m", &new);
    assert_eq!(heads(&index.lookup("m", &old)), BTreeMap::from([(0, 24 * 1024)]));
    assert_eq!(heads(&index.lookup("m", &new)), BTreeMap::from([(0, 40 * 1024)]));
}

#[test]
fn a_place_beyond_the_limit_is_not_followed() {
    let index = PrefixIndex::default();
    let asked = prompt(1, 0, 0, 4);
    index.insert(Slot(u32::MAX), "m", &asked);
    index.forget(Slot(u32::MAX));
    assert!(index.lookup("m", &asked).heads.is_empty());
}

#[test]
fn readers_and_writers_may_meet() {
    let index = PrefixIndex::default();
    index.fit(Slot(0), 1);
    index.fit(Slot(1), 1);
    std::thread::scope(|scope| {
        for slot in [0, 1] {
            let index = &index;
            scope.spawn(move || {
                for round in 0..300u64 {
                    let asked = prompt(round % 3, 20, round % 7, (round % 60) as usize);
                    index.insert(Slot(slot), "m", &asked);
                    for (_, bytes) in index.lookup("m", &asked).heads {
                        assert!(bytes <= asked.bytes);
                    }
                }
                index.forget(Slot(slot));
            });
        }
    });
    assert_eq!(sizes(&index), (0, 0));
}

#[test]
fn an_index_of_blocks_tells_the_longest_head_in_blocks() {
    let index = BlockIndex::new(BlockSettings { capacity_blocks: 100, ..BlockSettings::default() });
    index.insert(Slot(0), "m", &prompt(1, 10, 0, 12));
    index.insert(Slot(1), "m", &prompt(1, 10, 1, 30));
    let found = index.lookup("m", &prompt(1, 10, 1, 20));
    let heads: BTreeMap<u32, u16> = found.heads.iter().map(|&(slot, blocks)| (slot.0, blocks)).collect();
    assert_eq!((found.of, heads), (20, BTreeMap::from([(0, 10), (1, 20)])));
    index.insert(Slot(0), "m", &prompt(2, 0, 0, 95));
    assert_eq!(
        index.lookup("m", &prompt(1, 10, 0, 12)).heads.iter().find(|(slot, _)| slot.0 == 0),
        Some(&(Slot(0), 5))
    );
    index.forget(Slot(1));
    assert_eq!(index.entries(), 100, "an endpoint's part is full, and the other's is empty");
}

#[test]
fn blocks_are_cut_as_the_model_server_does_unless_that_is_off() {
    let tuned = BlockIndex::new(BlockSettings::default());
    assert_eq!(tuned.cut(), (64, 256));
    tuned.fit(Slot(0), 32, 4_000);
    assert_eq!(tuned.cut(), (128, 256));
    tuned.fit(Slot(0), 0, 4_000);
    tuned.fit(Slot(0), u32::MAX, 4_000);
    assert_eq!(tuned.cut(), (128, 256), "no size of a block");
    let by_tokens =
        BlockSettings { prefix_bytes_max: Some(1024), auto_tune: false, ..BlockSettings::default() };
    let fixed = BlockIndex::new(by_tokens);
    fixed.fit(Slot(0), 32, 4_000);
    assert_eq!(fixed.cut(), (64, 16));
}
