//! `pointsman check`: its lines, its JSON, and how it exits.

use crate::support::pointsman;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn two_models() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/two-models/manifests");
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_route_without_groups_gives_one_kind_of_warning_and_exit_0_or_1_if_strict() {
    let told = pointsman(&["check", "--json", &two_models()]);
    assert_eq!(told.status.code(), Some(0));
    let findings: Vec<Value> = told
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    let told: Vec<_> = findings
        .iter()
        .map(|finding| ["severity", "effect", "code"].map(|name| finding[name].as_str().unwrap()))
        .collect();
    assert_eq!(told, [["warning", "served", "group-missing"]; 2], "{findings:#?}");
    assert_eq!((&findings[0]["line"], &findings[1]["line"]), (&18.into(), &29.into()));
    assert_eq!(pointsman(&["check", "--strict", &two_models()]).status.code(), Some(1));
}

#[test]
fn an_unknown_field_is_named_with_its_place_and_the_nearest_known_one() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = "apiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\nmetadata:\n  name: a\nspec:\n  selector:\n    matchLabels: {app: a}\n  targetPort:\n  - number: 8000\n  targetPorts:\n  - number: 8000\n";
    fs::write(folder.path().join("pool.yaml"), manifest).unwrap();
    let told = pointsman(&["check", folder.path().to_str().unwrap()]);
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(text.contains("pool.yaml:8: "), "{text}");
    assert!(text.contains("did you mean `targetPorts`?"), "{text}");
}

#[test]
fn what_has_no_line_is_told_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent").to_str().unwrap().to_owned();
    let told = String::from_utf8(pointsman(&["check", &absent]).stdout).unwrap();
    assert!(told.starts_with(&format!("{absent}: error: there is no such file or folder")), "{told}");
    assert!(told.ends_with("1 error, 0 warnings\n"), "{told}");
}
