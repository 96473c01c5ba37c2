//! One request and its answer.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use engine::{AdapterId, Prompt};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;

use crate::body::{Bend, Body, Cut, TokenStream};
use crate::config::EngineKind;
use crate::connection::Misbehaviour;
use crate::dialects::{Ask, Dialect, Finish, Writer};
use crate::fault::Fault;
use crate::instance::Instance;
use crate::metrics;
use crate::text::{Answer, mix};

/// The response header that tells which simulated endpoint answered.
pub const ENDPOINT_HEADER: &str = "x-pointsman-sim-endpoint";

/// What every `instant` server answers to every POST.
const INSTANT_ANSWER: &str = r#"{"id":"chatcmpl-0","object":"chat.completion","created":0,"model":"simulated","choices":[{"index":0,"message":{"role":"assistant","content":"Simulated."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"total_tokens":2,"completion_tokens":1}}"#;

/// The server and the connection that a request came by.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) instance: Arc<Instance>,
    pub(crate) misbehaviour: Arc<Misbehaviour>,
}

/// Why an exchange ends early.
#[derive(Debug)]
enum Refusal {
    /// An error of the API, in vLLM's shape.
    Api { status: StatusCode, kind: &'static str, param: Option<&'static str>, message: String },
    /// An error of the web framework under vLLM, in its shape.
    Web { status: StatusCode, detail: &'static str },
    /// No answer: the connection is reset.
    Reset,
}

impl Refusal {
    fn api(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self::Api { status, kind, param: None, message: message.into() }
    }

    fn bad_request(message: impl Into<String>) -> Self {
        Self::api(StatusCode::BAD_REQUEST, "Bad Request", message)
    }

    const METHOD: Self = Self::Web { status: StatusCode::METHOD_NOT_ALLOWED, detail: "Method Not Allowed" };
    const PATH: Self = Self::Web { status: StatusCode::NOT_FOUND, detail: "Not Found" };
}

impl Exchange {
    /// The answer; an error ends the connection without one.
    pub(crate) async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let mut response = match self.dispatch(request).await {
            Ok(response) => response,
            Err(refusal) => self.refuse(&refusal)?,
        };
        if let Ok(endpoint) = HeaderValue::from_str(self.instance.endpoint()) {
            response.headers_mut().insert(HeaderName::from_static(ENDPOINT_HEADER), endpoint);
        }
        Ok(response)
    }

    async fn dispatch(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let (head, body) = request.into_parts();
        let body = self.read(body).await?;
        let path = head.uri.path();
        if path == "/sim/fault" {
            return self.set_faults(&head.method, &body);
        }
        if self.instance.with_faults(|faults| faults.hangs()) {
            std::future::pending::<()>().await;
        }
        if self.instance.config.instant && head.method == Method::POST {
            return Ok(self.json(StatusCode::OK, Bytes::from_static(INSTANT_ANSWER.as_bytes())));
        }
        if let Some(dialect) = Dialect::of_path(path) {
            return match head.method {
                Method::POST => self.infer(dialect, &body).await,
                _ => Err(Refusal::METHOD),
            };
        }
        match (head.method, path) {
            (Method::GET, "/health") => Ok(self.plain(StatusCode::OK, "text/plain", "")),
            (Method::GET, "/v1/models") => Ok(self.models()),
            (Method::GET, "/metrics" | "/prometheus/metrics")
                if self.instance.config.engine != EngineKind::None =>
            {
                let page = metrics::page(&self.instance);
                Ok(self.plain(StatusCode::OK, metrics::CONTENT_TYPE, page))
            }
            (Method::POST, "/v1/load_lora_adapter") => self.load_adapter(&body),
            (Method::POST, "/v1/unload_lora_adapter") => self.unload_adapter(&body),
            _ => Err(Refusal::PATH),
        }
    }

    /// The whole body, or why not. A client that vanishes ends the exchange.
    async fn read(&self, body: Incoming) -> Result<Bytes, Refusal> {
        let limit = self.instance.config.body_bytes_max;
        match Limited::new(body, limit).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                let message = format!("the body has more than {limit} bytes");
                Err(Refusal::api(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large", message))
            }
            Err(error) => Err(Refusal::bad_request(error.to_string())),
        }
    }

