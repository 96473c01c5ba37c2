//! Every folder of `examples/` holds manifests without an error, does what its `requests.json` says, and has a `run` that
//! starts what its requests need. `examples/README.md` tells the format.

use crate::journeys::play;
use crate::support::{self, Bench};
use ::journeys::Journey;
use resources::Folder;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

fn run(name: &str) {
    support::on_a_runtime(async {
        let journey = Journey::read(&example(name));
        let (bench, recorder) = Bench::of(&journey).await;
        play(&bench, &recorder, &journey).await;
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
        let journey = Journey::read(&example("external-picker"));
        let (bench, recorder) = Bench::of(&journey).await;
        let mut picker = bench.picker("gemma3");
        let declared = bench.read(support::PICKERS_ENDPOINTS);
        let nobodys = format!("port: {}\n", support::NOBODYS_PORT);
        let served = declared.replace(&nobodys, &format!("port: {}\n", picker.address.port()));
        bench.write(support::PICKERS_ENDPOINTS, &served);
        let explained = async || {
            let answer = bench.send(support::chat("gemma3", 1, false)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let id = answer.headers["x-request-id"].to_str().unwrap();
            bench.admin(&format!("/explain/{id}?format=text")).await.text()
        };
        let until_told = async |told: &str| {
            support::until(told, async || explained().await.contains(told).then_some(())).await;
        };
        until_told("picked    by default/gemma3-epp:9002 in ").await;
        play(&bench, &recorder, &journey).await;
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
        if !example(&name).join("requests.json").exists() {
            continue;
        }
        let journey = Journey::read(&example(&name));
        let told = Command::new(example(&name).join("run")).env("POINTSMAN", "true").output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        let mut started: Vec<(u16, Value)> = told.lines().flat_map(simulated).collect();
        started.sort_by_key(|(port, _)| *port);
        assert_eq!(started, needed(&name, &journey.model_servers), "{name}: {told}");
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
