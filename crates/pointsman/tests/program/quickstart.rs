//! The README's first command, piped: what it prints can be pasted, and tells where each request went.

use crate::support::PATIENCE;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use tempfile::TempDir;

/// A quickstart under way. Dropped, it ends.
struct Quickstart {
    process: Child,
    lines: Receiver<String>,
    /// Its temporary folder.
    temporary: TempDir,
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Quickstart {
    fn start() -> Quickstart {
        let temporary = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(["quickstart", "--port", "0", "--admin", "127.0.0.1:0"])
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let printed = BufReader::new(process.stdout.take().expect("what it prints is ours"));
        let (told, lines) = channel();
        std::thread::spawn(move || {
            printed.lines().map_while(Result::ok).try_for_each(|line| told.send(line))
        });
        Quickstart { process, lines, temporary }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("it goes on printing")
    }

    /// The next line that begins so, and all of it.
    fn line_beginning(&self, beginning: &str) -> String {
        std::iter::repeat_with(|| self.line()).find(|line| line.trim_start().starts_with(beginning)).unwrap()
    }
}

/// Sends what a line of curl and the line of its `-d` would.
fn send(curl: &str, data: &str) -> String {
    let url = curl.split_whitespace().find(|word| word.starts_with("localhost:")).expect("an address");
    let (host, path) = url.split_once('/').expect("a path");
    let body = data.trim().strip_prefix("-d '").and_then(|data| data.strip_suffix('\'')).expect("a body");
    let mut connection = TcpStream::connect(host.replace("localhost", "127.0.0.1")).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "host: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n";
    write!(connection, "POST /{path} HTTP/1.1\r\n{head}content-length: {}\r\n\r\n{body}", body.len())
        .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_signal_takes_the_folder_of_manifests_away() {
    for signal in ["INT", "TERM", "HUP"] {
        let mut quickstart = Quickstart::start();
        let temporary = quickstart.temporary.path().to_owned();
        let told = quickstart.line_beginning("manifests ");
        let folder = Path::new(told.trim_start().trim_start_matches("manifests ").trim());
        assert!(folder.starts_with(&temporary) && folder.join("gateway.yaml").exists(), "{told}");
        let kill = format!("kill -{signal} {}", quickstart.process.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert!(quickstart.process.wait().unwrap().success(), "{signal}");
        assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "{signal}");
    }
}

#[test]
fn the_requests_that_the_quickstart_prints_are_answered_by_the_right_pools_and_told() {
    let quickstart = Quickstart::start();
    let requests = [(); 4].map(|()| (quickstart.line_beginning("curl "), quickstart.line()));
    for (curl, data) in &requests {
        let answer = send(curl, data);
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{curl}\n{data}\n{answer}");
        assert_eq!(answer.contains("data: [DONE]"), data.contains(r#""stream":true"#), "{answer}");
        let (model, pool) = match data.contains("chatbot") {
            true => ("chatbot", "default/gemma3"),
            false => ("recommender", "default/deepseek-r1"),
        };
        let told =
            std::iter::repeat_with(|| quickstart.line()).find(|line| line.contains("  200  ")).unwrap();
        assert!(told.contains(&format!("{model} → {pool} → 127.0.0.1:")), "{told}");
        assert!(!told.contains('\u{1b}'), "colour is for terminals: {told:?}");
    }
}
