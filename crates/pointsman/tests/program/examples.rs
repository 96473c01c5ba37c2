//! Every folder of `examples/` holds manifests without an error, does what its `requests.json` says, and has a `run` that
//! starts what its requests need. `examples/README.md` tells the format.

use crate::support::{self, Answer, Bench};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use resources::Folder;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::task::JoinSet;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

/// Requests that are sent side by side.
const SIDE_BY_SIDE: usize = 16;

/// A gateway of an example, and its requests.json.
async fn start(name: &str) -> (Bench, Value) {
    let folder = example(name);
    let text = std::fs::read_to_string(folder.join("requests.json")).unwrap();
    let script: Value = serde_json::from_str(&text).unwrap();
    (Bench::start(&folder, &script["model_servers"]).await, script)
}

fn run(name: &str) {
    support::on_a_runtime(async {
        let (bench, script) = start(name).await;
        for step in script["requests"].as_array().expect("a list of requests") {
            play(&bench, step).await;
        }
    });
}

#[test]
fn two_models_behind_one_address() {
    run("two-models");
}

#[test]
fn lora_adapters_each_with_its_criticality() {
    run("lora-criticality");
}

#[test]
fn the_rollout_of_an_adapter() {
    run("adapter-rollout");
}

#[test]
fn the_rollout_of_a_pool() {
    run("pool-rollout");
}

#[test]
fn a_pool_that_somebody_else_picks_for() {
    support::on_a_runtime(async {
        let (bench, script) = start("external-picker").await;
        let mut picker = bench.picker("gemma3");
        let slice = "gemma3-epp-endpoints.yaml";
        let declared = bench.read(slice);
        bench.write(slice, &declared.replace("port: 9002", &format!("port: {}", picker.address.port())));
        let explained = async || {
            let answer = bench.send(support::chat("gemma3", 1, false)).await;
            assert_eq!(answer.status, 200);
            let id = answer.headers["x-request-id"].to_str().unwrap();
            bench.admin(&format!("/explain/{id}?format=text")).await.text()
        };
        let until_told = async |told: &str| {
            support::until(told, async || explained().await.contains(told).then_some(())).await;
        };
        until_told("picked    by default/gemma3-epp:9002 in ").await;
        for step in script["requests"].as_array().expect("a list of requests") {
            play(&bench, step).await;
        }
        picker.end();
        until_told("picker    default/gemma3-epp:9002 failed").await;
    });
}

/// The folders of examples, by name.
fn folders() -> Vec<String> {
    let mut folders: Vec<String> = std::fs::read_dir(example(""))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "__pycache__") // what Python leaves beside the scripts
        .collect();
    folders.sort();
    folders
}

#[test]
fn every_example_is_in_this_file_or_has_a_test_of_its_own() {
    assert_eq!(
        folders(),
        [
            "adapter-rollout",
            "behind-envoy",
            "external-picker",
            "lora-criticality",
            "pool-rollout",
            "real-gemma",
            "two-models"
        ]
    );
}

#[test]
fn no_example_has_an_error_in_its_manifests() {
    for manifests in folders().iter().map(|name| example(name).join("manifests")).filter(|path| path.exists())
    {
        let told = support::pointsman(&["check", manifests.to_str().unwrap()]);
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stdout));
    }
}

#[test]
fn every_run_starts_the_model_servers_that_its_requests_need_where_its_manifests_say() {
    for name in folders() {
        let Ok(text) = std::fs::read_to_string(example(&name).join("requests.json")) else { continue };
        let script: Value = serde_json::from_str(&text).unwrap();
        let told = Command::new(example(&name).join("run")).env("POINTSMAN", "true").output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        let mut started: Vec<(u16, Value)> = told.lines().flat_map(simulated).collect();
        started.sort_by_key(|(port, _)| *port);
        assert_eq!(started, needed(&name, &script["model_servers"]), "{name}: {told}");
        assert!(told.contains(&format!(" --config examples/{name}/manifests ")), "{name}: {told}");
    }
}

/// What the servers of a `pointsman sim` line serve, by port.
fn simulated(line: &str) -> Vec<(u16, Value)> {
    let mut words = line.split(' ');
    if words.nth(1) != Some("sim") {
        return Vec::new();
    }
    let (mut port, mut count, mut serves) = (0, 1, json!({}));
    while let (Some(flag), Some(value)) = (words.next(), words.next()) {
        match flag {
            "--port" => port = value.parse().unwrap(),
            "--count" => count = value.parse().unwrap(),
            "--model" => serves["model"] = value.into(),
            "--adapter" => match serves["adapters"].as_array_mut() {
                Some(adapters) => adapters.push(value.into()),
                None => serves["adapters"] = json!([value]),
            },
            _ => (),
        }
    }
    (port..port + count).map(|port| (port, serves.clone())).collect()
}

/// What the endpoints of each pool of an example serve, by port.
fn needed(name: &str, model_servers: &Value) -> Vec<(u16, Value)> {
    let store = Folder::new([example(name).join("manifests")]).load().store;
    let mut needed: Vec<(u16, Value)> = Vec::new();
    for pool in store.inference_pools.values() {
        let slices = store.endpoint_slices.values();
        let of_pool = slices.filter(|slice| resources::has_labels(&slice.meta.labels, &pool.selector));
        let ports = of_pool.flat_map(|slice| &slice.ports).filter_map(|port| port.port);
        needed.extend(ports.map(|port| (port, model_servers[&*pool.meta.name.name].clone())));
    }
    needed.sort_by_key(|(port, _)| *port);
    needed
}

