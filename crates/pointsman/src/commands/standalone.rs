//! A picker without an InferencePool: its endpoints by their labels, as the reference's standalone mode has them.
//!
//! In: `--endpoint-selector` and `--endpoint-target-ports`. Out: an InferencePool of the process's own, which selects Pods and
//! EndpointSlices of the manifests as one that they declare does.
//! Source: GAIE v1.2 to v1.5, `cmd/epp/runner`, "standalone".

use clap::Args;
use resources::{AppProtocol, InferencePool, Labels, Meta, ObjectName, Origin, PoolVersion};
use std::path::Path;

/// Ports that an InferencePool has at most.
const PORTS_MAX: usize = 8;

/// The pool's name where the environment's POD_NAME tells none.
const NAME_DEFAULT: &str = "endpoint-selector";

/// The reference's flags.
#[derive(Debug, Clone, Args)]
pub(super) struct Standalone {
    /// Pick among the Pods and EndpointSlices with these labels, as `key=value,…`, in the place of an InferencePool; needs
    /// --endpoint-target-ports. Objects refer to it by the name of this Pod's Deployment (from POD_NAME), else as
    /// `endpoint-selector`.
    #[arg(long, value_name = "LABELS", requires = "endpoint_target_ports", conflicts_with = "pool_name")]
    endpoint_selector: Option<Selector>,
    /// Ports of each Pod's endpoints, 1 to 8, joined by commas.
    #[arg(long, value_name = "PORT", value_delimiter = ',', requires = "endpoint_selector", value_parser = clap::value_parser!(u16).range(1..))]
    endpoint_target_ports: Vec<u16>,
}

/// Labels as a flag names them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Selector(Labels);

impl std::str::FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Selector, String> {
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=')?;
            let fits =
                |text: &str| !text.contains(|char: char| char.is_whitespace() || "=!(),".contains(char));
            (!key.is_empty() && fits(key) && fits(value)).then(|| (key.to_owned(), value.to_owned()))
        };
        let labels: Option<Labels> = text.split(',').map(pair).collect();
        labels
            .map(Selector)
            .ok_or_else(|| "it must be key=value pairs joined by commas, without spaces".to_owned())
    }
}

impl Standalone {
    /// The pool that the flags describe, in `namespace`; `None` without them.
    pub(super) fn pool(&self, namespace: &str) -> Result<Option<InferencePool>, String> {
        let Some(Selector(selector)) = self.endpoint_selector.clone() else { return Ok(None) };
        let mut target_ports = self.endpoint_target_ports.clone();
        target_ports.sort_unstable();
        target_ports.dedup();
        if target_ports.len() > PORTS_MAX {
            return Err(format!(
                "--endpoint-target-ports names {} ports; at most {PORTS_MAX}",
                target_ports.len()
            ));
        }
        let pod = std::env::var("POD_NAME").ok();
        let name = pod.as_deref().and_then(deployment).unwrap_or(NAME_DEFAULT);
        Ok(Some(InferencePool {
            meta: Meta {
                name: ObjectName::new(namespace, name),
                uid: None,
                labels: Labels::new(),
                annotations: Labels::new(),
                created: None,
                deleting: false,
                origin: Origin { file: Path::new("--endpoint-selector").into(), line: 0 },
            },
            version: PoolVersion::V1,
            selector,
            target_ports,
            app_protocol: AppProtocol::Http,
            endpoint_picker: None,
        }))
    }
}

/// The Deployment of a Pod, whose name is the Deployment's and two random parts.
fn deployment(pod: &str) -> Option<&str> {
    let random = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let (rest, last) = pod.rsplit_once('-')?;
    let (name, set) = rest.rsplit_once('-')?;
    (!name.is_empty() && random(last) && random(set)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_pairs_of_keys_and_values() {
        let labels = |pairs: &[(&str, &str)]| {
            Some(Selector(
                pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ))
        };
        for (text, expected) in [
            ("app=vllm", labels(&[("app", "vllm")])),
            ("app=vllm,env=", labels(&[("app", "vllm"), ("env", "")])),
            ("", None),
            ("app", None),
            ("app!=vllm", None),
            ("app in (a)", None),
            ("app=vllm,", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }

    #[test]
    fn the_pool_selects_by_the_labels_and_has_each_port_once() {
        let standalone = Standalone {
            endpoint_selector: Some("app=vllm".parse().unwrap()),
            endpoint_target_ports: vec![8001, 8000, 8001],
        };
        let pool = standalone.pool("models").unwrap().unwrap();
        let labelled = |app: &str| Labels::from([("app".to_owned(), app.to_owned())]);
        assert_eq!(pool.target_ports, [8000, 8001]);
        assert!(pool.selects("models", &labelled("vllm")));
        assert!(!pool.selects("models", &labelled("sglang")) && !pool.selects("other", &labelled("vllm")));
        let many = Standalone { endpoint_target_ports: (1..10).collect(), ..standalone.clone() };
        assert!(many.pool("models").is_err());
        let none = Standalone { endpoint_selector: None, ..standalone };
        assert!(none.pool("models").unwrap().is_none());
    }

    #[test]
    fn a_pods_name_tells_its_deployment() {
        assert_eq!(deployment("gemma3-epp-7d9f8c6b5-x2x4z"), Some("gemma3-epp"));
        for pod in ["gemma3", "gemma3-epp", "-a-b", "gemma3-epp-UP-x"] {
            assert_eq!(deployment(pod), None, "{pod}");
        }
    }
}
