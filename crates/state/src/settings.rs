//! What the process says about the world.

use journey::AdmissionSettings;
use resources::{Audience, InferencePool};
use scheduling::Policy;
use std::sync::Arc;

/// Settings of a [`World`](crate::World).
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Who reads the world: only a gateway has listeners, and of pools only those that are its business are there.
    pub audience: Audience,
    /// Who picks for a pool whose endpoint picker is not there.
    pub missing_endpoint_picker: MissingEndpointPicker,
    /// How pools pick.
    pub policy: Arc<Policy>,
    /// When pools count as saturated.
    pub admission: AdmissionSettings,
    /// Pools that the process declares itself, beside those of its manifests; they win over one of their name.
    pub pools: Vec<Arc<InferencePool>>,
    /// What domains draw from; the same seed, events and times give the same decisions.
    pub seed: u64,
}

/// Who picks for a pool whose `endpointPickerRef` names a Service that is not declared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MissingEndpointPicker {
    /// The built-in picker.
    #[default]
    Builtin,
    /// Nobody: its requests get 500.
    Refuse,
}
