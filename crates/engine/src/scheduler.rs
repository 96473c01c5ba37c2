//! The engine: which requests compute in which step.
//!
//! A step computes running requests first, in the order of admission, then admits waiting ones first come first served,
//! all under one token budget. What it computes is decided when it begins; its tokens appear when it ends.

use std::collections::VecDeque;
use std::time::Duration;

use slab::Slab;

use crate::adapters::{AdapterId, Adapters, Claim};
use crate::blocks::Blocks;
use crate::coefficients::{Coefficients, StepWork};
use crate::counters::Counters;
use crate::prompt::Prompt;
use crate::sequence::{Hold, RequestId, Sequence};
use crate::time::Time;

/// The engine's limits, by vLLM's names and defaults where it has them.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What a step costs.
    pub coefficients: Coefficients,
    /// Tokens computed in one step, at most.
    pub max_num_batched_tokens: u32,
    /// Requests computed in one step, at most.
    pub max_num_seqs: u32,
    /// Tokens in a KV block.
    pub block_tokens: u32,
    /// KV blocks in all.
    pub num_gpu_blocks: u32,
    /// Adapters in use at once, at most.
    pub max_loras: u32,
    /// How long an adapter takes into its slot.
    pub lora_load_time: Duration,
}

impl Config {
    /// The defaults with this model's step costs and KV capacity.
    pub fn of(coefficients: Coefficients) -> Self {
        let block_tokens = 16;
        Self {
            coefficients,
            max_num_batched_tokens: 8192,
            max_num_seqs: 256,
            block_tokens,
            num_gpu_blocks: coefficients.kv_tokens / block_tokens,
            max_loras: 4,
            // 1.5 ms and 2 MB per rank at 2 GB/ms, rank 16, are under 2 ms from host memory; from disk it is this.
            lora_load_time: Duration::from_millis(100),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::of(Coefficients::all()[0])
    }
}

/// What to compute.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The prompt.
    pub prompt: Prompt,
    /// Tokens to generate; 0 counts as 1.
    pub output_tokens: u32,
    /// The adapter to apply.
    pub adapter: Option<AdapterId>,
}

/// Why a request cannot be computed, ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Prompt and output together need more tokens of KV cache than there are.
    TooLong {
        /// Tokens needed.
        needed: u64,
        /// Tokens there are.
        capacity: u64,
    },
    /// It needs an adapter, and the engine has no slots.
    NoAdapters,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong { needed, capacity } => {
                write!(f, "the request needs {needed} tokens of context, the engine has {capacity}")
            }
            Self::NoAdapters => {
                write!(f, "the request needs a LoRA adapter, the engine has no slots for any")
            }
        }
    }
}

impl std::error::Error for Refused {}

/// What happened, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The first token is ready.
    FirstToken {
        /// The request.
        id: RequestId,
        /// When.
        at: Time,
        /// Prompt tokens that were found in the cache.
        cached_tokens: u32,
    },
    /// One more token is ready, neither the first nor the last.
    Token {
        /// The request.
        id: RequestId,
        /// When.
        at: Time,
        /// Tokens generated until here.
        generated: u32,
    },
    /// The last token is ready. If it is the first too, `FirstToken` came just before.
    Finished {
        /// The request; its id means nothing from here on.
        id: RequestId,
        /// When.
        at: Time,
        /// Tokens generated in all.
        generated: u32,
    },
    /// The request lost its blocks and waits again; what it had generated stands.
    Preempted {
        /// The request.
        id: RequestId,
        /// When.
        at: Time,
    },
}

/// How much there is to do, as a metrics page tells it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests not admitted.
    pub waiting: u32,
    /// Requests admitted.
    pub running: u32,
    /// KV blocks that requests hold.
    pub blocks_held: u32,
    /// KV blocks without a holder that a later prompt may find.
    pub blocks_cached: u32,
    /// KV blocks in all.
    pub blocks: u32,
}

