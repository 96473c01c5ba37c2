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

#[tokio::test]
async fn a_prompt_sent_twice_is_cached() {
    let (simulator, address) = start(fast()).await;
    let body = format!(r#"{{"prompt":"{}","max_tokens":1}}"#, "word ".repeat(100));
    post(address, "/v1/completions", &body).await;
    let again = post(address, "/v1/completions", &body).await.json();
    // 502 bytes with the quotes: 126 tokens, 7 whole blocks of 16.
    assert_eq!(again["usage"]["prompt_tokens"], 126);
    assert_eq!(again["usage"]["prompt_tokens_details"]["cached_tokens"], 112);
    assert_eq!(again["choices"][0]["finish_reason"], "length");
    assert_eq!(simulator.counters().prefix_hits, 112);
}

#[tokio::test]
async fn ignore_eos_goes_to_the_limit() {
    let (_, address) = start(fast()).await;
    let body = r#"{"prompt":"hi","max_tokens":500,"ignore_eos":true}"#;
    let answer = post(address, "/v1/completions", body).await.json();
    assert_eq!(answer["usage"]["completion_tokens"], 500);
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn a_long_stream_has_every_token() {
    let (_, address) = start(fast()).await;
    let body = r#"{"prompt":"hi","max_tokens":1000,"ignore_eos":true,"stream":true}"#;
    let events = post(address, "/v1/completions", body).await.events();
    let words = events.iter().filter(|event| event["choices"][0]["text"] != "").count();
    assert_eq!(words, 1000);
}

#[tokio::test]
async fn embeddings_are_numbers_and_the_same_again() {
    let (_, address) = start(fast()).await;
    let body = r#"{"model":"chatbot","input":"a text"}"#;
    let one = post(address, "/v1/embeddings", body).await.json();
    let two = post(address, "/v1/embeddings", body).await.json();
    let other = post(address, "/v1/embeddings", r#"{"model":"chatbot","input":"b text"}"#).await.json();
    assert!(one["data"][0]["embedding"][0].is_f64());
    assert_eq!(one["data"], two["data"]);
    assert_ne!(one["data"], other["data"]);
}

#[tokio::test]
async fn responses_answer_in_their_shape() {
    let (_, address) = start(fast()).await;
    let whole = post(address, "/v1/responses", r#"{"model":"chatbot","input":"hi"}"#).await.json();
    assert_eq!(whole["status"], "completed");
    let text = whole["output"][0]["content"][0]["text"].as_str().expect("text");
    assert_eq!(whole["usage"]["output_tokens"], text.split(' ').count());
    let stream =
        post(address, "/v1/responses", r#"{"input":"hi","stream":true,"max_output_tokens":5}"#).await;
    let names: Vec<&str> = stream.text().lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(names.first(), Some(&"response.created"));
    assert_eq!(names.iter().filter(|name| **name == "response.output_text.delta").count(), 5);
    assert_eq!(names.last(), Some(&"response.incomplete"));
}

#[tokio::test]
async fn messages_answer_in_their_shape() {
    let (_, address) = start(fast()).await;
    let body = r#"{"model":"chatbot","max_tokens":7,"system":"be brief","messages":[{"role":"user","content":"hi"}]}"#;
    let whole = post(address, "/v1/messages", body).await.json();
    assert_eq!(whole["stop_reason"], "max_tokens");
    assert_eq!(whole["usage"]["output_tokens"], 7);
    let stream = post(address, "/v1/messages", &body.replacen('{', r#"{"stream":true,"#, 1)).await;
    let names: Vec<&str> = stream.text().lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(names[..3], ["message_start", "content_block_start", "content_block_delta"]);
    assert_eq!(names[names.len() - 3..], ["content_block_stop", "message_delta", "message_stop"]);
    assert_eq!(names.len(), 7 + 5);
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let (simulator, address) = start(Config { body_bytes_max: 1000, ..fast() }).await;
    let long = format!(r#"{{"prompt":"{}"}}"#, "x".repeat(1000));
    let table = [
        ("/v1/chat/completions", "not json", StatusCode::BAD_REQUEST),
        ("/v1/chat/completions", r#"{"prompt":"no messages"}"#, StatusCode::BAD_REQUEST),
        ("/v1/completions", r#"{"prompt":"hi","max_tokens":0}"#, StatusCode::BAD_REQUEST),
        ("/v1/completions", r#"{"prompt":"hi","max_tokens":4000000}"#, StatusCode::OK),
        (
            "/v1/completions",
            r#"{"prompt":"hi","max_tokens":4000000,"ignore_eos":true}"#,
            StatusCode::BAD_REQUEST,
        ),
        ("/v1/completions", &long, StatusCode::PAYLOAD_TOO_LARGE),
        ("/v1/nothing", "{}", StatusCode::NOT_FOUND),
    ];
    for (path, body, status) in table {
        let answer = post(address, path, body).await;
        assert_eq!(answer.status, status, "{path} {body}");
        if status == StatusCode::BAD_REQUEST {
            assert_eq!(answer.json()["error"]["code"], 400);
        }
    }
    assert_eq!(get(address, "/v1/completions").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(simulator.counters().finished, 1);
}

#[tokio::test]
async fn an_instant_server_answers_the_same_to_all() {
    let (simulator, address) = start(Config { instant: true, ..fast() }).await;
    let answer = post(address, "/v1/chat/completions", SKY).await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Simulated.");
    assert_eq!(simulator.counters().finished, 0);
}

#[tokio::test]
async fn two_hundred_servers_share_one_thread() {
    let mut servers = Vec::new();
    for _ in 0..200 {
        servers.push(start(fast()).await.1);
    }
    let answers = servers
        .iter()
        .map(|&address| tokio::spawn(async move { post(address, "/v1/chat/completions", SKY).await.status }));
    for answer in answers.collect::<Vec<_>>() {
        assert_eq!(answer.await.expect("no panic"), StatusCode::OK);
    }
}
