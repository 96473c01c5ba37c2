//! `pointsman explain`: the same words from a running gateway and from the manifests alone.

use crate::support::{Bench, chat, on_a_runtime, pointsman, until};
use http_body_util::BodyExt;
use serde_json::Value;

#[test]
fn a_request_is_explained_by_the_id_of_its_response() {
    on_a_runtime(async {
        let bench = Bench::two_models().await;
        let answer = bench.send(chat("chatbot", 2, false)).await;
        let id = answer.headers["x-request-id"].to_str().unwrap();
        let admin = bench.admin.to_string();
        let arguments = ["explain", id, "--json", "--admin", &admin];
        // The record is written when the answer has left.
        let told = until("the record", async || {
            let told = pointsman(&arguments);
            told.status.success().then_some(told)
        })
        .await;
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        assert_eq!(told["id"], id);
        assert_eq!(told["rule"], "default/routes-to-llms rule 0 match 0");
        assert_eq!(told["backend"], "default/gemma3");
        let candidates = told["decision"]["candidates"].as_array().unwrap();
        assert_eq!(candidates.len(), bench.servers["gemma3"].addresses.len());
        assert!(
            candidates.iter().all(|candidate| candidate["scores"].as_object().unwrap().len() > 1),
            "{told:#}"
        );
        assert_eq!(
            told["attempts"][0]["endpoint"],
            answer.headers[simulator::ENDPOINT_HEADER].to_str().unwrap()
        );
        assert_eq!((&told["answer"]["status"], &told["answer"]["output_tokens"]), (&200.into(), &2.into()));
        assert!(!told.to_string().contains("color of the sky"), "never a prompt");

        assert_eq!(told["attempts"][0].get("status"), None, "only an error's is told here: {told:#}");
        let text = pointsman(&["explain", id, "--admin", &admin]);
        let text = String::from_utf8(text.stdout).unwrap();
        assert!(text.contains("rule      default/routes-to-llms rule 0 match 0\n"), "{text}");
        let nobody = pointsman(&["explain", "nobody", "--admin", &admin]);
        assert_eq!(nobody.status.code(), Some(1));
    });
}

#[test]
fn a_request_is_explained_by_the_manifests_alone() {
    on_a_runtime(async {
        let bench = Bench::two_models().await;
        let folder = bench.folder.path().to_str().unwrap();
        let request = bench.folder.path().join("request.txt");
        let request = request.to_str().unwrap();
        let explain = |body: &[u8]| {
            std::fs::write(request, body).unwrap();
            pointsman(&["explain", "--config", folder, "--request", request, "--json"])
        };
        let decide = async |model| {
            let body = chat(model, 2, false).into_body().collect().await.unwrap().to_bytes();
            explain(&body)
        };
        let known = decide("recommender").await;
        assert!(known.status.success(), "{known:?}");
        let told: Value = serde_json::from_slice(&known.stdout).unwrap();
        assert_eq!((&told["backend"], &told["answer"]), (&"default/deepseek-r1".into(), &Value::Null));
        let unknown = decide("nobody").await;
        assert_eq!(unknown.status.code(), Some(1));
        let told: Value = serde_json::from_slice(&unknown.stdout).unwrap();
        assert_eq!(told["refusal"]["reason"], "model_not_found");
        let told: Value = serde_json::from_slice(&explain(b"[1]").stdout).unwrap();
        let (dialect, reason) = (&told["dialect"], &told["refusal"]["reason"]);
        assert_eq!((dialect, reason), (&"chat_completions".into(), &"not_an_object".into()));
    });
}

#[test]
fn the_endpoints_of_a_service_are_told_and_json_has_the_order_of_a_running_gateways() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g}, spec: {gatewayClassName: p,
  listeners: [{name: http, port: 8080, protocol: HTTP}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web}, spec: {parentRefs: [{name: g}],
  rules: [{backendRefs: [{name: web, port: 80}]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{name: http, port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web, labels: {kubernetes.io/service-name: web}},
  addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}], ports: [{name: http, port: 8000}]}
";
    let file = folder.path().join("web.yaml");
    std::fs::write(&file, manifests).unwrap();
    let request = folder.path().join("request.json");
    std::fs::write(&request, "{}").unwrap();
    let words = ["explain", "--config", file.to_str().unwrap(), "--request", request.to_str().unwrap()];
    let text = String::from_utf8(pointsman(&words).stdout).unwrap();
    assert!(text.contains("backend   default/web\nin turn   10.0.0.1:8000, 10.0.0.2:8000\n"), "{text}");
    let json = String::from_utf8(pointsman(&[&words[..], &["--json"]].concat()).stdout).unwrap();
    assert!(json.starts_with("{\n  \"id\": \"offline\",\n  \"at\""), "{json}");
    let told: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(told["in_turn"], serde_json::json!(["10.0.0.1:8000", "10.0.0.2:8000"]));
}

#[test]
fn a_redirect_is_explained_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g}, spec: {gatewayClassName: p,
  listeners: [{name: http, port: 8080, protocol: HTTP}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: moved}, spec: {parentRefs: [{name: g}],
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {hostname: new.example, statusCode: 301}}]}]}}
";
    std::fs::write(folder.path().join("moved.yaml"), manifests).unwrap();
    let request = folder.path().join("request.json");
    std::fs::write(&request, "{}").unwrap();
    let folder = folder.path().join("moved.yaml");
    let words = ["explain", "--config", folder.to_str().unwrap(), "--request", request.to_str().unwrap()];
    let told = pointsman(&[&words[..], &["--json"]].concat());
    assert!(told.status.success(), "{told:?}");
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let backend = told["backend"].as_str().unwrap();
    assert!(backend.starts_with("redirect to http://new.example"), "{backend}");
    assert_eq!(told["refusal"], Value::Null);
}
