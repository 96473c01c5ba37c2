//! The world as the doors see it: manifests in, routes, pools and flights out.

mod attachment;
mod backends;
mod configured;
mod endpoints;
mod flights;
mod reloads;
mod support;
