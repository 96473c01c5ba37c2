//! Anthropic messages, as vLLM answers them: events that name themselves, no `[DONE]`.

use serde_json::{Value, json};

use super::{Finish, Writer, event};
use crate::instance::Progress;

pub(super) fn whole(writer: &Writer, text: &str, progress: Progress) -> Value {
    let mut value = message(writer, progress.cached, progress.generated);
    value["content"] = json!([{"type": "text", "text": text}]);
    value["stop_reason"] = stop_reason(writer.finish).into();
    value
}

pub(super) fn start(writer: &Writer, out: &mut Vec<u8>, cached: u32) {
    event(out, &json!({"type": "message_start", "message": message(writer, cached, 0)}));
    let block = json!({"type": "text", "text": ""});
    event(out, &json!({"type": "content_block_start", "index": 0, "content_block": block}));
}

pub(super) fn delta(out: &mut Vec<u8>, word: &str) {
    let delta = json!({"type": "text_delta", "text": word});
    event(out, &json!({"type": "content_block_delta", "index": 0, "delta": delta}));
}

pub(super) fn end(writer: &Writer, out: &mut Vec<u8>, progress: Progress) {
    event(out, &json!({"type": "content_block_stop", "index": 0}));
    let delta = json!({"stop_reason": stop_reason(writer.finish), "stop_sequence": null});
    let usage = usage(writer, progress.cached, progress.generated);
    event(out, &json!({"type": "message_delta", "delta": delta, "usage": usage}));
    event(out, &json!({"type": "message_stop"}));
}

fn message(writer: &Writer, cached: u32, generated: u32) -> Value {
    json!({
        "id": writer.id,
        "type": "message",
        "role": "assistant",
        "model": writer.model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": usage(writer, cached, generated),
    })
}

/// Anthropic counts the cached tokens beside `input_tokens`, not within them.
fn usage(writer: &Writer, cached: u32, generated: u32) -> Value {
    json!({
        "input_tokens": writer.prompt_tokens - cached,
        "cache_read_input_tokens": cached,
        "output_tokens": generated,
    })
}

fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
    }
}
