//! Which fields of a body go to which headers.
//!
//! In: pairs of a field and a header, from configuration. Out: what is asked of the parser, and for each header the fields
//! whose text it may hold. Never: a header by which a message is framed or sent somewhere, nor one that Envoy keeps to itself.
//! Source: GAIE v1.5.0, `pkg/bbr/plugins/bodyfieldtoheader`.

use http::HeaderName;
use journey::headers::{BASE_MODEL_NAME, MODEL_NAME};
use payload::{AskedFields, Field, FieldNameError, FieldNames, FieldValue, InferenceRequest, RequestParser};
use std::sync::Arc;
use telemetry::FieldMiss;

/// Which fields go to which headers; by default `model` to `X-Gateway-Model-Name`.
#[derive(Debug, Clone)]
pub struct FieldHeaders {
    asked: Arc<FieldNames>,
    targets: Vec<Target>,
}

/// A header, and the fields that it may hold: the last one that a body has.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) header: HeaderName,
    pub(super) fields: Vec<Field>,
}

/// Why a field cannot go to a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldHeaderError {
    /// Nobody can send such a header.
    #[error("{header:?} is no header's name")]
    NotAName {
        /// As given.
        header: String,
    },
    /// Others rely on it.
    #[error("no field of a body goes to the header {header:?}: {why}")]
    Reserved {
        /// As given.
        header: String,
        /// What it is for.
        why: &'static str,
    },
    /// The field cannot be read.
    #[error(transparent)]
    Field(#[from] FieldNameError),
}

impl Default for FieldHeaders {
    fn default() -> FieldHeaders {
        let model = Target { header: MODEL_NAME, fields: vec![Field::Model] };
        FieldHeaders { asked: Arc::default(), targets: vec![model] }
    }
}

impl FieldHeaders {
    /// Lets a field go to a header too. Of several for one header the last that a body has a text for counts.
    pub fn add(&mut self, field: &str, header: &str) -> Result<(), FieldHeaderError> {
        if let Some(why) = reserved(header) {
            return Err(FieldHeaderError::Reserved { header: header.to_owned(), why });
        }
        let name = HeaderName::from_bytes(header.as_bytes())
            .map_err(|_| FieldHeaderError::NotAName { header: header.to_owned() })?;
        let field = Arc::make_mut(&mut self.asked).ask(field)?;
        match self.targets.iter_mut().find(|target| target.header == name) {
            Some(target) => {
                target.fields.retain(|before| *before != field);
                target.fields.push(field);
            }
            None => self.targets.push(Target { header: name, fields: vec![field] }),
        }
        Ok(())
    }

    /// The names of the fields that are asked for beside the model.
    pub fn asked(&self) -> &Arc<FieldNames> {
        &self.asked
    }

    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Each field, once.
    pub(super) fn fields(&self) -> impl Iterator<Item = Field> {
        std::iter::once(Field::Model).chain((0..self.asked.iter().len()).map(Field::Asked))
    }

    /// True if nobody but this router may set a header of this name. Servers that pass headers on as CGI variables cannot
    /// tell `_` from `-`, nor upper from lower case.
    pub(super) fn is_ours(&self, name: &[u8]) -> bool {
        is_name(name, BASE_MODEL_NAME.as_str())
            || self.targets.iter().any(|target| is_name(name, target.header.as_str()))
    }
}

fn is_name(found: &[u8], wanted: &str) -> bool {
    found.len() == wanted.len() && found.iter().zip(wanted.bytes()).all(|(a, b)| folded(*a) == folded(b))
}

fn folded(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }
}

/// What a header is for that no field of a body may go to.
fn reserved(header: &str) -> Option<&'static str> {
    const FRAMING: [&str; 9] = [
        "host",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    ];
    let name: String = header.bytes().map(|byte| char::from(folded(byte))).collect();
    if name.starts_with(':') || FRAMING.contains(&&*name) || name.starts_with("content-") {
        Some("by it a request is sent and its body read")
    } else if name.starts_with("x-envoy-") {
        Some("Envoy sets it itself, and lets nobody else")
    } else if name.starts_with("x-gateway-destination-endpoint") {
        Some("by it an endpoint is chosen")
    } else if name == BASE_MODEL_NAME.as_str() {
        Some("it holds the base model of `model`")
    } else {
        None
    }
}

/// What has been read of a body.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found<'a> {
    model: Option<&'a str>,
    names_empty_model: bool,
    asked: Option<&'a AskedFields>,
}

