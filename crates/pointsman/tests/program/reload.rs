//! The folder changes while requests come: the change is in force, and no request is lost.

use crate::support::{Bench, chat, on_a_runtime, send, until};
use http::StatusCode;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_local};

/// Clients that go on asking while the folder changes.
const CLIENTS: usize = 4;

/// What clients that ask without a pause have got so far.
#[derive(Default)]
struct Seen {
    endpoints: RefCell<BTreeSet<String>>,
    answers: Cell<usize>,
    stop: Cell<bool>,
}

async fn ask_on_and_on(bench: Rc<Bench>, seen: Rc<Seen>) {
    while !seen.stop.get() {
        let answer = bench.send(chat("chatbot", 2, false)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let endpoint = answer.headers[simulator::ENDPOINT_HEADER].to_str().unwrap().to_owned();
        seen.endpoints.borrow_mut().insert(endpoint);
        seen.answers.set(seen.answers.get() + 1);
    }
}

/// The manifest without the EndpointSlice that says this port.
fn without(manifest: &str, port: u16) -> String {
    let said = format!("port: {port}\n");
    let kept: Vec<&str> = manifest.split("---\n").filter(|document| !document.contains(&said)).collect();
    kept.join("---\n")
}

async fn pool_has(bench: &Bench, count: usize) {
    bench
        .endpoints_become(|told| {
            let pool = told.as_array().unwrap().iter().find(|pool| pool["pool"] == "default/gemma3").unwrap();
            pool["endpoints"].as_array().unwrap().len() == count
        })
        .await;
}

#[test]
fn an_endpoint_is_taken_away_and_added_under_load_and_no_request_is_lost() {
    on_a_runtime(async {
        let bench = Rc::new(Bench::two_models().await);
        let seen = Rc::new(Seen::default());
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn_local(ask_on_and_on(Rc::clone(&bench), Rc::clone(&seen)));
        }
        let (all, gone) = (bench.servers["gemma3"].addresses.len(), bench.servers["gemma3"].addresses[0]);
        let used = async || seen.endpoints.borrow().contains(&gone.to_string()).then_some(());
        until("the endpoint is used", used).await;
        let whole = bench.read("gemma3.yaml");

        bench.write("gemma3.yaml", &without(&whole, gone.port()));
        pool_has(&bench, all - 1).await;
        let before = seen.answers.get();
        until("what was under way has ended", async || {
            (seen.answers.get() > before + 2 * CLIENTS).then_some(())
        })
        .await;
        seen.endpoints.borrow_mut().clear();
        let before = seen.answers.get();
        until("others answer", async || (seen.answers.get() > before + 20).then_some(())).await;
        assert!(!seen.endpoints.borrow().contains(&gone.to_string()), "it goes on being used");

        bench.write("gemma3.yaml", &whole);
        until("the endpoint is used again", used).await;
        seen.stop.set(true);
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
    });
}

#[test]
fn a_listener_that_moves_is_told_in_the_log_and_served_where_it_is() {
    on_a_runtime(async {
        let bench = Bench::two_models().await;
        bench.write("gateway.yaml", &bench.read("gateway.yaml").replace("port: 8080", "port: 8090"));
        let told = until("the port is told", async || {
            bench.logged(|line| line["message"] == "listening" && line["port"] == 8090).pop()
        });
        let address = told.await["address"].as_str().unwrap().parse().unwrap();
        assert_eq!(send(address, chat("chatbot", 2, false)).await.status, StatusCode::OK);
        let refused = async || TcpStream::connect(bench.gateway).await.is_err().then_some(());
        until("the old port is closed", refused).await;
    });
}

#[test]
fn a_gateway_without_a_listener_is_not_ready_and_says_what_it_closed() {
    on_a_runtime(async {
        let bench = Bench::two_models().await;
        assert_eq!(bench.admin("/readyz").await.status, StatusCode::OK);
        let whole = bench.read("gateway.yaml");
        std::fs::remove_file(bench.folder.path().join("gateway.yaml")).unwrap();
        let not_ready = until("it is not ready", async || {
            Some(bench.admin("/readyz").await).filter(|ready| ready.status == StatusCode::SERVICE_UNAVAILABLE)
        });
        let why = not_ready.await.text();
        assert!(why.contains("no Gateway of ours has an HTTP listener"), "{why}");
        let closed = |line: &Value| {
            line["port"] == 8080 && line["message"].as_str().unwrap_or_default().starts_with("closed")
        };
        until("the log says so", async || (!bench.logged(closed).is_empty()).then_some(())).await;
        bench.write("gateway.yaml", &whole);
        until("it is ready again", async || {
            (bench.admin("/readyz").await.status == StatusCode::OK).then_some(())
        })
        .await;
    });
}

#[test]
fn a_broken_file_keeps_its_last_good_objects_and_the_log_says_once_where_it_is_broken() {
    on_a_runtime(async {
        let bench = Rc::new(Bench::two_models().await);
        let seen = Rc::new(Seen::default());
        let client = spawn_local(ask_on_and_on(Rc::clone(&bench), Rc::clone(&seen)));
        let whole = bench.read("gemma3.yaml");
        let of = |code: &'static str| move |line: &Value| line["code"] == code;
        let logged = async |code| (!bench.logged(of(code)).is_empty()).then_some(());

        bench.write("gemma3.yaml", &whole.replace("number: 8000", "number: 800000"));
        until("the error is logged", async || logged("out-of-range").await).await;
        let [error] = &bench.logged(of("out-of-range"))[..] else { panic!("it is logged once") };
        let line = whole.lines().position(|line| line.contains("number: 8000")).unwrap() + 1;
        assert!(error["place"].as_str().unwrap().ends_with(&format!("gemma3.yaml:{line}")), "{error}");
        assert_eq!(error["level"], "ERROR");
        assert_eq!(error["object"], "InferencePool default/gemma3");
        assert_eq!(error["field"], "spec.targetPorts[0].number");

        bench.write("gemma3.yaml", "kind: [");
        until("the error is logged", async || logged("not-yaml").await).await;
        let before = seen.answers.get();
        until("the pool goes on answering", async || (seen.answers.get() > before + 20).then_some(())).await;

        let recommender = bench.read("deepseek-r1.yaml");
        let gone = bench.servers["deepseek-r1"].addresses[0].port();
        bench.write("deepseek-r1.yaml", &without(&recommender, gone));
        bench.endpoints_become(|told| !told.to_string().contains(&format!(":{gone}\""))).await;
        assert_eq!(bench.logged(of("not-yaml")).len(), 1, "what stands in the log is not repeated");
        seen.stop.set(true);
        client.await.unwrap();
    });
}
