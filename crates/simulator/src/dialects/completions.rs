//! OpenAI completions, as vLLM answers them.

use serde_json::{Value, json};

use super::{Writer, data};
use crate::instance::Progress;

const OBJECT: &str = "text_completion";

pub(super) fn whole(writer: &Writer, text: &str, progress: Progress) -> Value {
    let mut value = object(writer, text, Some(writer.finish.openai()));
    value["usage"] = writer.usage(progress);
    value
}

pub(super) fn delta(writer: &Writer, out: &mut Vec<u8>, word: &str) {
    data(out, &object(writer, word, None));
}

pub(super) fn end(writer: &Writer, out: &mut Vec<u8>, progress: Progress) {
    data(out, &object(writer, "", Some(writer.finish.openai())));
    if writer.include_usage {
        data(out, &writer.usage_chunk(OBJECT, progress));
    }
    out.extend_from_slice(b"data: [DONE]\n\n");
}

fn object(writer: &Writer, text: &str, finish_reason: Option<&str>) -> Value {
    json!({
        "id": writer.id,
        "object": OBJECT,
        "created": writer.created,
        "model": writer.model,
        "choices": [{
            "index": 0,
            "text": text,
            "logprobs": null,
            "finish_reason": finish_reason,
            "stop_reason": null,
        }],
    })
}
