//! What clients that do not read cost: in a process of its own, whose memory nobody else changes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

#[allow(dead_code, reason = "it has what every test of this door needs")]
#[path = "proxy/support.rs"]
mod support;

use std::time::Duration;
use support::{Endpoint, Gate, get, to_service, until};

const CLIENTS: usize = 64;

/// For each client: one read of its endpoint's socket on its way, what waits for the client, and the test's own threads.
const BYTES_EACH_MAX: usize = 512 << 10;

#[test]
fn a_client_that_does_not_read_keeps_little_of_its_response_waiting() {
    static PIECE: [u8; 1 << 20] = [b'x'; 1 << 20];
    let endpoint = Endpoint::start(|mut connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        connection.patience(Duration::from_millis(300));
        while connection.send(&PIECE[..]) {}
        connection.hear("held back");
        connection.wait_for_close();
    });
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let before = resident_bytes();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| gate.client()).collect();
    for client in &mut clients {
        client.send(get("/", ""));
    }
    until("each endpoint is held back", || (endpoint.heard().len() == CLIENTS).then_some(()));
    let each = resident_bytes().saturating_sub(before) / CLIENTS;
    assert!(each < BYTES_EACH_MAX, "{} KiB for each", each >> 10);
}

/// Memory of this process; what waits in the system's socket buffers is not of it.
fn resident_bytes() -> usize {
    let told = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = told.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells it");
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}
