//! The APIs spoken: what a request asks for, and the shape of its answer. One file per dialect.

mod chat;
mod completions;
mod embeddings;
mod messages;
mod responses;

use std::borrow::Cow;
use std::io::Write as _;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::instance::Progress;

/// An API, told by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Chat,
    Completions,
    Embeddings,
    Responses,
    Messages,
}

impl Dialect {
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        match path {
            "/v1/chat/completions" => Some(Self::Chat),
            "/v1/completions" => Some(Self::Completions),
            "/v1/embeddings" => Some(Self::Embeddings),
            "/v1/responses" => Some(Self::Responses),
            "/v1/messages" => Some(Self::Messages),
            _ => None,
        }
    }

    /// What an answer's id begins with.
    fn id_prefix(self) -> &'static str {
        match self {
            Self::Chat => "chatcmpl-",
            Self::Completions => "cmpl-",
            Self::Embeddings => "embd-",
            Self::Responses => "resp_",
            Self::Messages => "msg_",
        }
    }
}

/// The fields of a request's body that matter here, over every dialect.
#[derive(Debug, Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    instructions: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    max_output_tokens: Option<u32>,
    ignore_eos: Option<bool>,
    #[serde(borrow)]
    cache_salt: Option<Cow<'a, str>>,
}

#[derive(Debug, Default, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ask<'a> {
    /// The model asked for; `None` means the base model.
    pub(crate) model: Option<Cow<'a, str>>,
    /// The prompt's bytes in the order in which a chat template would place them.
    pub(crate) prompt: Cow<'a, [u8]>,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) max_tokens: Option<u32>,
    pub(crate) ignore_eos: bool,
    pub(crate) cache_salt: Option<Cow<'a, str>>,
}

/// A body that asks for nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadAsk {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("the field `{0}` is required")]
    Missing(&'static str),
    #[error("`{0}` must be at least 1")]
    NoTokens(&'static str),
}

impl<'a> Ask<'a> {
    pub(crate) fn parse(dialect: Dialect, body: &'a [u8]) -> Result<Self, BadAsk> {
        let fields: Fields<'a> = serde_json::from_slice(body)?;
        let (name, main) = match dialect {
            Dialect::Chat | Dialect::Messages => ("messages", fields.messages),
            Dialect::Completions => ("prompt", fields.prompt),
            Dialect::Embeddings | Dialect::Responses => ("input", fields.input),
        };
        let main = main.ok_or(BadAsk::Missing(name))?;
        let before = [fields.tools, fields.system, fields.instructions].into_iter().flatten();
        let mut parts: Vec<&'a str> = before.map(RawValue::get).collect();
        parts.push(main.get());
        let prompt = match parts[..] {
            [one] => Cow::Borrowed(one.as_bytes()),
            _ => Cow::Owned(parts.concat().into_bytes()),
        };
        let max_tokens = fields.max_completion_tokens.or(fields.max_tokens).or(fields.max_output_tokens);
        if max_tokens == Some(0) {
            return Err(BadAsk::NoTokens("max_tokens"));
        }
        Ok(Self {
            model: fields.model,
            prompt,
            stream: fields.stream.unwrap_or(false) && dialect != Dialect::Embeddings,
            include_usage: fields.stream_options.unwrap_or_default().include_usage.unwrap_or(false),
            max_tokens,
            ignore_eos: fields.ignore_eos.unwrap_or(false),
            cache_salt: fields.cache_salt,
        })
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// Of itself.
    Stop,
    /// At the request's limit.
    Length,
}

impl Finish {
    fn openai(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// Writes one answer in its dialect.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) dialect: Dialect,
    pub(crate) id: String,
    /// Unix seconds.
    pub(crate) created: u64,
    /// The model as it was asked for.
    pub(crate) model: String,
    pub(crate) finish: Finish,
    pub(crate) prompt_tokens: u32,
    /// The same for the same prompt.
    pub(crate) seed: u64,
    pub(crate) include_usage: bool,
}

impl Writer {
    pub(crate) fn id(dialect: Dialect, random: &mut fastrand::Rng) -> String {
        format!("{}{:032x}", dialect.id_prefix(), random.u128(..))
    }

    /// The whole answer.
    pub(crate) fn whole(&self, text: &str, progress: Progress) -> Vec<u8> {
        let value = match self.dialect {
            Dialect::Chat => chat::whole(self, text, progress),
            Dialect::Completions => completions::whole(self, text, progress),
            Dialect::Embeddings => embeddings::whole(self),
            Dialect::Responses => responses::whole(self, text, progress),
            Dialect::Messages => messages::whole(self, text, progress),
        };
        value.to_string().into_bytes()
    }

    /// What a stream says before its first token.
    pub(crate) fn start(&mut self, out: &mut Vec<u8>, cached: u32) {
        match self.dialect {
            Dialect::Chat => chat::start(self, out),
            Dialect::Messages => messages::start(self, out, cached),
            Dialect::Responses => responses::start(self, out),
            Dialect::Completions | Dialect::Embeddings => {}
        }
    }

    /// One token of a stream.
    pub(crate) fn delta(&mut self, out: &mut Vec<u8>, word: &str) {
        match self.dialect {
            Dialect::Chat => chat::delta(self, out, word),
            Dialect::Completions | Dialect::Embeddings => completions::delta(self, out, word),
            Dialect::Responses => responses::delta(self, out, word),
            Dialect::Messages => messages::delta(out, word),
        }
    }

    /// What a stream says after its last token.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>, progress: Progress) {
        match self.dialect {
            Dialect::Chat => chat::end(self, out, progress),
            Dialect::Completions | Dialect::Embeddings => completions::end(self, out, progress),
            Dialect::Responses => responses::end(self, out, progress),
            Dialect::Messages => messages::end(self, out, progress),
        }
    }

    /// `usage` as OpenAI's completions give it.
    fn usage(&self, progress: Progress) -> Value {
        serde_json::json!({
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.prompt_tokens + progress.generated,
            "completion_tokens": progress.generated,
            "prompt_tokens_details": {"cached_tokens": progress.cached},
        })
    }

    /// The last chunk of a stream that asked for its usage: no choice, only the counts.
    fn usage_chunk(&self, object: &str, progress: Progress) -> Value {
        serde_json::json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "choices": [],
            "usage": self.usage(progress),
        })
    }
}

/// One event of OpenAI's completions: data alone.
fn data(out: &mut Vec<u8>, value: &Value) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "data: {value}\n\n");
}

/// One named event, as Anthropic's messages and OpenAI's responses have them; the name stands in the data too.
fn event(out: &mut Vec<u8>, value: &Value) {
    let name = value["type"].as_str().unwrap_or("");
    let _ = write!(out, "event: {name}\ndata: {value}\n\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_prompt_is_what_a_chat_template_would_place_in_its_order() {
        let body = br#"{"messages":["m"],"stream":true,"system":"s","tools":["t"],"max_tokens":3}"#;
        let ask = Ask::parse(Dialect::Messages, body).expect("sound");
        assert_eq!(&*ask.prompt, br#"["t"]"s"["m"]"#);
        assert!(ask.stream && !ask.include_usage);
        assert_eq!(ask.max_tokens, Some(3));
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            for dialect in [Dialect::Chat, Dialect::Completions, Dialect::Embeddings, Dialect::Responses] {
                let _ = Ask::parse(dialect, &body);
            }
        }
    }
}