    /// Answers a request for tokens.
    async fn infer(&self, dialect: Dialect, body: &[u8]) -> Result<Response<Body>, Refusal> {
        self.fail_on_demand()?;
        if let Some(delay) = self.instance.with_faults(|faults| faults.slow_headers()) {
            tokio::time::sleep(delay).await;
        }
        let ask = Ask::parse(dialect, body).map_err(|error| Refusal::bad_request(error.to_string()))?;
        let (model, adapter) = self.model(&ask)?;
        let salt = salt(adapter, ask.cache_salt.as_deref());
        let config = &self.instance.config;
        let prompt = Prompt::from_bytes(&ask.prompt, salt, config.block_tokens);
        let (prompt_tokens, seed) = (prompt.tokens(), seed(&prompt, &ask.prompt));
        let words = Answer::new(&model, self.instance.endpoint(), &ask.prompt, seed, config.answer_tokens);
        let (output_tokens, finish) = output(dialect, &ask, &words);
        let request = engine::Request { prompt, output_tokens, adapter };
        let ticket = self.instance.submit(request, finish).map_err(|refused| {
            Refusal::api(StatusCode::BAD_REQUEST, "BadRequestError", refused.to_string())
        })?;
        let writer = Writer {
            dialect,
            id: self.instance.random(|random| Writer::id(dialect, random)),
            created: unix_seconds(),
            model,
            finish,
            prompt_tokens,
            seed,
            include_usage: ask.include_usage,
        };
        if ask.stream {
            let stream = TokenStream { ticket, writer, words, sent: 0 };
            let body = Body::stream(stream, self.bend(), self.misbehaviour.clone());
            return Ok(with_type(StatusCode::OK, "text/event-stream; charset=utf-8", body));
        }
        let reset_at = self.instance.with_faults(|faults| faults.reset_after_tokens());
        let progress = ticket.reaches(reset_at.unwrap_or(u32::MAX)).await;
        if reset_at.is_some_and(|tokens| tokens <= progress.generated) {
            return Err(Refusal::Reset);
        }
        let text = words.text(progress.generated);
        Ok(self.json(StatusCode::OK, writer.whole(&text, progress)))
    }

    /// The status fault.
    fn fail_on_demand(&self) -> Result<(), Refusal> {
        let roll = self.instance.random(fastrand::Rng::f64);
        match self.instance.with_faults(|faults| faults.status(roll)) {
            None => Ok(()),
            Some(code) => {
                let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                Err(Refusal::api(status, "InternalServerError", "a fault was asked for"))
            }
        }
    }

    /// The model that is asked for, as it is echoed, and its adapter.
    fn model(&self, ask: &Ask<'_>) -> Result<(String, Option<AdapterId>), Refusal> {
        let base = &self.instance.config.model;
        match ask.model.as_deref() {
            None => Ok((base.clone(), None)),
            Some(name) if name == base => Ok((base.clone(), None)),
            Some(name) => match self.instance.adapter(name) {
                Some(adapter) => Ok((name.into(), Some(adapter))),
                None => {
                    let message = format!("The model `{name}` does not exist.");
                    Err(Refusal::Api {
                        status: StatusCode::NOT_FOUND,
                        kind: "NotFoundError",
                        param: Some("model"),
                        message,
                    })
                }
            },
        }
    }

    fn models(&self) -> Response<Body> {
        let base = &self.instance.config.model;
        let card = |name: &str, parent: Option<&str>| {
            json!({
                "id": name,
                "object": "model",
                "created": 0,
                "owned_by": "pointsman-sim",
                "root": name,
                "parent": parent,
            })
        };
        let mut data = vec![card(base, None)];
        data.extend(self.instance.adapter_names().iter().map(|name| card(name, Some(base))));
        self.json(StatusCode::OK, json!({"object": "list", "data": data}).to_string())
    }

