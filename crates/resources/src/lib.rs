//! What people declare: the API types, their validation, and the sources they come from.
//!
//! In: a folder of manifests, files, or stdin (later: the Kubernetes API). Out: a [`Store`] of typed objects, and
//! [`Finding`]s with file, line and field. Only the fields that are read are kept; unknown ones are tolerated when
//! serving and named by `check`.
//! Source: Gateway API v1.6, Gateway API Inference Extension v0.5.1 to v1.6.

mod finding;
mod object;

pub use finding::{Finding, Severity};
pub use object::{Meta, ObjectName, Origin};
