//! The plugins of the reference's body-based router, as `--plugin` names them: `type:name[:json]`.
//!
//! Reading the model and looking its base model up are always at work, as in the router up to v1.4: what is given comes on
//! top.

use extproc::bbr::{FieldHeaderError, FieldHeaders};
use std::str::FromStr;
use std::sync::Arc;
use telemetry::BbrPlugin;

/// One plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plugin {
    /// Puts a field of the body into a header.
    BodyFieldToHeader { name: String, field: String, header: String },
    /// Looks the base model up.
    BaseModelToHeader { name: String },
    /// One of v1.4 that does nothing, or what is done anyway.
    NoOp,
}

/// Where the model goes.
const MODEL: (&str, &str) = ("model", "X-Gateway-Model-Name");

impl FromStr for Plugin {
    type Err = String;

    fn from_str(text: &str) -> Result<Plugin, String> {
        let mut parts = text.splitn(3, ':').map(str::trim);
        let mut part = || parts.next().unwrap_or_default();
        let (kind, name, parameters) = (part(), part().to_owned(), part());
        match kind {
            "body-field-to-header" => {
                let (field, header) = target(parameters)?;
                FieldHeaders::default().add(&field, &header).map_err(|error| error.to_string())?;
                Ok(Plugin::BodyFieldToHeader { name, field, header })
            }
            "base-model-to-header" => Ok(Plugin::BaseModelToHeader { name }),
            "default-bbr" | "no-op-plugin" => Ok(Plugin::NoOp),
            _ => Err(format!(
                "the plugin type {kind:?} is not known; known are body-field-to-header, base-model-to-header, \
                 default-bbr, no-op-plugin"
            )),
        }
    }
}

/// The field and the header of `body-field-to-header`, by the names of v1.5 or those of v1.4; without any, the model's.
fn target(parameters: &str) -> Result<(String, String), String> {
    if parameters.is_empty() {
        return Ok((MODEL.0.to_owned(), MODEL.1.to_owned()));
    }
    let parameters: serde_json::Value = serde_json::from_str(parameters)
        .map_err(|error| format!("the parameters of body-field-to-header are not JSON: {error}"))?;
    let text = |names: [&str; 2]| names.iter().find_map(|name| parameters[*name].as_str()).map(str::to_owned);
    match (text(["fieldName", "field_name"]), text(["headerName", "header_name"])) {
        (Some(field), Some(header)) => Ok((field, header)),
        _ => {
            Err(r#"body-field-to-header needs both names: {"fieldName":"user","headerName":"X-User"}"#
                .to_owned())
        }
    }
}

/// Which fields go to which headers.
pub(crate) fn fields(plugins: &[Plugin]) -> Result<FieldHeaders, FieldHeaderError> {
    let mut fields = FieldHeaders::default();
    for plugin in plugins {
        if let Plugin::BodyFieldToHeader { field, header, .. } = plugin {
            fields.add(field, header)?;
        }
    }
    Ok(fields)
}

/// What metrics call the plugins that are at work, each once: by the name that was given to it, else by its type.
pub(crate) fn names(plugins: &[Plugin]) -> Vec<(BbrPlugin, Arc<str>)> {
    let given = |plugin: &Plugin| match plugin {
        Plugin::BodyFieldToHeader { name, .. } => Some((BbrPlugin::BodyFieldToHeader, name.clone())),
        Plugin::BaseModelToHeader { name } => Some((BbrPlugin::BaseModelToHeader, name.clone())),
        Plugin::NoOp => None,
    };
    let mut names: Vec<_> = plugins.iter().filter_map(given).collect();
    let reads_model = |plugin: &Plugin| {
        matches!(plugin, Plugin::BodyFieldToHeader { field, header, .. }
            if field == MODEL.0 && header.eq_ignore_ascii_case(MODEL.1))
    };
    if !plugins.iter().any(reads_model) {
        names.insert(0, (BbrPlugin::BodyFieldToHeader, String::new()));
    }
    if !names.iter().any(|(kind, _)| *kind == BbrPlugin::BaseModelToHeader) {
        names.push((BbrPlugin::BaseModelToHeader, String::new()));
    }
    let mut series: Vec<(BbrPlugin, Arc<str>)> = Vec::new();
    for (kind, name) in names {
        let name = if name.is_empty() { kind.name() } else { &name };
        if !series.iter().any(|(other, known)| *other == kind && **known == *name) {
            series.push((kind, name.into()));
        }
    }
    series
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed<const N: usize>(plugins: [&str; N]) -> Vec<Plugin> {
        plugins.iter().map(|text| text.parse().expect(text)).collect()
    }

    #[test]
    fn the_references_plugins_are_taken_and_others_are_told_apart() {
        for (text, said) in [
            ("body-field-to-header:model-extractor", ""),
            (r#"body-field-to-header:model:{"fieldName":"model","headerName":"X-Gateway-Model-Name"}"#, ""),
            (r#"body-field-to-header:x:{"field_name":"user","header_name":"X-User"}"#, ""),
            (r#"body-field-to-header:x: {"fieldName":"user","headerName":"X-User"}"#, ""),
            ("base-model-to-header:base-model-mapper", ""),
            ("default-bbr:default-bbr", ""),
            ("body-field-to-header:x:{", "not JSON"),
            ("body-field-to-header:x:{}", "needs both names"),
            (r#"body-field-to-header:x:{"fieldName":"user"}"#, "needs both names"),
            (r#"body-field-to-header:x:{"fieldName":"","headerName":"X-User"}"#, "1 to 47 bytes"),
            (
                r#"body-field-to-header:x:{"fieldName":"user","headerName":"Content-Length"}"#,
                "\"Content-Length\"",
            ),
            ("mystery:x", "not known"),
        ] {
            let error = text.parse::<Plugin>().err().unwrap_or_default();
            assert!(error.contains(said) && error.is_empty() == said.is_empty(), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_given_comes_on_top_of_the_model() {
        let user = r#"body-field-to-header:u:{"fieldName":"user","headerName":"X-User"}"#;
        let fields = fields(&parsed([user, "base-model-to-header:m"])).expect("one field");
        assert_eq!(fields.asked().iter().collect::<Vec<_>>(), ["user"]);
        assert_eq!(format!("{:?}", super::fields(&[]).unwrap()), format!("{:?}", FieldHeaders::default()));
    }

    #[test]
    fn a_plugin_is_called_as_it_was_named_and_else_by_its_type() {
        let of = |plugins: Vec<Plugin>| -> Vec<String> {
            names(&plugins).iter().map(|(kind, name)| format!("{} {name}", kind.name())).collect()
        };
        let defaults =
            ["body-field-to-header body-field-to-header", "base-model-to-header base-model-to-header"];
        assert_eq!(of(vec![]), defaults);
        assert_eq!(of(parsed(["default-bbr:x"])), defaults);
        let user = r#"body-field-to-header:u:{"fieldName":"user","headerName":"X-User"}"#;
        assert_eq!(
            of(parsed(["body-field-to-header:model-extractor", "base-model-to-header:mapper", user, user])),
            ["body-field-to-header model-extractor", "base-model-to-header mapper", "body-field-to-header u"]
        );
        assert_eq!(of(parsed([user])), [defaults[0], "body-field-to-header u", defaults[1]]);
    }
}