    fn load_adapter(&self, body: &[u8]) -> Result<Response<Body>, Refusal> {
        let name = self.adapter_name(body)?;
        match self.instance.add_adapter(&name) {
            Some(()) => {
                let text = format!("Success: LoRA adapter '{name}' added successfully.");
                Ok(self.plain(StatusCode::OK, "text/plain; charset=utf-8", text))
            }
            None => {
                let message = format!("The lora adapter '{name}' has already been loaded.");
                Err(Refusal::api(StatusCode::BAD_REQUEST, "InvalidUserInput", message))
            }
        }
    }

    fn unload_adapter(&self, body: &[u8]) -> Result<Response<Body>, Refusal> {
        let name = self.adapter_name(body)?;
        match self.instance.remove_adapter(&name) {
            Some(()) => {
                let text = format!("Success: LoRA adapter '{name}' removed successfully.");
                Ok(self.plain(StatusCode::OK, "text/plain; charset=utf-8", text))
            }
            None => {
                let message = format!("The lora adapter '{name}' cannot be found.");
                Err(Refusal::api(StatusCode::NOT_FOUND, "NotFoundError", message))
            }
        }
    }

    fn adapter_name(&self, body: &[u8]) -> Result<String, Refusal> {
        #[derive(Deserialize)]
        struct Fields {
            lora_name: String,
        }
        let fields: Fields = serde_json::from_slice(body)
            .map_err(|error| Refusal::api(StatusCode::BAD_REQUEST, "InvalidUserInput", error.to_string()))?;
        Ok(fields.lora_name)
    }

    fn set_faults(&self, method: &Method, body: &[u8]) -> Result<Response<Body>, Refusal> {
        if method != Method::POST {
            return Err(Refusal::METHOD);
        }
        let faults: Vec<Fault> =
            serde_json::from_slice(body).map_err(|error| Refusal::bad_request(error.to_string()))?;
        self.instance.set_faults(faults);
        Ok(self.json(StatusCode::OK, "{}"))
    }

    fn bend(&self) -> Bend {
        self.instance.with_faults(|faults| Bend {
            drop_after_bytes: faults.drop_after_bytes(),
            reset_after_tokens: faults.reset_after_tokens(),
            excess_bytes: faults.excess_bytes(),
        })
    }

    fn json(&self, status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
        let body = Body::whole(text, self.bend(), self.misbehaviour.clone());
        with_type(status, "application/json", body)
    }

    fn plain(
        &self,
        status: StatusCode,
        content_type: &'static str,
        text: impl Into<Bytes>,
    ) -> Response<Body> {
        with_type(status, content_type, Body::whole(text, Bend::default(), self.misbehaviour.clone()))
    }

    fn refuse(&self, refusal: &Refusal) -> Result<Response<Body>, Cut> {
        match refusal {
            Refusal::Api { status, kind, param, message } => {
                let error =
                    json!({"message": message, "type": kind, "param": param, "code": status.as_u16()});
                Ok(self.json(*status, json!({"error": error}).to_string()))
            }
            Refusal::Web { status, detail } => Ok(self.json(*status, json!({"detail": detail}).to_string())),
            Refusal::Reset => {
                self.misbehaviour.end_in_reset();
                Err(Cut)
            }
        }
    }
}

fn with_type(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// How many tokens an answer has, and why it ends there.
fn output(dialect: Dialect, ask: &Ask<'_>, words: &Answer) -> (u32, Finish) {
    let natural = words.natural_tokens();
    match ask.max_tokens {
        _ if dialect == Dialect::Embeddings => (1, Finish::Stop),
        Some(limit) if ask.ignore_eos || limit < natural => (limit, Finish::Length),
        _ => (natural, Finish::Stop),
    }
}

/// Keeps the blocks of different adapters and tenants apart.
fn salt(adapter: Option<AdapterId>, cache_salt: Option<&str>) -> u64 {
    mix(adapter.map_or(0, |adapter| u64::from(adapter.0) + 1), cache_salt.unwrap_or("").as_bytes())
}

/// The same for the same prompt: its whole blocks, and what follows them.
fn seed(prompt: &Prompt, text: &[u8]) -> u64 {
    let blocks = prompt.blocks().last().copied().unwrap_or(0);
    mix(blocks, &text[text.len().saturating_sub(TAIL_BYTES)..])
}

/// At least what lies beyond the last whole block of any usual block size; hashing more would cost for nothing.
const TAIL_BYTES: usize = 1024;

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
