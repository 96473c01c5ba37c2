//! `cargo run --release --package journey-bench`: what the five steps of a request cost, as a table.
//!
//! Instructions are counted by Valgrind, so they are the same on a busy machine; they are the difference between a long
//! and a short run, so that setting up does not count. Without Valgrind the column stays empty.

use clap::Parser;
use journey_bench::{Journey, SetUpError};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Requests before anything is counted: enough to fill what is reused, and to have requests under way.
const WARM_UP: usize = 200;

/// Endpoints, bytes of a body, requests to measure.
const CASES: [(u32, usize, usize); 6] = [
    (10, 1 << 10, 2_000),
    (10, 16 << 10, 1_000),
    (10, 220_000, 100),
    (10, 1 << 20, 40),
    (100, 1 << 10, 1_000),
    (1_000, 1 << 10, 500),
];

#[derive(Parser)]
#[command(about = "What the five steps of a request cost, in instructions, allocations and nanoseconds")]
struct Arguments {
    /// Only run this many requests of this case; what Valgrind is given.
    #[arg(long, num_args = 2, value_names = ["CASE", "REQUESTS"])]
    only: Option<Vec<usize>>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    SetUp(#[from] SetUpError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("Valgrind does not tell how much it collected: {0}")]
    Valgrind(String),
}

fn main() -> Result<(), Error> {
    if let Some(only) = Arguments::parse().only {
        let (endpoints, body_bytes, measured) = CASES[only[0]];
        let mut journey = Journey::new(endpoints, body_bytes, WARM_UP + measured)?;
        (0..only[1]).for_each(|_| journey.request());
        return Ok(());
    }
    let mut out = std::io::stdout();
    writeln!(out, "endpoints  body bytes  instructions  allocations  allocated bytes  ns (best of 5)")?;
    for (case, &(endpoints, body_bytes, measured)) in CASES.iter().enumerate() {
        let cost = cost(case)?;
        let instructions =
            instructions(case, measured)?.map_or("-".to_owned(), |count| format!("{count:.0}"));
        writeln!(
            out,
            "{endpoints:>9}  {body_bytes:>10}  {instructions:>12}  {:>11.2}  {:>15.0}  {:>14.0}",
            cost.allocations, cost.bytes, cost.nanoseconds
        )?;
    }
    Ok(())
}

/// Of one request, in the mean.
struct Cost {
    allocations: f64,
    bytes: f64,
    nanoseconds: f64,
}

fn cost(case: usize) -> Result<Cost, Error> {
    let (endpoints, body_bytes, measured) = CASES[case];
    let mut cost = Cost { allocations: 0.0, bytes: 0.0, nanoseconds: f64::INFINITY };
    for _ in 0..5 {
        let mut journey = Journey::new(endpoints, body_bytes, WARM_UP + measured)?;
        (0..WARM_UP).for_each(|_| journey.request());
        let start = Instant::now();
        let counted = allocation_counter::measure(|| (0..measured).for_each(|_| journey.request()));
        let nanoseconds = start.elapsed().as_nanos() as f64 / measured as f64;
        cost.nanoseconds = cost.nanoseconds.min(nanoseconds);
        cost.allocations = counted.count_total as f64 / measured as f64;
        cost.bytes = counted.bytes_total as f64 / measured as f64;
    }
    Ok(cost)
}

/// Instructions of one request; `None` without Valgrind.
fn instructions(case: usize, measured: usize) -> Result<Option<f64>, Error> {
    let Some(short) = collected(case, WARM_UP)? else { return Ok(None) };
    let Some(long) = collected(case, WARM_UP + measured)? else { return Ok(None) };
    Ok(Some((long - short) / measured as f64))
}

fn collected(case: usize, requests: usize) -> Result<Option<f64>, Error> {
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--only", &case.to_string(), &requests.to_string()])
        .stdin(Stdio::null())
        .output();
    let run = match run {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        run => run?,
    };
    let told = String::from_utf8_lossy(&run.stderr);
    let count =
        told.split_once("Collected :").and_then(|(_, rest)| rest.trim().split(char::is_whitespace).next());
    match count.and_then(|count| count.parse().ok()) {
        Some(count) => Ok(Some(count)),
        None => Err(Error::Valgrind(told.into_owned())),
    }
}
