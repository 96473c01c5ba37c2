//! OpenAI chat completions, as vLLM answers them.

use std::io::Write as _;

use serde_json::{Value, json};

use super::{Writer, data};
use crate::instance::Progress;

const CHUNK: &str = "chat.completion.chunk";

pub(super) fn whole(writer: &Writer, text: &str, progress: Progress) -> Value {
    json!({
        "id": writer.id,
        "object": "chat.completion",
        "created": writer.created,
        "model": writer.model,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text, "tool_calls": []},
            "logprobs": null,
            "finish_reason": writer.finish.openai(),
            "stop_reason": null,
        }],
        "usage": writer.usage(progress),
    })
}

pub(super) fn start(writer: &Writer, out: &mut Vec<u8>) {
    chunk(writer, out, &json!({"role": "assistant", "content": ""}), None);
}

/// Written by hand: it is most of what a stream costs.
pub(super) fn delta(writer: &Writer, out: &mut Vec<u8>, word: &str) {
    // Names come from requests: both are escaped. Writing to a Vec cannot fail.
    let (model, word) = (Value::from(&*writer.model), Value::from(word));
    let _ = write!(
        out,
        "data: {{\"id\":\"{}\",\"object\":\"{CHUNK}\",\"created\":{},\"model\":{model},\"choices\":\
         [{{\"index\":0,\"delta\":{{\"content\":{word}}},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n",
        writer.id, writer.created
    );
}

pub(super) fn end(writer: &Writer, out: &mut Vec<u8>, progress: Progress) {
    chunk(writer, out, &json!({"content": ""}), Some(writer.finish.openai()));
    if writer.include_usage {
        data(out, &writer.usage_chunk(CHUNK, progress));
    }
    out.extend_from_slice(b"data: [DONE]\n\n");
}

fn chunk(writer: &Writer, out: &mut Vec<u8>, delta: &Value, finish_reason: Option<&str>) {
    let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
    data(
        out,
        &json!({
            "id": writer.id,
            "object": CHUNK,
            "created": writer.created,
            "model": writer.model,
            "choices": [choice],
        }),
    );
}
