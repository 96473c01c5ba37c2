//! A pool whose endpoint picker is Pointsman's own, behind its real door.

use crate::epp::{Wire, brief, gate_with};
use crate::support::{Endpoint, Gate, ok, post, until};
use extproc::epp::{Epp, EppSettings, PoolReference, SubsetHint};
use extproc::{Certificates, Port, Server};
use journey::BodyPace;
use payload::Budget;
use resources::{Folder, ObjectName};
use state::{Clock, World};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use telemetry::{Cursor, PickerOutcome, Telemetry};

/// A running endpoint picker of the pool `default/llm`.
struct Own {
    server: Server,
    telemetry: Arc<Telemetry>,
}

/// Who asks for `m` gets `real-m`.
const POLICIES: &str = "
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModelRewrite
metadata: {name: rewrite}
spec:
  poolRef: {name: llm, group: inference.networking.k8s.io}
  rules: [{matches: [{model: {value: m}}], targets: [{modelRewrite: real-m}]}]
---
";

impl Own {
    fn start(endpoints: &[SocketAddr]) -> Own {
        let manifests = [&crate::support::pool("llm", endpoints), POLICIES].concat();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("manifests.yaml"), manifests).unwrap();
        let load = Folder::new([folder.path()]).load();
        assert_eq!(load.broken().count(), 0, "{:?}", load.findings);
        let world = Arc::new(World::new(state::Settings::default(), Clock::start()));
        world.apply(load);
        let telemetry = Telemetry::new(1, 64);
        let settings = Arc::new(EppSettings {
            pools: vec![PoolReference { name: ObjectName::new("default", "llm"), version: None }],
            destination_key: Arc::from("x-gateway-destination-endpoint"),
            destination_namespace: Arc::from("envoy.lb"),
            subset_hint: SubsetHint::Obeyed,
            test_plugins: scheduling::config::TestPlugins::Refused,
            body_bytes_max: 32 << 20,
            body_pace: BodyPace { stall_timeout: Duration::from_secs(10), rate_min: 0 },
        });
        let tls = Certificates::self_signed().unwrap().config().unwrap();
        let port = Port { number: 0, tls: Some(tls), process: Some(0), health: None };
        let (clock, told, budget) = (world.clock(), Arc::clone(&telemetry), Budget::new(1 << 30));
        let make = move |index| Epp::new(&settings, &budget, &world, &told, index);
        Own { server: Server::start(door(), &[port], clock, make).unwrap(), telemetry }
    }

    fn gate(&self, endpoints: &[SocketAddr]) -> Gate {
        gate_with(self.server.addresses()[0], (Wire::Tls, "FailClose"), endpoints, brief())
    }
}

fn door() -> extproc::Settings {
    extproc::Settings { bind: IpAddr::V4(Ipv4Addr::LOCALHOST), cores: 1, ..extproc::Settings::default() }
}

fn ask(gate: &Gate, model: &str, prompt: &str) -> crate::support::Response {
    gate.ask(&post("/v1/completions", "", &format!(r#"{{"model":"{model}","prompt":"{prompt}"}}"#)))
}

#[test]
fn pointsmans_own_endpoint_picker_picks_rewrites_and_learns() {
    let names = ["a", "b"].map(|name| Endpoint::answering(ok(name)));
    let addresses = [names[0].address, names[1].address];
    let own = Own::start(&addresses);
    let gate = own.gate(&addresses);
    let long = "a prompt that is longer than one stride of the index ".repeat(100);
    for _ in 0..4 {
        let response = ask(&gate, "m", &long);
        assert_eq!(response.status, 200, "{}", response.text());
        let record = gate.record(&response);
        assert_eq!((record.picker.unwrap().outcome, record.priority), (PickerOutcome::Picked, None));
    }
    let got: Vec<_> = names.iter().flat_map(Endpoint::got).collect();
    assert_eq!(got.len(), 4);
    assert!(names.iter().any(|endpoint| endpoint.got().len() == 4), "one prefix stays at one endpoint");
    let body = String::from_utf8_lossy(&got[0].body).into_owned();
    assert!(body.starts_with(r#"{"model":"real-m","prompt":"a prompt"#), "{body}");
    assert_eq!(got[0].header("content-length"), Some(got[0].body.len().to_string().as_str()));
    let records = until("the picker has learnt", || {
        let records = own.telemetry.since(&mut Cursor::default());
        (records.len() == 4).then_some(records)
    });
    for record in records {
        assert_eq!((record.status, record.cancelled, record.attempts.len()), (200, false, 1));
        assert_eq!(record.priority, Some(0), "it is the picker that weighs");
        assert!(names.iter().any(|endpoint| endpoint.address == record.attempts[0].endpoint));
    }
}

#[test]
fn the_subset_hint_keeps_pointsmans_own_picker_inside_the_pool_of_the_gateway() {
    let names = ["a", "b"].map(|name| Endpoint::answering(ok(name)));
    let own = Own::start(&[names[0].address, names[1].address]);
    let gate = own.gate(&[names[1].address]);
    for prompt in ["1", "2", "3", "4"] {
        assert_eq!(ask(&gate, "x", prompt).text(), "b");
    }
}

#[test]
fn a_refusal_of_pointsmans_own_picker_reaches_the_client_as_it_is() {
    let live = Endpoint::answering(ok("live"));
    let elsewhere = Endpoint::absent();
    let own = Own::start(&[elsewhere]);
    let gate = own.gate(&[live.address]);
    let response = ask(&gate, "m", "hi");
    assert_eq!((response.status, response.code().as_str()), (503, "no_ready_endpoint"));
    assert_eq!(gate.record(&response).picker.unwrap().outcome, PickerOutcome::Answered);
    assert!(live.got().is_empty());
}