impl Load {
    /// Share of the KV cache that requests hold, 0 to 1.
    pub fn kv_usage(&self) -> f64 {
        if self.blocks == 0 { 0.0 } else { f64::from(self.blocks_held) / f64::from(self.blocks) }
    }
}

/// How an adapter is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdapterUse {
    /// The adapter.
    pub adapter: AdapterId,
    /// Admitted requests that apply it.
    pub running: u32,
    /// Waiting requests that need it.
    pub waiting: u32,
}

/// One model server's engine.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    slowdown: f64,
    sequences: Slab<Sequence>,
    next_serial: u64,
    /// Admitted requests, in the order of admission.
    running: Vec<u32>,
    waiting: VecDeque<u32>,
    blocks: Blocks,
    adapters: Adapters,
    /// The waiting request that last found no room.
    blocked: Option<Blocked>,
    /// When the step under way ends.
    step_ends: Option<Time>,
    /// With no step under way: when one may begin.
    wake: Option<Time>,
    counters: Counters,
}

/// A waiting request that found no room, and what there was. With no more of it there is no room still, and its prompt
/// (thousands of blocks, perhaps) need not be looked up at every step.
#[derive(Debug, Clone, Copy)]
struct Blocked {
    serial: u64,
    available: u32,
    published: u64,
    budget: u32,
}

/// The step being put together.
#[derive(Debug)]
struct Step {
    begins: Time,
    budget: u32,
    work: StepWork,
}

impl Engine {
    /// An idle engine with an empty cache.
    pub fn new(config: Config) -> Self {
        Self {
            slowdown: 1.0,
            sequences: Slab::new(),
            next_serial: 0,
            running: Vec::new(),
            waiting: VecDeque::new(),
            blocks: Blocks::new(config.num_gpu_blocks),
            adapters: Adapters::new(config.max_loras, config.lora_load_time),
            blocked: None,
            step_ends: None,
            wake: None,
            counters: Counters::default(),
            config,
        }
    }

    /// Its limits.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Makes every later step take `factor` times as long (1 is the model's own speed; a million at most).
    pub fn set_slowdown(&mut self, factor: f64) {
        self.slowdown = factor.clamp(0.0, SLOWDOWN_MAX);
    }

    /// Queues a request. With no step under way, one begins at `now` when `advance` is called.
    ///
    /// # Errors
    /// If it could never be computed.
    pub fn submit(&mut self, request: Request, now: Time) -> Result<RequestId, Refused> {
        let target = request.output_tokens.max(1);
        let needed = u64::from(request.prompt.tokens()) + u64::from(target);
        let capacity = u64::from(self.blocks.capacity()) * u64::from(self.config.block_tokens);
        if needed > capacity {
            return Err(Refused::TooLong { needed, capacity });
        }
        if request.adapter.is_some() && self.config.max_loras == 0 {
            return Err(Refused::NoAdapters);
        }
        let serial = self.next_serial;
        self.next_serial += 1;
        let sequence = Sequence::new(serial, request.prompt, target, request.adapter, now);
        let slot = self.sequences.insert(sequence) as u32;
        self.waiting.push_back(slot);
        self.wake_at(now);
        Ok(RequestId { serial, slot })
    }

    /// Forgets a request that has not finished; its blocks are free at once. Unknown ids are ignored.
    pub fn cancel(&mut self, id: RequestId, now: Time) {
        let known = self.sequences.get(id.slot as usize).is_some_and(|sequence| sequence.serial == id.serial);
        if !known {
            return;
        }
        if let Some(index) = self.running.iter().position(|&slot| slot == id.slot) {
            self.running.remove(index);
        } else if let Some(index) = self.waiting.iter().position(|&slot| slot == id.slot) {
            self.waiting.remove(index);
        }
        self.drop_sequence(id.slot);
        self.counters.cancelled += 1;
        if !self.is_idle() {
            self.wake_at(now);
        }
    }

