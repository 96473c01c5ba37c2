//! Which API a request speaks, told by its path and its headers.

use crate::ParseError;
use crate::parameters::parameter;

/// The API of a request. Told by the end of its path, so that a prefix (`/llm/v1/chat/completions`) does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI `…/chat/completions`.
    ChatCompletions,
    /// OpenAI `…/completions`.
    Completions,
    /// OpenAI `…/embeddings`.
    Embeddings,
    /// OpenAI `…/responses`.
    Responses,
    /// Anthropic `…/messages`.
    Messages,
    /// OpenAI `…/audio/transcriptions` and `…/audio/translations`: `multipart/form-data`.
    Audio,
    /// Anything else with a JSON body: its `model` is read, its prompt is not known.
    Other,
}

/// What the body claims to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Media {
    /// `application/json`, `*+json`, or no `Content-Type`: must be a JSON object.
    Json,
    /// `multipart/form-data` with its boundary.
    Multipart {
        /// The boundary, without the leading dashes.
        boundary: String,
    },
    /// Anything else: forwarded unread, without a model.
    Opaque,
}

/// `Content-Encoding` of a body. Decoded only to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// None.
    Identity,
    /// `gzip` or `x-gzip`.
    Gzip,
    /// `zstd`.
    Zstd,
}

/// What the head of a request says about its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyHead {
    /// The API, from the path.
    pub dialect: Dialect,
    /// From `Content-Type`.
    pub media: Media,
    /// From `Content-Encoding`; identity for an opaque body, which nobody decodes.
    pub coding: Coding,
}

impl BodyHead {
    /// The head of a request whose body nobody reads.
    pub fn unread(path: &str) -> BodyHead {
        BodyHead { dialect: Dialect::of(path), media: Media::Opaque, coding: Coding::Identity }
    }

    /// Reads the head: the path without its query, the values of `Content-Type` and `Content-Encoding`.
    pub fn new(
        path: &str,
        content_type: Option<&[u8]>,
        content_encoding: Option<&[u8]>,
    ) -> Result<BodyHead, ParseError> {
        let media = Media::of(content_type)?;
        // Nobody decodes what nobody reads: an opaque body may come in any coding.
        let coding = if media == Media::Opaque { Coding::Identity } else { Coding::of(content_encoding)? };
        Ok(BodyHead { dialect: Dialect::of(path), media, coding })
    }
}

/// Ends of paths, the longer before the shorter that it ends with.
const PATHS: [(&str, Dialect); 7] = [
    ("/chat/completions", Dialect::ChatCompletions),
    ("/completions", Dialect::Completions),
    ("/embeddings", Dialect::Embeddings),
    ("/responses", Dialect::Responses),
    ("/messages", Dialect::Messages),
    ("/audio/transcriptions", Dialect::Audio),
    ("/audio/translations", Dialect::Audio),
];

impl Dialect {
    fn of(path: &str) -> Dialect {
        let path = path.strip_suffix('/').unwrap_or(path);
        PATHS.iter().find(|(end, _)| path.ends_with(end)).map_or(Dialect::Other, |(_, dialect)| *dialect)
    }
}

impl Media {
    fn of(content_type: Option<&[u8]>) -> Result<Media, ParseError> {
        let Some(value) = content_type.map(<[u8]>::trim_ascii).filter(|value| !value.is_empty()) else {
            return Ok(Media::Json);
        };
        if is_json(value) {
            return Ok(Media::Json);
        }
        if !essence(value).eq_ignore_ascii_case(b"multipart/form-data") {
            return Ok(Media::Opaque);
        }
        let broken = |what| ParseError::BrokenMultipart { what };
        let value = std::str::from_utf8(value).map_err(|_| broken("its Content-Type is not UTF-8"))?;
        let boundary = parameter(value, "boundary").map_err(|_| broken("the boundary stands twice"))?;
        match boundary {
            Some(boundary) if is_boundary(&boundary) => Ok(Media::Multipart { boundary }),
            Some(_) => {
                Err(broken("the boundary is empty, longer than 70 bytes or holds a control character"))
            }
            None => Err(broken("no boundary in its Content-Type")),
        }
    }
}

