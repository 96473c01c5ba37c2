//! What the program says to one who slipped at the command line, and where it says that it listens.

use crate::support::{PATIENCE, Running, logged_at_start, pointsman, two_models};
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

/// What a command that fails says; none of these goes on for long.
#[track_caller]
fn complaint(arguments: &[&str]) -> String {
    complaint_of(Command::new(env!("CARGO_BIN_EXE_pointsman")).args(arguments))
}

#[track_caller]
fn complaint_of(command: &mut Command) -> String {
    let mut process =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut log = process.stderr.take().expect("its log is ours");
    let (told, said) = channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).map(|_| told.send(text))
    });
    let said = said.recv_timeout(PATIENCE);
    // It has ended, unless it does what it should have refused.
    let _ = process.kill();
    let status = process.wait().unwrap();
    assert!(!status.success(), "{command:?}");
    said.unwrap_or_else(|_| panic!("it was not refused: {command:?}"))
}

#[test]
fn a_router_whose_manifests_cannot_be_read_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.yaml");
    fs::write(&broken, "kind: [").unwrap();
    let absent = folder.path().join("absent");
    for path in [broken, absent] {
        let path = path.to_str().unwrap();
        let said = complaint(&["bbr", "--config", path, "--grpc-port", "0", "--metrics-port", "0"]);
        assert!(said.contains("1 error") && said.contains(&format!("`pointsman check {path}`")), "{said}");
    }
}

#[test]
fn a_stand_in_tells_the_port_of_its_metrics_that_was_bound() {
    let manifests = two_models();
    let picker = ["epp", "--pool-name", "gemma3", "--admin", "127.0.0.1:0", "--config", &manifests];
    for (arguments, line) in
        [(&picker[..], "metrics and admin server listening"), (&["bbr"], "metrics listening")]
    {
        let metrics = Running::start(arguments).logged(line)["metrics"].as_str().unwrap().to_owned();
        assert!(metrics.starts_with("127.0.0.1:") && !metrics.ends_with(":0"), "{metrics}");
    }
}

#[test]
fn a_picker_of_a_pool_that_is_not_declared_says_which_are() {
    let manifests = two_models();
    let arguments = ["epp", "--pool-name", "nope", "--admin", "127.0.0.1:0", "--config", &manifests];
    let told = Running::start(&arguments).logged("not ready");
    assert_eq!(told["pool"], "default/nope");
    assert_eq!(told["declared"], "default/deepseek-r1, default/gemma3");
}

#[test]
fn a_picker_of_a_pool_of_another_group_says_of_which() {
    let manifests = two_models();
    let arguments = ["epp", "--pool-name", "gemma3", "--admin", "127.0.0.1:0", "--config", &manifests];
    let (v1, v1alpha2) = ("inference.networking.k8s.io", "inference.networking.x-k8s.io");
    let told = Running::start(&[&arguments[..], &["--pool-group", v1alpha2]].concat()).logged("not ready");
    assert_eq!(
        told["message"],
        "not ready: the InferencePool is declared in another group than --pool-group names"
    );
    assert_eq!((&told["group"], &told["declared"]), (&v1alpha2.into(), &v1.into()));
}

#[test]
fn a_pool_is_named_once() {
    let manifests = two_models();
    let said =
        complaint(&["epp", "--config", &manifests, "--pool", "gemma3=0", "--pool", "default/gemma3=0"]);
    assert!(said.contains("the InferencePool default/gemma3 is named twice"), "{said}");
}

#[test]
fn a_picker_config_that_cannot_be_obeyed_is_told_with_its_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "kind: EndpointPickerConfig\n").unwrap();
    let (manifests, path) = (two_models(), file.path().to_str().unwrap());
    let said = complaint(&["epp", "--config", &manifests, "--pool-name", "gemma3", "--config-file", path]);
    assert!(said.contains(&format!("{path}: the EndpointPickerConfig cannot be obeyed")), "{said}");
}

#[test]
fn endpoints_are_named_in_what_can_be_a_header() {
    let said =
        complaint(&["epp", "--pool-name", "a", "--config", "x", "--destination-endpoint-hint-key", "a b"]);
    assert!(said.contains("it must be the name of a header"), "{said}");
}

#[test]
fn a_threshold_in_the_environment_has_the_range_of_its_flag() {
    for (name, value) in [("SD_KV_CACHE_UTIL_THRESHOLD", "80"), ("SD_QUEUE_DEPTH_THRESHOLD", "-1")] {
        let mut picker = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        picker.args(["epp", "--pool-name", "gemma3", "--config", &two_models()]).env(name, value);
        let said = complaint_of(&mut picker);
        assert!(said.contains(&format!("{name} is \"{value}\": it must be")), "{said}");
    }
}