    /// When `advance` next has something to do; `None` if idle.
    pub fn next_event(&self) -> Option<Time> {
        self.step_ends.or(self.wake)
    }

    /// Computes until `now`, adding what happened to `events` in the order of time.
    pub fn advance(&mut self, now: Time, events: &mut Vec<Event>) {
        while let Some(time) = self.next_event().filter(|&time| time <= now) {
            if self.step_ends.take().is_some() {
                self.end_step(time, events);
            }
            self.wake = None;
            self.begin_step(time, events);
        }
    }

    /// Whether no request is left.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// How much there is to do.
    pub fn load(&self) -> Load {
        Load {
            waiting: self.waiting.len() as u32,
            running: self.running.len() as u32,
            blocks_held: self.blocks.held(),
            blocks_cached: self.blocks.cached(),
            blocks: self.blocks.capacity(),
        }
    }

    /// The adapters that requests use or wait for, by ascending id.
    pub fn adapters(&self) -> Vec<AdapterUse> {
        let mut uses: Vec<AdapterUse> = Vec::new();
        let running = self.running.iter().map(|&slot| (slot, 1, 0));
        let waiting = self.waiting.iter().map(|&slot| (slot, 0, 1));
        for (slot, running, waiting) in running.chain(waiting) {
            let Some(adapter) = self.sequences[slot as usize].adapter else { continue };
            match uses.iter_mut().find(|entry| entry.adapter == adapter) {
                Some(entry) => {
                    entry.running += running;
                    entry.waiting += waiting;
                }
                None => uses.push(AdapterUse { adapter, running, waiting }),
            }
        }
        uses.sort_unstable_by_key(|entry| entry.adapter);
        uses
    }

    /// What was counted since the engine began.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Adapters loaded into a slot since the engine began.
    pub fn adapter_loads(&self) -> u64 {
        self.adapters.loads()
    }

    /// Cached blocks that made room for others since the engine began.
    pub fn blocks_evicted(&self) -> u64 {
        self.blocks.evicted()
    }

    /// How many leading prompt tokens would be found in the cache at this moment.
    pub fn would_hit(&self, prompt: &Prompt) -> u32 {
        let usable = usable_blocks(prompt, self.config.block_tokens);
        self.blocks.match_length(&prompt.blocks()[..usable]) as u32 * self.config.block_tokens
    }

    fn wake_at(&mut self, time: Time) {
        if self.step_ends.is_none() {
            self.wake = Some(self.wake.map_or(time, |wake| wake.min(time)));
        }
    }

    fn begin_step(&mut self, begins: Time, events: &mut Vec<Event>) {
        let mut step = Step { begins, budget: self.config.max_num_batched_tokens, work: StepWork::default() };
        let preempted = self.schedule_running(&mut step, events);
        if preempted == 0 {
            self.admit_waiting(&mut step);
        }
        if step.work.tokens == 0 {
            self.wake = self.next_adapter(begins);
            return;
        }
        let took = self.config.coefficients.step(&step.work).mul_f64(self.slowdown);
        self.counters.steps += 1;
        self.counters.busy_nanoseconds += took.as_nanos() as u64;
        self.step_ends = Some(begins + took);
    }

    /// Gives running requests their tokens, preempting from the end when blocks run out. Answers how many it preempted.
    fn schedule_running(&mut self, step: &mut Step, events: &mut Vec<Event>) -> u32 {
        let mut preempted = 0;
        let mut index = 0;
        while index < self.running.len() && step.budget > 0 {
            let slot = self.running[index];
            let tokens = self.sequences[slot as usize].uncomputed().min(step.budget);
            while index < self.running.len() && !self.grow(slot, tokens) {
                self.preempt_last(step.begins, events);
                preempted += 1;
            }
            // Unless it had to make room itself.
            if index < self.running.len() {
                self.schedule(slot, tokens, step);
            }
            index += 1;
        }
        preempted
    }

