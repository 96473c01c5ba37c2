//! Step 2 of 5, route: which rule of a listener serves a request, and why none does.
//!
//! In: a request's head, and what was parsed of its body once it was read. Out: the rule, or a [`Refusal`]; the body is
//! asked for only if a rule that names a model may win, or the winner leads to an InferencePool. Never: I/O; how a body is
//! read is its door's business.

use crate::{Backend, Listener, Pool, Service};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};
use journey::Refusal;
use payload::InferenceRequest;
use routing::{Model, RequestHead, Rule, Walk, Weighted};
use std::sync::Arc;

/// The longest path that a message repeats, bytes.
const PATH_TOLD_MAX: usize = 256;

/// Models that a refusal names.
const MODELS_TOLD_MAX: usize = 20;

/// Where OpenAI's API lists models.
const MODELS_PATH: &str = "/v1/models";

/// What a request's head tells of its rule.
#[derive(Debug)]
pub enum Headed<'r> {
    /// This is the rule; the body is not asked for.
    Rule(&'r Rule<Backend>),
    /// The body must be read, then [`Listener::route_parsed`] decides. The rule, if the head alone finds it: only the
    /// endpoint is picked by what the body says.
    Body(Option<&'r Rule<Backend>>),
}

/// Who answers a request.
#[derive(Debug)]
pub enum Routed<'r> {
    /// A rule's backend.
    Rule(&'r Rule<Backend>),
    /// The door itself, with the models that can be asked for here: `GET /v1/models` (or `HEAD`), which no rule wanted.
    Models(Vec<&'r str>),
}

impl Listener {
    /// Decides by the head alone, as far as that tells.
    pub fn route_head(&self, asked: &RequestHead<'_>) -> Result<Headed<'_>, Refusal> {
        match self.routes.walk(asked, Model::Unread) {
            Walk::Rule(rule) if rule.has_pool_backend() => Ok(Headed::Body(Some(rule))),
            Walk::Rule(rule) => Ok(Headed::Rule(rule)),
            Walk::ReadBody => Ok(Headed::Body(None)),
            Walk::Nothing { .. } => Err(no_route(asked)),
        }
    }

    /// Decides once the body was read.
    pub fn route_parsed(
        &self,
        asked: &RequestHead<'_>,
        request: &InferenceRequest,
    ) -> Result<Routed<'_>, Refusal> {
        let model = request.model.as_ref().map(|model| &*model.name.0);
        match self.routes.walk(asked, Model::found(model)) {
            Walk::Rule(rule) => Ok(Routed::Rule(rule)),
            Walk::Nothing { for_want_of_model: true } => self.without_rule(asked, request),
            Walk::Nothing { for_want_of_model: false } | Walk::ReadBody => Err(no_route(asked)),
        }
    }

    /// The request's model, or its want of one, matches no rule.
    fn without_rule(
        &self,
        asked: &RequestHead<'_>,
        request: &InferenceRequest,
    ) -> Result<Routed<'_>, Refusal> {
        let told = || self.routes.models(asked.host).take(MODELS_TOLD_MAX).map(str::to_owned).collect();
        // A request whose method brings no body asks for no model.
        let has_body =
            matches!(*asked.method, Method::POST | Method::PUT | Method::PATCH) || request.bytes > 0;
        match &request.model {
            Some(field) => Err(Refusal::ModelUnknown { model: field.name.0.to_string(), models: told() }),
            None if has_body => {
                let content_type = asked.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
                Err(Refusal::model_missing(told(), request, content_type))
            }
            None if matches!(*asked.method, Method::GET | Method::HEAD) && asked.path == MODELS_PATH => {
                Ok(Routed::Models(self.routes.models(asked.host).collect()))
            }
            None => Err(no_route(asked)),
        }
    }
}

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub enum Goal<'r> {
    /// To an endpoint of a pool, which is picked.
    Pool(&'r Arc<Pool>),
    /// To the endpoint of a Service whose turn it is.
    Service(&'r Arc<Service>),
}

impl Goal<'_> {
    /// As records have it: `namespace/name`.
    pub fn name(&self) -> Arc<str> {
        match self {
            Goal::Pool(pool) => Arc::clone(&pool.view.name),
            Goal::Service(service) => Arc::from(service.name.to_string()),
        }
    }
}

/// Draws a rule's backend by weight, and tells where it leads.
pub fn draw<'r>(
    rule: &'r Rule<Backend>,
    random: &mut fastrand::Rng,
) -> Result<(&'r Weighted<Backend>, Goal<'r>), Refusal> {
    let drawn = rule.draw(random);
    let drawn = drawn.ok_or_else(|| leads_nowhere(rule, "no backendRef has a weight above 0"))?;
    match &drawn.backend {
        Backend::Pool(pool) => Ok((drawn, Goal::Pool(pool))),
        Backend::Service(service) => Ok((drawn, Goal::Service(service))),
        Backend::Broken(why) => Err(leads_nowhere(rule, why)),
    }
}

/// The refusal of a request whose rule cannot be followed.
pub fn leads_nowhere(rule: &Rule<Backend>, why: &str) -> Refusal {
    Refusal::BackendUnresolved { route: Arc::clone(&rule.label), why: why.to_owned() }
}

fn no_route(asked: &RequestHead<'_>) -> Refusal {
    let end = asked.path.floor_char_boundary(PATH_TOLD_MAX);
    Refusal::NoRoute {
        method: asked.method.to_string(),
        path: asked.path[..end].to_owned(),
        host: asked.host.to_owned(),
    }
}
