//! OpenAI embeddings: eight numbers, the same for the same text.

use serde_json::{Value, json};

use super::Writer;

pub(super) fn whole(writer: &Writer) -> Value {
    let mut random = fastrand::Rng::with_seed(writer.seed);
    let embedding: Vec<f64> = (0..8).map(|_| random.f64() * 2.0 - 1.0).collect();
    json!({
        "id": writer.id,
        "object": "list",
        "created": writer.created,
        "model": writer.model,
        "data": [{"index": 0, "object": "embedding", "embedding": embedding}],
        "usage": {
            "prompt_tokens": writer.prompt_tokens,
            "total_tokens": writer.prompt_tokens,
            "completion_tokens": 0,
        },
    })
}