    /// Admits waiting requests while seats, tokens and blocks last. One that waits for its adapter is passed over.
    fn admit_waiting(&mut self, step: &mut Step) {
        let mut index = 0;
        while index < self.waiting.len()
            && step.budget > 0
            && self.running.len() < self.config.max_num_seqs as usize
        {
            let slot = self.waiting[index];
            if !self.adapter_is_ready(slot, step.begins) {
                index += 1;
                continue;
            }
            if !self.admit(slot, step) {
                return;
            }
            self.waiting.remove(index);
            self.running.push(slot);
        }
    }

    /// Gives a waiting request its cached blocks, and blocks for its first chunk.
    fn admit(&mut self, slot: u32, step: &mut Step) -> bool {
        let block_tokens = self.config.block_tokens;
        let sequence = &mut self.sequences[slot as usize];
        let (available, published) = (self.blocks.available(), self.blocks.published());
        let still_blocked = |blocked: Blocked| {
            blocked.serial == sequence.serial
                && blocked.available >= available
                && blocked.published == published
                && blocked.budget <= step.budget
        };
        if self.blocked.is_some_and(still_blocked) {
            return false;
        }
        let usable = usable_blocks(&sequence.prompt, block_tokens);
        let matched = self.blocks.match_length(&sequence.prompt.blocks()[..usable]);
        let found = &sequence.prompt.blocks()[..matched];
        let cached = matched as u32 * block_tokens;
        let tokens = (sequence.known() - cached).min(step.budget);
        let fresh = (cached + tokens).div_ceil(block_tokens) - matched as u32;
        if fresh + self.blocks.idle_among(found) > available {
            self.blocked =
                Some(Blocked { serial: sequence.serial, available, published, budget: step.budget });
            return false;
        }
        sequence.blocks.extend(found.iter().filter_map(|&hash| self.blocks.hold(hash)));
        sequence.computed = cached;
        sequence.cached = cached;
        sequence.admitted.get_or_insert(step.begins);
        self.counters.prefix_queries += u64::from(sequence.prompt.tokens());
        self.counters.prefix_hits += u64::from(cached);
        let grown = self.grow(slot, tokens);
        debug_assert!(grown, "the blocks were counted above");
        self.schedule(slot, tokens, step);
        true
    }

    /// Makes room for `tokens` more computed tokens, and makes the prompt blocks that they complete findable.
    fn grow(&mut self, slot: u32, tokens: u32) -> bool {
        let block_tokens = self.config.block_tokens;
        let sequence = &mut self.sequences[slot as usize];
        let computed = sequence.computed + tokens;
        let missing = (computed.div_ceil(block_tokens) as usize).saturating_sub(sequence.blocks.len());
        if missing > self.blocks.available() as usize {
            return false;
        }
        sequence.blocks.extend((0..missing).filter_map(|_| self.blocks.take()));
        let whole = ((computed / block_tokens) as usize).min(sequence.prompt.blocks().len());
        for index in (sequence.computed / block_tokens) as usize..whole {
            self.blocks.publish(sequence.blocks[index], sequence.prompt.blocks()[index]);
        }
        true
    }

    /// Puts a request's next tokens into the step.
    fn schedule(&mut self, slot: u32, tokens: u32, step: &mut Step) {
        let sequence = &mut self.sequences[slot as usize];
        let work = &mut step.work;
        if sequence.decodes() {
            work.decodes += 1;
            work.decode_context += u64::from(sequence.computed);
        } else {
            work.prefills += 1;
            work.prefill_pairs +=
                f64::from(tokens) * (f64::from(sequence.computed) + f64::from(tokens) / 2.0);
        }
        sequence.scheduled = tokens;
        work.tokens += tokens;
        step.budget -= tokens;
    }

