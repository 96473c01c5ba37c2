//! OpenAI responses: one message of text; a stream of its beginning, its words and its end.

use serde_json::{Value, json};

use super::{Finish, Writer, event};
use crate::instance::Progress;

pub(super) fn whole(writer: &Writer, text: &str, progress: Progress) -> Value {
    let mut value = response(writer, status(writer.finish));
    value["output"] = json!([{
        "id": item_id(writer),
        "type": "message",
        "role": "assistant",
        "status": status(writer.finish),
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }]);
    finish(&mut value, writer, progress);
    value
}

pub(super) fn start(writer: &Writer, out: &mut Vec<u8>) {
    event(out, &json!({"type": "response.created", "response": response(writer, "in_progress")}));
}

pub(super) fn delta(writer: &Writer, out: &mut Vec<u8>, word: &str) {
    event(
        out,
        &json!({
            "type": "response.output_text.delta",
            "item_id": item_id(writer),
            "output_index": 0,
            "content_index": 0,
            "delta": word,
        }),
    );
}

pub(super) fn end(writer: &Writer, out: &mut Vec<u8>, progress: Progress) {
    let mut value = response(writer, status(writer.finish));
    finish(&mut value, writer, progress);
    event(out, &json!({"type": format!("response.{}", status(writer.finish)), "response": value}));
}

fn response(writer: &Writer, status: &str) -> Value {
    json!({
        "id": writer.id,
        "object": "response",
        "created_at": writer.created,
        "status": status,
        "error": null,
        "incomplete_details": null,
        "model": writer.model,
        "output": [],
        "usage": null,
    })
}

fn finish(value: &mut Value, writer: &Writer, progress: Progress) {
    if writer.finish == Finish::Length {
        value["incomplete_details"] = json!({"reason": "max_output_tokens"});
    }
    value["usage"] = json!({
        "input_tokens": writer.prompt_tokens,
        "input_tokens_details": {"cached_tokens": progress.cached},
        "output_tokens": progress.generated,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": writer.prompt_tokens + progress.generated,
    });
}

fn status(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "completed",
        Finish::Length => "incomplete",
    }
}

fn item_id(writer: &Writer) -> String {
    writer.id.replacen("resp_", "msg_", 1)
}
