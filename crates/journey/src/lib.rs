//! The five steps of a request in order — parse, route, admit, pick, learn — and the state of a picking domain.
//!
//! [`PoolState`] is plain data: no sockets, no lock, no clock, no hidden randomness. The proxy door, the ext_proc door and
//! the simulator all call the same methods, each taking [`Now`]. Same events, times and seed, same answers.

mod body_pace;
mod decision;
mod feedback;
mod flowcontrol;
pub mod headers;
mod models;
mod pool_state;
mod refusal;
mod vocabulary;

pub use body_pace::{BodyArriving, BodyPace};
pub use decision::{
    Admission, Arrival, Candidate, Decision, Fitness, PassedOver, PoolView, ReservationId, Target, Ticket,
    WhyPassedOver,
};
pub use feedback::Outcome;
pub use flowcontrol::{Admissible, AdmissionSettings, ModelPolicies, ModelRewrite, WeightedTarget};
pub use models::model_list;
pub use pool_state::{EndpointStatus, PoolState, Reconciled, Restarted};
pub use refusal::{Cause, Fault, Refusal, Step, Unnamed};
pub use vocabulary::{EndpointKey, Now, TargetModel, counted};
