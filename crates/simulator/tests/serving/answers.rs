//! What a sound request and a bad one get.

use http::StatusCode;
use serde_json::json;
use simulator::{Config, ENDPOINT_HEADER};

use crate::client::{fast, get, post, start};

const SKY: &str = r#"{"model":"chatbot","messages":[{"role":"user","content":"What is the color of the sky?"}],"max_tokens":100,"temperature":0}"#;

#[tokio::test]
async fn a_chat_completion_has_words_usage_and_the_models_name() {
    let (_, address) = start(fast()).await;
    let answer = post(address, "/v1/chat/completions", SKY).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers[ENDPOINT_HEADER], address.to_string());
    let body = answer.json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "chatbot");
    let choice = &body["choices"][0];
    let text = choice["message"]["content"].as_str().expect("text");
    assert!(text.starts_with("Simulated answer of chatbot at 127.0.0.1:"), "{text}");
    assert!(text.contains("The sky is blue"), "{text}");
    assert!(text.ends_with('.'), "{text}");
    assert_eq!(choice["finish_reason"], "stop");
    let words = text.split(' ').count() as u64;
    assert_eq!(body["usage"]["completion_tokens"], words);
    assert_eq!(body["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    let total = body["usage"]["prompt_tokens"].as_u64().expect("a count") + words;
    assert_eq!(body["usage"]["total_tokens"], total);
}

#[tokio::test]
async fn a_stream_says_the_same_word_by_word() {
    let (_, address) = start(fast()).await;
    let whole = post(address, "/v1/chat/completions", SKY).await.json();
    let streamed = SKY.replace("}],", r#"}],"stream":true,"stream_options":{"include_usage":true},"#);
    let answer = post(address, "/v1/chat/completions", &streamed).await;
    assert_eq!(answer.headers["content-type"], "text/event-stream; charset=utf-8");
    let events = answer.events();
    let text: String =
        events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(whole["choices"][0]["message"]["content"], text);
    let [.., last, usage] = &events[..] else { panic!("{events:?}") };
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], whole["usage"]["completion_tokens"]);
}

#[tokio::test]
async fn an_unknown_model_is_not_found_in_vllms_shape() {
    let (_, address) = start(fast()).await;
    let answer = post(address, "/v1/completions", r#"{"model":"nobody","prompt":"hi"}"#).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let error = json!({
        "message": "The model `nobody` does not exist.",
        "type": "NotFoundError",
        "param": "model",
        "code": 404,
    });
    assert_eq!(answer.json(), json!({"error": error}));
}

#[tokio::test]
async fn the_metrics_page_counts_what_was_answered() {
    let (_, address) = start(Config { adapters: vec!["tuned".into()], ..fast() }).await;
    post(address, "/v1/chat/completions", SKY).await;
    let page = get(address, "/metrics").await;
    for line in [
        r#"vllm:num_requests_waiting{engine="0",model_name="chatbot"} 0.0"#,
        r#"vllm:request_success_total{engine="0",model_name="chatbot",finished_reason="stop"} 1.0"#,
        r#"vllm:time_to_first_token_seconds_count{engine="0",model_name="chatbot"} 1.0"#,
    ] {
        assert!(page.text().lines().any(|found| found == line), "{line} in\n{}", page.text());
    }
}