impl<'a> Found<'a> {
    /// Everything that headers are made of, once the parser knows all of it.
    pub(super) fn early(parser: &'a RequestParser) -> Option<Found<'a>> {
        let model = Some(&*parser.model()?.name.0);
        let asked = parser.asked();
        let is_whole = asked.is_none_or(AskedFields::are_all_known);
        is_whole.then_some(Found { model, names_empty_model: false, asked })
    }

    /// What a whole body has.
    pub(super) fn of(request: &'a InferenceRequest) -> Found<'a> {
        Found {
            model: request.model.as_ref().map(|model| &*model.name.0),
            names_empty_model: request.names_empty_model,
            asked: request.asked.as_deref(),
        }
    }

    /// The model, if a header can hold its name: no route can ask for another.
    pub(super) fn model(&self) -> Option<&'a str> {
        self.model.filter(|model| is_a_headers_value(model.as_bytes()))
    }

    /// What the last of these fields has that a header can hold.
    pub(super) fn last_of(&self, fields: &[Field]) -> Option<&'a [u8]> {
        fields.iter().rev().find_map(|field| self.text(*field).ok())
    }

    /// What a field has, or why that goes to no header.
    pub(super) fn text(&self, field: Field) -> Result<&'a [u8], FieldMiss> {
        let text = match (field, self.model, self.asked) {
            (Field::Model, Some(model), _) => model.as_bytes(),
            (Field::Model, None, _) if self.names_empty_model => return Err(FieldMiss::Empty),
            (Field::Asked(place), _, Some(asked)) => match asked.get(place) {
                Some(FieldValue::Text(text)) => &text[..],
                Some(FieldValue::TooLong) => return Err(FieldMiss::TooLong),
                Some(FieldValue::NotText) => return Err(FieldMiss::NotText),
                Some(FieldValue::Null) | None => return Err(FieldMiss::NotFound),
            },
            (Field::Model, None, _) | (Field::Asked(_), _, None) => return Err(FieldMiss::NotFound),
        };
        match text {
            [] => Err(FieldMiss::Empty),
            text if is_a_headers_value(text) => Ok(text),
            _ => Err(FieldMiss::ControlCharacter),
        }
    }
}

/// RFC 9110, 5.5, without the line folding that it takes back: no control character but the tab.
fn is_a_headers_value(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(field: &str, header: &str) -> Result<FieldHeaders, String> {
        let mut fields = FieldHeaders::default();
        fields.add(field, header).map(|()| fields).map_err(|error| error.to_string())
    }

    #[test]
    fn a_header_by_which_a_request_is_framed_or_sent_somewhere_is_no_fields() {
        for (header, why) in [
            (":authority", "by it a request is sent"),
            (":path", "by it a request is sent"),
            ("Host", "by it a request is sent"),
            ("Content-Length", "by it a request is sent"),
            ("content_length", "by it a request is sent"),
            ("Content-Type", "by it a request is sent"),
            ("Transfer-Encoding", "by it a request is sent"),
            ("te", "by it a request is sent"),
            ("x-envoy-retry-on", "Envoy sets it itself"),
            ("X-Gateway-Destination-Endpoint", "an endpoint is chosen"),
            ("x_gateway_destination_endpoint", "an endpoint is chosen"),
            ("x-gateway-destination-endpoint-subset", "an endpoint is chosen"),
            ("X-Gateway-Base-Model-Name", "the base model"),
            ("", "is no header's name"),
            ("X User", "is no header's name"),
            ("X-User:", "is no header's name"),
            ("X-User\n", "is no header's name"),
        ] {
            let error = added("user", header).expect_err(header);
            assert!(error.contains(why) && error.contains(&format!("{header:?}")), "{error}");
        }
    }

    #[test]
    fn any_other_header_may_hold_a_field() {
        for header in
            ["X-User", "x_user", "x-gateway-inference-fairness-id", "X-Gateway-Model-Name", "tenant"]
        {
            let fields = added("user", header).expect(header);
            assert!(fields.is_ours(header.as_bytes()) && fields.is_ours(header.to_uppercase().as_bytes()));
            assert!(fields.is_ours(header.replace('-', "_").as_bytes()));
            assert!(fields.is_ours(b"x_gateway_model_name") && fields.is_ours(b"x-gateway-base-model-name"));
            assert!(!fields.is_ours(b"x-users") && !fields.is_ours(b"x-request-id"));
        }
        assert!(added("", "X-User").is_err());
    }

    #[test]
    fn a_field_that_is_named_twice_is_asked_for_once_and_of_two_for_one_header_the_later_counts() {
        let mut fields = FieldHeaders::default();
        for (field, header) in [
            ("user", "X-A"),
            ("user", "X-B"),
            ("engine", "x-gateway-model-name"),
            ("model", "X-Gateway-Model-Name"),
        ] {
            fields.add(field, header).unwrap();
        }
        assert_eq!(fields.asked().iter().collect::<Vec<_>>(), ["user", "engine"]);
        assert_eq!(fields.targets()[0].fields, [Field::Asked(1), Field::Model]);
        assert_eq!(fields.targets().len(), 3);
        assert_eq!(fields.fields().collect::<Vec<_>>(), [Field::Model, Field::Asked(0), Field::Asked(1)]);
    }
}
