//! ReferenceGrant, `gateway.networking.k8s.io/v1` and `v1beta1`.

use crate::object::{Meta, objects};
use serde::Deserialize;
use std::sync::Arc;

objects!("ReferenceGrant" => ReferenceGrant);

/// Lets objects of other namespaces refer to objects of its own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReferenceGrant {
    /// `metadata`; its namespace is where the objects referred to are.
    #[serde(rename = "metadata")]
    pub meta: Meta,
    /// `spec`.
    pub spec: ReferenceGrantSpec,
}

/// `spec` of a ReferenceGrant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReferenceGrantSpec {
    /// Who may refer.
    pub from: Vec<GrantFrom>,
    /// To what.
    pub to: Vec<GrantTo>,
}

/// Who may refer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GrantFrom {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: Arc<str>,
}

/// What may be referred to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GrantTo {
    /// API group; empty is core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Only this object.
    pub name: Option<Arc<str>>,
}