#[test]
fn a_flag_wins_over_the_environments_threshold_even_where_it_says_the_default() {
    let mut picker = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    picker.args(["epp", "--pool-name", "gemma3", "--config", &two_models(), "--config-file", "/nowhere"]);
    picker.args(["--kv-used-max", "0.8", "--queue-depth-max", "5"]);
    picker.envs([("SD_KV_CACHE_UTIL_THRESHOLD", "80"), ("SD_QUEUE_DEPTH_THRESHOLD", "-1")]);
    let said = complaint_of(&mut picker);
    assert!(said.contains("cannot read --config-file /nowhere"), "{said}");
}

#[test]
fn a_taken_port_is_told_with_the_listener_that_wants_it() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let gateway = format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: front}},
  spec: {{gatewayClassName: p, listeners: [{{name: http, port: {port}, protocol: HTTP}}]}}}}\n"
    );
    fs::write(folder.path().join("gateway.yaml"), gateway).unwrap();
    let folder = folder.path().to_str().unwrap();
    let said = complaint(&["run", "--config", folder, "--bind", "127.0.0.1", "--admin", "127.0.0.1:0"]);
    let expected = format!("cannot listen on 127.0.0.1:{port}, for listener http of Gateway default/front: ");
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn no_model_server_is_ready_before_all_are() {
    // Of three ports in a row the last is taken: whichever the system gives, its two neighbours below may be too.
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let first = (taken.local_addr().unwrap().port() - 2).to_string();
    let told = pointsman(&["sim", "--port", &first, "--count", "3"]);
    assert!(!told.status.success() && told.stdout.is_empty(), "{told:?}");
    let beyond = complaint(&["sim", "--port", "65535", "--count", "2"]);
    assert!(beyond.contains("2 ports from 65535 on end beyond 65535"), "{beyond}");
}

#[test]
fn a_flag_with_one_dash_and_a_value_that_is_none_are_put_right() {
    let said = complaint(&["run", "-config", "x"]);
    assert!(
        said.contains("unexpected argument '-config'") && said.contains("two dashes: --config"),
        "{said}"
    );
    let said = complaint(&["bbr", "--wait-for-body", "true"]);
    assert!(said.contains("--wait-for-body stands alone: leave `true` out"), "{said}");
}

#[test]
fn explain_without_a_question_says_what_it_can_be_asked() {
    for arguments in [&["explain"][..], &["explain", "an-id", "--config", "folder", "--request", "a"]] {
        let out = pointsman(arguments);
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        let usage: Vec<&str> = said.lines().filter(|line| line.contains("pointsman explain")).collect();
        assert!(usage[0].ends_with("pointsman explain [OPTIONS] <ID>"), "{said}");
        assert!(usage[1].ends_with("pointsman explain [OPTIONS] --config <PATH> --request <FILE>"), "{said}");
    }
}

#[test]
fn a_variable_that_says_nothing_is_passed_over_and_a_wrong_one_is_named() {
    let said = complaint_of(
        Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(["epp", "--config", "/no/such/folder", "--pool-name", "p"])
            .envs([("METRICS_PORT", "tcp://10.0.0.1:9090"), ("CERT_PATH", ""), ("POOL_NAMESPACE", "")]),
    );
    assert!(said.contains("cannot read") || said.contains("/no/such/folder"), "{said}");
    assert!(said.contains("METRICS_PORT") && said.contains("tcp://10.0.0.1:9090"), "{said}");
    let said =
        complaint_of(Command::new(env!("CARGO_BIN_EXE_pointsman")).args(["bbr"]).env("GRPC_PORT", "abc"));
    assert!(said.contains("'abc' for 'GRPC_PORT (in the place of --grpc-port <PORT>)'"), "{said}");
    let said = complaint_of(
        Command::new(env!("CARGO_BIN_EXE_pointsman")).args(["epp", "--config", "m"]).env("POOL_NAME", ""),
    );
    assert!(said.contains("--pool-name <NAME>"), "{said}");
}

#[test]
fn a_picker_by_selector_takes_objects_of_its_own_pool_for_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let objective = |name: &str, pool: &str| {
        format!(
            "apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferenceObjective\nmetadata: {{name: {name}}}\nspec: {{priority: 1, poolRef: {{name: {pool}}}}}\n---\n"
        )
    };
    let objects = objective("own", "endpoint-selector") + &objective("lost", "other");
    fs::write(folder.path().join("objectives.yaml"), objects).unwrap();
    let lines = logged_at_start(&[
        "epp",
        "--config",
        folder.path().to_str().unwrap(),
        "--endpoint-selector",
        "app=vllm",
        "--endpoint-target-ports",
        "8000",
        "--admin",
        "127.0.0.1:0",
        "--grpc-port",
        "0",
        "--grpc-health-port",
        "0",
        "--metrics-port",
        "0",
    ]);
    let lost = lines.iter().filter(|line| line["code"] == "pool-not-found");
    let lost: Vec<_> = lost.map(|line| line["object"].as_str().unwrap_or_default()).collect();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(lost[0].contains("lost"), "{lost:?}");
}
