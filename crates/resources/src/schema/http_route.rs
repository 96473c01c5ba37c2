//! The fields of HTTPRoute, `gateway.networking.k8s.io/v1`.

use super::form::Form;
use super::shape::{
    Field, GROUP, KIND, NAMESPACE, NATURAL, OBJECT_NAME, PORT, SECTION_NAME, Shape, TEXT, form, list,
    optional, required, text,
};

/// All fields.
pub(crate) const FIELDS: &[Field] = &[required("spec", Shape::Object(SPEC)), optional("status", Shape::Any)];

const SPEC: &[Field] = &[
    optional("hostnames", Shape::List(&list(form(253, Form::Hostname), 0, 16))),
    optional("parentRefs", Shape::List(&list(Shape::Object(PARENT_REF), 0, 32))),
    optional("rules", Shape::List(&list(Shape::Object(RULE), 1, 16).unique_by("name"))),
    optional("useDefaultGateways", Shape::OneOf(&["All", "None"])),
];

const PARENT_REF: &[Field] = &[
    optional("group", GROUP),
    optional("kind", KIND),
    required("name", OBJECT_NAME),
    optional("namespace", NAMESPACE),
    optional("port", PORT),
    optional("sectionName", SECTION_NAME),
];

const RULE: &[Field] = &[
    optional("backendRefs", Shape::List(&list(Shape::Object(BACKEND_REF), 0, 16))),
    optional("filters", FILTERS),
    optional("matches", Shape::List(&list(Shape::Object(MATCH), 0, 64))),
    optional("name", SECTION_NAME),
    optional("retry", Shape::Object(RETRY)),
    optional("sessionPersistence", Shape::Object(SESSION_PERSISTENCE)),
    optional("timeouts", Shape::Object(TIMEOUTS)),
];

const MATCH: &[Field] = &[
    optional("headers", Shape::List(&list(Shape::Object(HEADER_MATCH), 0, 16).unique_by("name"))),
    optional("method", Shape::OneOf(METHODS)),
    optional("path", Shape::Object(PATH_MATCH)),
    optional("queryParams", Shape::List(&list(Shape::Object(QUERY_MATCH), 0, 16).unique_by("name"))),
];

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

const PATH_MATCH: &[Field] = &[
    optional("type", Shape::OneOf(&["Exact", "PathPrefix", "RegularExpression"])),
    optional("value", text(0, 1024)),
];

const VALUE_MATCHES: &[&str] = &["Exact", "RegularExpression"];

const HEADER_MATCH: &[Field] = &[
    required("name", form(256, Form::HeaderName)),
    optional("type", Shape::OneOf(VALUE_MATCHES)),
    required("value", text(1, 4096)),
];

const QUERY_MATCH: &[Field] = &[
    required("name", form(256, Form::HeaderName)),
    optional("type", Shape::OneOf(VALUE_MATCHES)),
    required("value", text(1, 1024)),
];

const BACKEND_REF: &[Field] = &[
    optional("filters", FILTERS),
    optional("group", GROUP),
    optional("kind", KIND),
    required("name", OBJECT_NAME),
    optional("namespace", NAMESPACE),
    optional("port", PORT),
    optional("weight", Shape::Integer { min: 0, max: 1_000_000 }),
];

const FILTERS: Shape = Shape::List(&list(Shape::Object(FILTER), 0, 16));

const FILTER: &[Field] = &[
    optional("cors", Shape::Object(CORS)),
    optional("extensionRef", Shape::Object(EXTENSION_REF)),
    optional("externalAuth", Shape::Any),
    optional("requestHeaderModifier", Shape::Object(HEADER_MODIFIER)),
    optional("requestMirror", Shape::Object(REQUEST_MIRROR)),
    optional("requestRedirect", Shape::Object(REQUEST_REDIRECT)),
    optional("responseHeaderModifier", Shape::Object(HEADER_MODIFIER)),
    required("type", Shape::OneOf(FILTER_TYPES)),
    optional("urlRewrite", Shape::Object(URL_REWRITE)),
];