/// Sends one step's request, as often as it says, and holds the answers against what it expects.
async fn play(bench: &Bench, step: &Value) {
    let name = step["name"].as_str().expect("a name");
    if let Some(given) = step["given"].as_object() {
        for (pool, reports) in given {
            report(bench, pool, reports).await;
        }
    }
    let times = step["times"].as_u64().unwrap_or(1);
    let mut answers = Vec::new();
    for _ in 0..times.div_ceil(SIDE_BY_SIDE as u64) {
        let mut sending = JoinSet::new();
        for _ in 0..SIDE_BY_SIDE.min(times as usize - answers.len()) {
            sending.spawn_local(support::send(bench.gateway, request(&step["request"])));
        }
        answers.extend(sending.join_all().await);
    }
    let expect = &step["expect"];
    answers.iter().for_each(|answer| hold(bench, name, expect, answer));
    shares(
        name,
        &expect["pools"],
        answers.iter().filter_map(|answer| bench.pool_of(answer)).map(str::to_owned),
    );
    shares(name, &expect["models_sent"], answers.iter().filter_map(model_sent));
}

/// Makes the endpoints of a pool report something, and waits until the gateway knows.
async fn report(bench: &Bench, pool: &str, reports: &Value) {
    let (waiting, kv_used) = (reports["waiting"].as_u64().unwrap(), reports["kv_used"].as_f64().unwrap());
    bench.servers[pool].claim(waiting as u32, kv_used);
    let known = |endpoint: &Value| {
        endpoint["waiting"].as_u64() == Some(waiting)
            && endpoint["kv_used"].as_f64().is_some_and(|used| (used - kv_used).abs() < 1e-3)
    };
    let addresses: Vec<String> = bench.servers[pool].addresses.iter().map(ToString::to_string).collect();
    bench
        .endpoints_become(|told| {
            let endpoints: Vec<&Value> = endpoints(told).collect();
            addresses.iter().all(|address| {
                endpoints
                    .iter()
                    .any(|endpoint| endpoint["endpoint"].as_str() == Some(address) && known(endpoint))
            })
        })
        .await;
}

/// Every endpoint of every pool that `/endpoints` tells.
fn endpoints(told: &Value) -> impl Iterator<Item = &Value> {
    told.as_array().into_iter().flatten().flat_map(|pool| pool["endpoints"].as_array().into_iter().flatten())
}

fn request(described: &Value) -> Request<Full<Bytes>> {
    let text = |key: &str| described[key].as_str().unwrap_or_default();
    let body = match &described["body"] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        object => object.to_string(),
    };
    let mut request = Request::builder().method(text("method")).uri(text("path")).header("host", "localhost");
    for (name, value) in described["headers"].as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().unwrap());
    }
    request.body(Full::new(Bytes::from(body))).unwrap()
}

/// Holds one answer against what is expected of it.
fn hold(bench: &Bench, name: &str, expect: &Value, answer: &Answer) {
    let text = answer.text();
    if let Some(status) = expect["status"].as_u64() {
        assert_eq!(u64::from(answer.status.as_u16()), status, "{name}: {text}");
    }
    if let Some(pool) = expect.get("pool") {
        assert_eq!(bench.pool_of(answer), pool.as_str(), "{name}: {text}");
    }
    if let Some(model) = expect["model_sent"].as_str() {
        assert_eq!(model_sent(answer).as_deref(), Some(model), "{name}: {text}");
    }
    for (header, value) in expect["headers"].as_object().into_iter().flatten() {
        let there = answer.headers.get(header).and_then(|there| there.to_str().ok());
        let begins = there.is_some_and(|there| there.starts_with(value.as_str().unwrap()));
        assert!(begins, "{name}: header {header} is {there:?}");
    }
    for (pointer, value) in expect["fields"].as_object().into_iter().flatten() {
        let body = answer.json();
        let there = body.pointer(pointer).unwrap_or_else(|| panic!("{name}: no {pointer} in {text}"));
        assert!(matches(there, value), "{name}: {pointer} is {there}");
    }
    if expect["stream"] == true {
        assert!(text.starts_with("data: ") && text.trim_end().ends_with("data: [DONE]"), "{name}: {text}");
    }
}

fn matches(there: &Value, value: &Value) -> bool {
    match (there, value) {
        (_, Value::String(any)) if any == "*" => !there.is_null(),
        (Value::String(there), Value::String(part)) => there.contains(part.as_str()),
        _ => there == value,
    }
}

/// The model that the endpoint was asked for: it repeats it in its answer.
fn model_sent(answer: &Answer) -> Option<String> {
    let text = answer.text();
    let json = match text.strip_prefix("data: ") {
        Some(events) => events.lines().next()?,
        None => &text,
    };
    serde_json::from_str::<Value>(json).ok()?["model"].as_str().map(str::to_owned)
}

/// Holds the shares of the answers against the least and the most expected.
fn shares(name: &str, expected: &Value, answers: impl Iterator<Item = String>) {
    let Some(expected) = expected.as_object() else { return };
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    answers.for_each(|answer| *counts.entry(answer).or_default() += 1.0);
    let all: f64 = counts.values().sum();
    for (key, bounds) in expected {
        let share = counts.get(key).unwrap_or(&0.0) / all;
        let (least, most) = (bounds[0].as_f64().unwrap(), bounds[1].as_f64().unwrap());
        assert!((least..=most).contains(&share), "{name}: {key} has {share} of {all}: {counts:?}");
    }
}
