//! One request on its way through the engine.

use crate::adapters::AdapterId;
use crate::blocks::BlockId;
use crate::prompt::Prompt;
use crate::time::Time;

/// A request, until it has finished or was cancelled. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    pub(crate) serial: u64,
    pub(crate) slot: u32,
}

/// Where a request stands with its adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nothing is held (there is no adapter, or no slot yet).
    Nothing,
    /// A slot is held; the adapter may still be loading.
    Slot(AdapterId),
}

/// A request's state between steps.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) serial: u64,
    pub(crate) prompt: Prompt,
    /// Tokens to generate.
    pub(crate) target: u32,
    pub(crate) adapter: Option<AdapterId>,
    pub(crate) hold: Hold,
    /// Tokens generated.
    pub(crate) generated: u32,
    /// Leading tokens whose keys and values are in `blocks`.
    pub(crate) computed: u32,
    /// Tokens that the step under way computes.
    pub(crate) scheduled: u32,
    /// Prompt tokens found in the cache at the last admission.
    pub(crate) cached: u32,
    pub(crate) blocks: Vec<BlockId>,
    pub(crate) submitted: Time,
    pub(crate) admitted: Option<Time>,
    pub(crate) first_token: Option<Time>,
    pub(crate) last_token: Time,
}

impl Sequence {
    pub(crate) fn new(
        serial: u64,
        prompt: Prompt,
        target: u32,
        adapter: Option<AdapterId>,
        now: Time,
    ) -> Self {
        Self {
            serial,
            prompt,
            target,
            adapter,
            hold: Hold::Nothing,
            generated: 0,
            computed: 0,
            scheduled: 0,
            cached: 0,
            blocks: Vec::new(),
            submitted: now,
            admitted: None,
            first_token: None,
            last_token: now,
        }
    }

    /// Tokens known: the prompt and what was generated.
    pub(crate) fn known(&self) -> u32 {
        self.prompt.tokens() + self.generated
    }

    /// Known tokens not yet computed. One means decode, unless nothing was generated yet.
    pub(crate) fn uncomputed(&self) -> u32 {
        self.known() - self.computed
    }

    /// Whether the next token computed is the one generated last.
    pub(crate) fn decodes(&self) -> bool {
        self.generated > 0 && self.uncomputed() == 1
    }
}
