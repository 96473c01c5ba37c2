//! Whatever the text, the loader answers: never a panic, and findings that say where.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::{ProptestConfig, Strategy, any, proptest};
use proptest::sample::select;
use resources::check_text;
use std::path::Path;

fn check(text: &[u8]) {
    let lines = u32::try_from(text.split(|byte| *byte == b'\n').count()).unwrap();
    for finding in check_text(Path::new("manifest.yaml"), text) {
        assert!(finding.origin.line <= lines, "{finding:?}");
        assert!(!finding.message.is_empty(), "{finding:?}");
    }
}

/// Pieces of manifests: put together at random they come nearer to what is read than random text does.
const PIECES: &[&str] = &[
    "apiVersion: gateway.networking.k8s.io/v1\n",
    "apiVersion: inference.networking.k8s.io/v1\n",
    "apiVersion: v1\n",
    "kind: HTTPRoute\n",
    "kind: Gateway\n",
    "kind: InferencePool\n",
    "kind: List\n",
    "kind: Service\n",
    "kind: Pod\n",
    "metadata:\n",
    "metadata: {name: a}\n",
    "  name: a\n",
    "spec:\n",
    "spec: {}\n",
    "spec: null\n",
    "items:\n",
    "---\n",
    "  rules:\n",
    "  - matches:\n",
    "    - path: {value: /}\n",
    "    backendRefs:\n",
    "    - {name: a, port: 1}\n",
    "  parentRefs: [{name: a}]\n",
    "  listeners: [{name: a, port: 80, protocol: HTTP}]\n",
    "- ",
    "  ",
    "&a ",
    "*a ",
    "  selector: {matchLabels: {a: b}}\n",
    "  targetPorts: [{number: 1}]\n",
    "  hostnames: ['*.a']\n",
    "{",
    "}",
    "[",
    "]",
    "? ",
    ": ",
    "!!binary ",
    "<<: *a\n",
    "|\n",
    "\"",
    "'",
    "\u{feff}",
    "\t",
    "\0",
    "%YAML 1.1\n",
    "1e999",
    "-0x",
    "~\n",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_answered(text in proptest::collection::vec(any::<u8>(), 0..512)) {
        check(&text);
    }

    #[test]
    fn arbitrary_text_is_answered(text in "\\PC{0,200}(\n\\PC{0,40}){0,8}") {
        check(text.as_bytes());
    }

    #[test]
    fn pieces_of_manifests_are_answered(
        text in proptest::collection::vec(select(PIECES), 0..40).prop_map(|pieces| pieces.concat())
    ) {
        check(text.as_bytes());
    }
}