/// The media type without its parameters.
pub(crate) fn essence(content_type: &[u8]) -> &[u8] {
    content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// `application/json` or `*+json`, with any parameters.
pub(crate) fn is_json(content_type: &[u8]) -> bool {
    let essence = essence(content_type);
    let suffix = essence.len().checked_sub(5).map(|at| &essence[at..]);
    essence.eq_ignore_ascii_case(b"application/json")
        || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
}

/// RFC 2046: 1 to 70 characters. Which ones is not checked beyond what would confuse the search for lines.
fn is_boundary(boundary: &str) -> bool {
    (1..=70).contains(&boundary.len()) && !boundary.bytes().any(|byte| byte.is_ascii_control())
}

impl Coding {
    fn of(content_encoding: Option<&[u8]>) -> Result<Coding, ParseError> {
        let value = content_encoding.unwrap_or_default().trim_ascii();
        let is = |name: &str| value.eq_ignore_ascii_case(name.as_bytes());
        match value {
            b"" => Ok(Coding::Identity),
            _ if is("identity") => Ok(Coding::Identity),
            _ if is("gzip") || is("x-gzip") => Ok(Coding::Gzip),
            _ if is("zstd") => Ok(Coding::Zstd),
            _ => {
                let coding = String::from_utf8_lossy(&value[..value.len().min(64)]).into_owned();
                Err(ParseError::UnsupportedCoding { coding })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialect_is_told_by_the_end_of_the_path() {
        for (path, dialect) in [
            ("/v1/chat/completions", Dialect::ChatCompletions),
            ("/llm/v1/chat/completions/", Dialect::ChatCompletions),
            ("/v1/completions", Dialect::Completions),
            ("/v1/embeddings", Dialect::Embeddings),
            ("/v1/responses", Dialect::Responses),
            ("/v1/messages", Dialect::Messages),
            ("/v1/messages/count_tokens", Dialect::Other),
            ("/v1/audio/transcriptions", Dialect::Audio),
            ("/v1/audio/translations", Dialect::Audio),
            ("/v1/mycompletions", Dialect::Other),
            ("/", Dialect::Other),
        ] {
            assert_eq!(Dialect::of(path), dialect, "{path}");
        }
    }

    #[test]
    fn the_media_is_told_by_the_content_type() {
        let multipart = |boundary: &str| Ok(Media::Multipart { boundary: boundary.to_owned() });
        let broken = |what| Err(ParseError::BrokenMultipart { what });
        for (value, media) in [
            ("application/json", Ok(Media::Json)),
            ("Application/JSON ; charset=utf-8", Ok(Media::Json)),
            ("application/vnd.api+json", Ok(Media::Json)),
            ("", Ok(Media::Json)),
            ("text/plain", Ok(Media::Opaque)),
            ("application/jsonl", Ok(Media::Opaque)),
            ("multipart/mixed; boundary=x", Ok(Media::Opaque)),
            ("multipart/form-data; boundary=abc", multipart("abc")),
            (r#"Multipart/Form-Data; charset=x; Boundary="a b;c""#, multipart("a b;c")),
            ("multipart/form-data", broken("no boundary in its Content-Type")),
            ("multipart/form-data; boundary=a; boundary=b", broken("the boundary stands twice")),
        ] {
            assert_eq!(Media::of(Some(value.as_bytes())), media, "{value}");
        }
        assert_eq!(Media::of(None), Ok(Media::Json));
        assert_eq!(Media::of(Some(b"\xff\xfe")), Ok(Media::Opaque));
        for boundary in ["\"\"".to_owned(), "x".repeat(71)] {
            let value = format!("multipart/form-data; boundary={boundary}");
            assert!(Media::of(Some(value.as_bytes())).is_err(), "{value}");
        }
    }

    #[test]
    fn a_coding_is_known_or_refused_but_never_guessed() {
        for (value, coding) in [
            ("", Some(Coding::Identity)),
            ("identity", Some(Coding::Identity)),
            (" GZIP ", Some(Coding::Gzip)),
            ("x-gzip", Some(Coding::Gzip)),
            ("zstd", Some(Coding::Zstd)),
            ("br", None),
            ("gzip, zstd", None),
            ("gzip,identity", None),
        ] {
            let read = BodyHead::new("/v1/completions", None, Some(value.as_bytes()));
            let refused = ParseError::UnsupportedCoding { coding: value.to_owned() };
            assert_eq!(read.map(|head| head.coding), coding.ok_or(refused), "{value}");
        }
        let opaque = BodyHead::new("/upload", Some(b"image/png"), Some(b"br"));
        assert_eq!(opaque.map(|head| head.coding), Ok(Coding::Identity));
        let long = BodyHead::new("/", None, Some(&[b'x'; 100]));
        assert_eq!(long, Err(ParseError::UnsupportedCoding { coding: "x".repeat(64) }));
    }
}
