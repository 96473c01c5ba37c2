//! LoRA adapters: served by name, loaded and unloaded at run time.

use http::StatusCode;
use simulator::Config;

use crate::client::{begin, fast, get, post, start, until};

#[tokio::test]
async fn an_adapter_is_a_model_of_its_own() {
    let (_, address) = start(Config { adapters: vec!["tuned".into()], ..fast() }).await;
    let models = get(address, "/v1/models").await.json();
    assert_eq!(models["data"][0]["id"], "chatbot");
    assert_eq!(models["data"][1]["id"], "tuned");
    assert_eq!(models["data"][1]["parent"], "chatbot");
    let answer = post(address, "/v1/completions", r#"{"model":"tuned","prompt":"hi"}"#).await.json();
    assert_eq!(answer["model"], "tuned");
}

#[tokio::test]
async fn an_adapter_shares_no_blocks_with_its_base() {
    let (_, address) = start(Config { adapters: vec!["tuned".into()], ..fast() }).await;
    let prompt = "a long beginning ".repeat(20);
    let cached = async |model: &str| {
        let body = format!(r#"{{"model":"{model}","prompt":"{prompt}"}}"#);
        let answer = post(address, "/v1/completions", &body).await.json();
        answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().expect("a count")
    };
    assert_eq!(cached("chatbot").await, 0);
    assert_eq!(cached("tuned").await, 0);
    assert_eq!(cached("chatbot").await, 80);
    assert_eq!(cached("tuned").await, 80);
}

#[tokio::test]
async fn an_adapter_comes_and_goes_at_run_time() {
    let (_, address) = start(fast()).await;
    let load = r#"{"lora_name":"tuned","lora_path":"/adapters/tuned"}"#;
    let ask = r#"{"model":"tuned","prompt":"hi"}"#;
    assert_eq!(post(address, "/v1/completions", ask).await.status, StatusCode::NOT_FOUND);
    let loaded = post(address, "/v1/load_lora_adapter", load).await;
    assert_eq!(loaded.text(), "Success: LoRA adapter 'tuned' added successfully.");
    assert_eq!(post(address, "/v1/load_lora_adapter", load).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(post(address, "/v1/completions", ask).await.status, StatusCode::OK);
    assert_eq!(post(address, "/v1/unload_lora_adapter", load).await.status, StatusCode::OK);
    assert_eq!(post(address, "/v1/unload_lora_adapter", load).await.status, StatusCode::NOT_FOUND);
    assert_eq!(post(address, "/v1/completions", ask).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_page_names_running_and_waiting_adapters() {
    let adapters = vec!["one".into(), "two".into()];
    let config = Config { adapters, max_loras: 1, lora_load_milliseconds: 0, speed: 1e-3, ..fast() };
    let (simulator, address) = start(config).await;
    let ask = |model: &str| {
        let body = format!(r#"{{"model":"{model}","prompt":"hi"}}"#);
        tokio::spawn(async move { begin(address, http::Method::POST, "/v1/completions", &body).await })
    };
    let _one = ask("one");
    until(|| simulator.load().running == 1).await;
    let _two = ask("two");
    until(|| simulator.load().waiting == 1).await;
    let page = get(address, "/metrics").await;
    let told =
        r#"vllm:lora_requests_info{max_lora="1",running_lora_adapters="one",waiting_lora_adapters="two"} "#;
    assert!(page.text().lines().any(|line| line.starts_with(told)), "{}", page.text());
}