const FILTER_TYPES: &[&str] = &[
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "RequestMirror",
    "RequestRedirect",
    "URLRewrite",
    "ExtensionRef",
    "CORS",
    "ExternalAuth",
];

const CORS: &[Field] = &[
    optional("allowCredentials", Shape::Boolean),
    optional("allowHeaders", Shape::List(&list(form(256, Form::HeaderName), 0, 64).unique())),
    optional("allowMethods", Shape::List(&list(Shape::OneOf(CORS_METHODS), 0, 9).unique())),
    optional("allowOrigins", Shape::List(&list(form(253, Form::Origin), 0, 64).unique())),
    optional("exposeHeaders", Shape::List(&list(form(256, Form::HeaderName), 0, 64).unique())),
    optional("maxAge", Shape::Integer { min: 1, max: i32::MAX as i64 }),
];

const CORS_METHODS: &[&str] =
    &["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"];

const EXTENSION_REF: &[Field] =
    &[required("group", GROUP), required("kind", KIND), required("name", OBJECT_NAME)];

const HEADER_MODIFIER: &[Field] = &[
    optional("add", HEADER_VALUES),
    optional("remove", Shape::List(&list(TEXT, 0, 16).unique())),
    optional("set", HEADER_VALUES),
];

const HEADER_VALUES: Shape = Shape::List(&list(Shape::Object(HEADER_VALUE), 0, 16).unique_by("name"));

const HEADER_VALUE: &[Field] =
    &[required("name", form(256, Form::HeaderName)), required("value", text(1, 4096))];

const REQUEST_MIRROR: &[Field] = &[
    required("backendRef", Shape::Object(MIRROR_BACKEND_REF)),
    optional("fraction", Shape::Object(FRACTION)),
    optional("percent", Shape::Integer { min: 0, max: 100 }),
];

const MIRROR_BACKEND_REF: &[Field] = &[
    optional("group", GROUP),
    optional("kind", KIND),
    required("name", OBJECT_NAME),
    optional("namespace", NAMESPACE),
    optional("port", PORT),
];

const FRACTION: &[Field] = &[
    optional("denominator", Shape::Integer { min: 1, max: i32::MAX as i64 }),
    required("numerator", NATURAL),
];

const REQUEST_REDIRECT: &[Field] = &[
    optional("hostname", form(253, Form::Subdomain)),
    optional("path", Shape::Object(PATH_MODIFIER)),
    optional("port", PORT),
    optional("scheme", Shape::OneOf(&["http", "https"])),
    optional("statusCode", Shape::Code(&[301, 302, 303, 307, 308])),
];

const URL_REWRITE: &[Field] =
    &[optional("hostname", form(253, Form::Subdomain)), optional("path", Shape::Object(PATH_MODIFIER))];

const PATH_MODIFIER: &[Field] = &[
    optional("replaceFullPath", text(0, 1024)),
    optional("replacePrefixMatch", text(0, 1024)),
    required("type", Shape::OneOf(&["ReplaceFullPath", "ReplacePrefixMatch"])),
];

const TIMEOUTS: &[Field] =
    &[optional("backendRequest", form(253, Form::Duration)), optional("request", form(253, Form::Duration))];

const RETRY: &[Field] = &[
    optional("attempts", NATURAL),
    optional("backoff", form(253, Form::Duration)),
    optional("codes", Shape::List(&list(Shape::Integer { min: 400, max: 599 }, 0, 200).unique())),
];

const SESSION_PERSISTENCE: &[Field] = &[
    optional("absoluteTimeout", form(253, Form::Duration)),
    optional(
        "cookieConfig",
        Shape::Object(&[optional("lifetimeType", Shape::OneOf(&["Permanent", "Session"]))]),
    ),
    optional("idleTimeout", form(253, Form::Duration)),
    optional("sessionName", text(1, 128)),
    optional("type", Shape::OneOf(&["Cookie", "Header"])),
];
