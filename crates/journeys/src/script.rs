//! A journey's folder as it is read, and how it is played.

use crate::expect::Expect;
use crate::{Answer, Reply, Request};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// A way into Pointsman.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Door {
    /// Door 1: Pointsman is the gateway.
    #[serde(rename = "gateway")]
    Gateway,
    /// Door 2: an Envoy-based gateway asks over ext_proc.
    #[serde(rename = "envoy")]
    Envoy,
    /// Door 2, where the model's header waits for the whole body: in `BUFFERED` mode, or with `--wait-for-body`.
    #[serde(skip)]
    WaitingEnvoy,
}

/// A folder of manifests, and the requests that are sent to it.
#[derive(Debug)]
pub struct Journey {
    /// The folder.
    pub folder: PathBuf,
    /// By InferencePool, what its simulated endpoints serve; nothing for endpoints that only tell what they were sent.
    pub model_servers: Value,
    /// The limit of a body, bytes.
    pub body_bytes_max: u64,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    #[serde(default)]
    model_servers: Value,
    #[serde(default = "body_bytes_max")]
    body_bytes_max: u64,
    requests: Vec<Step>,
}

/// What both doors have where nothing is said.
fn body_bytes_max() -> u64 {
    32 << 20
}

/// One step: what is given, what is sent, what must come.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What it shows, as a sentence.
    pub name: String,
    /// What the endpoints of a pool report just before.
    #[serde(default)]
    pub given: BTreeMap<String, PerEndpoint<Report>>,
    /// What the endpoints answer to it.
    pub replies: Option<PerEndpoint<Reply>>,
    /// How often it is sent.
    #[serde(default = "once")]
    pub times: usize,
    /// What is sent.
    pub request: Request,
    expect: Map<String, Value>,
    at_gateway: Option<Map<String, Value>>,
    behind_envoy: Option<Map<String, Value>>,
    only: Option<Door>,
    /// The difference is that the model's header leaves early: where it waits, Envoy's door is as the gateway's.
    #[serde(default)]
    early: bool,
    why: Option<String>,
}

fn once() -> usize {
    1
}

/// What endpoints do: each its own, in the order of the manifests' ports, or all the same.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum PerEndpoint<T> {
    /// Each its own.
    Each(Vec<T>),
    /// All the same.
    All(T),
}

impl<T> PerEndpoint<T> {
    /// What the endpoint at this place does.
    pub fn of(&self, endpoint: usize) -> &T {
        match self {
            PerEndpoint::Each(each) => &each[endpoint],
            PerEndpoint::All(all) => all,
        }
    }
}

/// What an endpoint reports.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Requests in the queue.
    pub waiting: u32,
    /// The share of the KV cache in use, 0 to 1.
    pub kv_used: f32,
    /// LoRA adapters with running requests.
    #[serde(default)]
    pub adapters: Vec<String>,
}

/// Adapters that an endpoint has room for.
const ADAPTERS_MAX: usize = 4;

impl Report {
    /// The page of metrics that says so, as vLLM writes it.
    pub fn page(&self) -> String {
        let Report { waiting, kv_used, adapters } = self;
        let adapters = adapters.join(",");
        format!(
            "vllm:num_requests_waiting {waiting}\nvllm:num_requests_running 0\nvllm:kv_cache_usage_perc {kv_used}\n\
             vllm:lora_requests_info{{max_lora=\"{ADAPTERS_MAX}\",running_lora_adapters=\"{adapters}\",waiting_lora_adapters=\"\"}} 1\n"
        )
    }
}