    fn preempt_last(&mut self, at: Time, events: &mut Vec<Event>) {
        let Some(slot) = self.running.pop() else { return };
        let sequence = &mut self.sequences[slot as usize];
        self.blocks.release(&sequence.blocks);
        sequence.blocks.clear();
        sequence.computed = 0;
        sequence.scheduled = 0;
        if let Hold::Slot(adapter) = std::mem::replace(&mut sequence.hold, Hold::Nothing) {
            self.adapters.release(adapter);
        }
        events.push(Event::Preempted { id: RequestId { serial: sequence.serial, slot }, at });
        self.waiting.push_front(slot);
        self.counters.preemptions += 1;
    }

    fn adapter_is_ready(&mut self, slot: u32, now: Time) -> bool {
        let sequence = &mut self.sequences[slot as usize];
        let Some(adapter) = sequence.adapter else { return true };
        if let Hold::Slot(held) = sequence.hold {
            return self.adapters.ready_at(held) <= now;
        }
        match self.adapters.claim(adapter, now) {
            Claim::Ready => {
                sequence.hold = Hold::Slot(adapter);
                true
            }
            Claim::Loading => {
                sequence.hold = Hold::Slot(adapter);
                false
            }
            Claim::NoSlot => false,
        }
    }

    /// The first moment after `now` at which a waiting request's adapter is loaded.
    fn next_adapter(&self, now: Time) -> Option<Time> {
        let held = self.waiting.iter().filter_map(|&slot| match self.sequences[slot as usize].hold {
            Hold::Slot(adapter) => Some(self.adapters.ready_at(adapter)),
            Hold::Nothing => None,
        });
        held.filter(|&time| time > now).min()
    }

    fn end_step(&mut self, at: Time, events: &mut Vec<Event>) {
        let mut kept = 0;
        for index in 0..self.running.len() {
            let slot = self.running[index];
            if self.end_step_of(slot, at, events) {
                self.running[kept] = slot;
                kept += 1;
            } else {
                self.drop_sequence(slot);
            }
        }
        self.running.truncate(kept);
    }

    /// Counts what a request's share of the step computed. Answers whether more is to come.
    fn end_step_of(&mut self, slot: u32, at: Time, events: &mut Vec<Event>) -> bool {
        let sequence = &mut self.sequences[slot as usize];
        sequence.computed += std::mem::take(&mut sequence.scheduled);
        if sequence.uncomputed() > 0 {
            return true;
        }
        let id = RequestId { serial: sequence.serial, slot };
        sequence.generated += 1;
        let generated = sequence.generated;
        self.counters.generation_tokens += 1;
        if sequence.first_token.is_none() {
            sequence.first_token = Some(at);
            self.counters.prompt_tokens += u64::from(sequence.prompt.tokens());
            self.counters.cached_tokens += u64::from(sequence.cached);
            self.counters.first_token.observe(at.seconds_since(sequence.submitted));
            events.push(Event::FirstToken { id, at, cached_tokens: sequence.cached });
        } else {
            self.counters.between_tokens.observe(at.seconds_since(sequence.last_token));
            if generated < sequence.target {
                events.push(Event::Token { id, at, generated });
            }
        }
        sequence.last_token = at;
        if generated < sequence.target {
            return true;
        }
        events.push(Event::Finished { id, at, generated });
        self.counters.count_finished(&self.sequences[slot as usize], at);
        false
    }

    fn drop_sequence(&mut self, slot: u32) {
        let sequence = self.sequences.remove(slot as usize);
        self.blocks.release(&sequence.blocks);
        if let Hold::Slot(adapter) = sequence.hold {
            self.adapters.release(adapter);
        }
    }
}

/// Slower than this nothing would end in a lifetime, and times would overflow.
const SLOWDOWN_MAX: f64 = 1e6;

/// How many of a prompt's blocks may come from the cache: its last token is always computed, to have logits.
fn usable_blocks(prompt: &Prompt, block_tokens: u32) -> usize {
    (((prompt.tokens() - 1) / block_tokens) as usize).min(prompt.blocks().len())
}
