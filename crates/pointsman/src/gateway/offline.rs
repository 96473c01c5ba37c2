//! Deciding without serving: where a request would go, by the manifests alone.
//!
//! The same calls as a door makes, in the same order; nothing is sent, and what was reserved is given back at once.

use super::{StartError, tell};
use crate::commands::explain::OfflineRequest;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST};
use journey::Refusal;
use payload::{BodyHead, InferenceRequest, Limits, RequestParser, Rope};
use resources::Folder;
use routing::{Arrived, RequestHead};
use state::{
    Clock, Dispatch, EndpointPicker, Goal, Headed, Listener, Routed, World, dispatch, draw, leads_nowhere,
};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use telemetry::{AskedPicker, Explanation, PickerOutcome, Record, RequestId};

/// The manifests, compiled.
pub(crate) struct Offline(World);

/// Where a request would go.
pub(crate) struct Explained {
    pub(crate) json: String,
    pub(crate) text: String,
    pub(crate) served: bool,
}

impl Offline {
    /// Compiles the manifests; a file that cannot be used is told in the log and ends the attempt.
    pub(crate) fn load(config: &[PathBuf]) -> Result<Offline, Box<dyn Error>> {
        let world = World::new(state::Settings::default(), Clock::start());
        let load = Folder::new(config).load();
        tell(load.broken());
        match load.broken().count() {
            0 => world.apply(load),
            broken => return Err(StartError::Manifests(broken, config.to_vec()).into()),
        };
        // Endpoints may be given by host name: look them up once, as the gateway does all the time.
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(world.look_up_names());
        Ok(Offline(world))
    }

    /// Decides, and tells why.
    pub(crate) fn explain(
        &self,
        request: &OfflineRequest,
        port: Option<u16>,
    ) -> Result<Explained, Box<dyn Error>> {
        let snapshot = self.0.load();
        let port = port.or(snapshot.ports().first().copied()).ok_or("no Gateway has an HTTP listener")?;
        let mut record = Record {
            id: RequestId::from("offline").expect("seven bytes fit"),
            at: SystemTime::now(),
            model_known: true,
            ..Record::blank()
        };
        let mut beside = Beside::default();
        let host = host_of(request);
        let decided = match snapshot.listener(port, &host) {
            Some(listener) => self.decide(request, (listener, &host), &mut record, &mut beside),
            None => Err(Refusal::NoListener { host }),
        };
        if let Err(refusal) = &decided {
            record.refuse(refusal);
        }
        let explanation = Explanation::new(&record, &beside.scorers).in_turn(beside.in_turn);
        Ok(Explained {
            json: serde_json::to_string_pretty(&explanation)?,
            text: explanation.to_string(),
            served: decided.is_ok(),
        })
    }

    /// The journey up to the decision.
    fn decide(
        &self,
        request: &OfflineRequest,
        (listener, host): (&Listener, &str),
        record: &mut Record,
        beside: &mut Beside,
    ) -> Result<(), Refusal> {
        let asked = RequestHead {
            method: &request.method,
            host,
            path: request.target.path(),
            query: request.target.query(),
            headers: &request.headers,
        };
        record.request_bytes = request.body.len() as u64;
        let mut parsed = None;
        let rule = match listener.route_head(&asked)? {
            Headed::Rule(rule) => rule,
            Headed::Body(_) => match listener.route_parsed(&asked, parsed.insert(parse(request, record)?))? {
                Routed::Rule(rule) => rule,
                Routed::Models(models) => {
                    record.status = 200;
                    record.backend = Some(format!("the gateway itself: models {}", models.join(", ")).into());
                    return Ok(());
                }
            },
        };
        record.rule = Some(Arc::clone(&rule.label));
        let (path, query) = (request.target.path(), request.target.query());
        let arrived = Arrived { scheme: "http", host, port: listener.port, path, query };
        if let Some((status, location)) = rule.redirect(&arrived) {
            record.status = status.as_u16();
            record.backend =
                Some(format!("redirect to {}", String::from_utf8_lossy(location.as_bytes())).into());
            return Ok(());
        }
        let random = &mut fastrand::Rng::new();
        let (_, goal) = draw(rule, random)?;
        record.backend = Some(goal.name());
        let pool = match goal {
            Goal::Pool(pool) => pool,
            Goal::Service(service) => {
                beside.in_turn.extend(service.endpoints.iter().take(IN_TURN_TOLD_MAX));
                return Ok(());
            }
        };
        beside.scorers.extend(pool.view.policy.scorer_names());
        record.picker = pool.picker.as_deref().map(|picker| Box::new(not_asked(picker)));
        let parsed = parsed.as_ref().ok_or_else(|| leads_nowhere(rule, "its body was not read"))?;
        let body = Rope::from_iter([request.body.clone()]);
        // Offline, whoever asks is trusted.
        let asked = Dispatch { body: Some(&body), ..Dispatch::told(parsed, &request.headers) };
        let before = self.0.clock().now();
        let flight = dispatch(pool, &asked, random, self.0.clock())?;
        record.decided_in = self.0.clock().now().since(before);
        record.priority = flight.priority;
        record.target_model = flight.rewrite.clone();
        record.decision = Some(flight.decision.clone());
        Ok(())
    }
}

/// Endpoints of a Service that are told.
const IN_TURN_TOLD_MAX: usize = 16;

/// What an explanation tells beside the record.
#[derive(Default)]
struct Beside {
    /// The scorers of the pool.
    scorers: Vec<&'static str>,
    /// The endpoints of the Service, which take turns.
    in_turn: Vec<SocketAddr>,
}

/// A pool's own endpoint picker, which only a running gateway asks.
fn not_asked(picker: &EndpointPicker) -> AskedPicker {
    let (picker, outcome) = (Arc::clone(&picker.name), PickerOutcome::NotAsked);
    AskedPicker { picker, outcome, took: Duration::ZERO, why: None }
}

/// Step 1, parse.
fn parse(request: &OfflineRequest, record: &mut Record) -> Result<InferenceRequest, Refusal> {
    let value = |name| request.headers.get(name).map(http::HeaderValue::as_bytes);
    let head = BodyHead::new(request.target.path(), value(CONTENT_TYPE), value(CONTENT_ENCODING))?;
    record.dialect = head.dialect;
    let mut parser = RequestParser::new(head, Limits::default());
    parser.feed(&request.body)?;
    let parsed = parser.finish()?;
    record.model = parsed.model.as_ref().map(|model| model.name.clone());
    (record.stream, record.prompt_bytes) = (parsed.stream, parsed.prompt.bytes);
    Ok(parsed)
}

fn host_of(request: &OfflineRequest) -> String {
    let header = request.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = request.target.host().or(header).unwrap_or_default();
    let host = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(name, _)| name);
    host.to_ascii_lowercase()
}