/// The folders of `examples/` that have requests.
pub fn examples() -> Vec<PathBuf> {
    folders(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples"))
}

/// The folders of `tables/`, beside this crate.
pub fn tables() -> Vec<PathBuf> {
    folders(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tables"))
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = folders.filter(|path| path.join("requests.json").exists()).collect();
    folders.sort();
    folders
}

impl Journey {
    /// Reads a folder.
    pub fn read(folder: &Path) -> Journey {
        let text = std::fs::read_to_string(folder.join("requests.json")).unwrap();
        Journey::of(folder, &text)
    }

    fn of(folder: &Path, script: &str) -> Journey {
        let script: Script =
            serde_json::from_str(script).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let Script { model_servers, body_bytes_max, requests: steps } = script;
        assert!(!steps.is_empty(), "{} has no requests", folder.display());
        steps.iter().for_each(Step::check);
        Journey { folder: folder.to_owned(), model_servers, body_bytes_max, steps }
    }

    /// The manifests.
    pub fn manifests(&self) -> PathBuf {
        self.folder.join("manifests")
    }

    /// Plays it at a door.
    pub fn at(&self, door: Door) -> Playing<'_> {
        Playing { journey: self, door, endpoints: HashMap::new(), failures: Vec::new() }
    }
}

/// A journey that is being played. Dropped, it panics with every step that was not as it must be.
#[derive(Debug)]
pub struct Playing<'j> {
    journey: &'j Journey,
    door: Door,
    /// The endpoint that the last answer to a step came from, by the step's name.
    endpoints: HashMap<&'j str, usize>,
    failures: Vec<String>,
}

impl Drop for Playing<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let (folder, failures) = (self.journey.folder.display(), self.failures.join("\n"));
            assert!(failures.is_empty(), "{folder}, at the door of {:?}:\n{failures}", self.door);
        }
    }
}

impl<'j> Playing<'j> {
    /// The steps of this door, in their order.
    pub fn steps(&self) -> impl Iterator<Item = &'j Step> + use<'j> {
        let door = self.door;
        let is_played = move |only| (only == Door::Gateway) == (door == Door::Gateway);
        self.journey.steps.iter().filter(move |step| step.only.is_none_or(is_played))
    }

    /// Holds the answers to a step against what it expects. They must not be as the step expects them at the other door only:
    /// a difference that is marked is one.
    pub fn hold(&mut self, step: &'j Step, answers: &[Answer]) {
        assert_eq!(answers.len(), step.times, "{}", step.name);
        let (ours, others) = match self.door {
            Door::Gateway => (&step.at_gateway, &step.behind_envoy),
            Door::WaitingEnvoy if step.early => (&step.at_gateway, &step.behind_envoy),
            Door::Envoy | Door::WaitingEnvoy => (&step.behind_envoy, &step.at_gateway),
        };
        let hold = |marked| step.expect(marked).hold(step, answers, &self.endpoints);
        if let Err(why) = hold(ours) {
            self.failures.push(format!("{}: {why}", step.name));
        } else if (ours.is_some() || others.is_some()) && hold(others).is_ok() {
            self.failures.push(format!("{}: what is marked for the other door holds too", step.name));
        }
        if let Some(sent) = answers.last().and_then(|answer| answer.sent.as_ref()) {
            self.endpoints.insert(&step.name, sent.endpoint);
        }
    }
}

impl Step {
    /// What the endpoint at this place answers to it.
    pub fn reply(&self, endpoint: usize) -> Reply {
        self.replies.as_ref().map(|replies| replies.of(endpoint).clone()).unwrap_or_default()
    }

    /// Whether it asks what `explain` tells of the request.
    pub fn asks_why(&self) -> bool {
        let expects = [Some(&self.expect), self.at_gateway.as_ref(), self.behind_envoy.as_ref()];
        expects.into_iter().flatten().any(|expect| expect.contains_key("explained"))
    }

    /// What it expects, with what is marked for a door in the place of what is not.
    fn expect(&self, marked: &Option<Map<String, Value>>) -> Expect {
        let mut expect = self.expect.clone();
        expect.extend(marked.clone().into_iter().flatten());
        serde_json::from_value(expect.into()).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// A difference has a reason, and there is no reason without one.
    fn check(&self) {
        let differs = self.at_gateway.is_some() || self.behind_envoy.is_some() || self.only.is_some();
        assert_eq!(differs, self.why.is_some(), "{}: `why` stands where the doors differ", self.name);
        let marked = self.behind_envoy.is_some() && self.at_gateway.is_some();
        assert!(marked || !self.early, "{}: `early` tells two marks apart", self.name);
        for marked in [&self.at_gateway, &self.behind_envoy] {
            self.expect(marked);
        }
    }
}

#[cfg(test)]
mod tests;
