//! `pointsman sim`: simulated model servers, for demonstrations, tests and benchmarks.

use super::Done;
use crate::terminal::{GOOD, NAME};
use clap::{Args, value_parser};
use simulator::{Config, EngineKind, Fault};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::task::Poll;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;

/// Runs simulated model servers: OpenAI's API with queueing, batching, prefix reuse and adapters as in vLLM, and faults on
/// demand. The words they answer are canned; the behaviour is honest.
#[derive(Debug, Args)]
pub(crate) struct Sim {
    /// Address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", env = "POINTSMAN_SIM_BIND")]
    bind: IpAddr,
    /// Port of the first server; 0 takes any free port.
    #[arg(long, value_name = "PORT", default_value_t = 8000, env = "POINTSMAN_SIM_PORT")]
    port: u16,
    /// How many servers to run, on ports that follow each other (or on free ones, with --port 0). From 1 to 2000.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = value_parser!(u16).range(1..=2000))]
    count: u16,
    /// The base model's name, as requests ask for it.
    #[arg(long, value_name = "NAME", default_value = "simulated", env = "POINTSMAN_SIM_MODEL")]
    model: String,
    /// A LoRA adapter that is served from the start; may be given several times.
    #[arg(long = "adapter", value_name = "NAME")]
    adapters: Vec<String>,
    /// Whose metrics page and error shape to speak: vllm, sglang, trtllm-serve, triton-tensorrt-llm, llama.cpp or none.
    #[arg(long, value_name = "ENGINE", default_value = "vllm")]
    engine: EngineKind,
    /// What a step costs, as the name of a model on a machine; a wrong name lists them all.
    #[arg(long, value_name = "NAME", default_value = "demo")]
    engine_model: engine::Coefficients,
    /// Simulated seconds in a second of the wall clock. From 0.001 to 1000000.
    #[arg(long, value_name = "FACTOR", value_parser = speed, default_value_t = 1.0)]
    speed: f64,
    /// Requests computed in one step, at most. From 1 to 65536.
    #[arg(long, value_name = "COUNT", value_parser = value_parser!(u32).range(1..=65_536), default_value_t = Config::default().max_num_seqs)]
    max_num_seqs: u32,
    /// Tokens computed in one step, at most. From 1 to 16777216.
    #[arg(long, value_name = "TOKENS", value_parser = value_parser!(u32).range(1..=16_777_216), default_value_t = Config::default().max_num_batched_tokens)]
    max_num_batched_tokens: u32,
    /// Tokens in a KV block. From 1 to 65536.
    #[arg(long, value_name = "TOKENS", value_parser = value_parser!(u32).range(1..=65_536), default_value_t = Config::default().block_tokens)]
    block_tokens: u32,
    /// KV blocks in all; by default what the engine model has. From 1 to 16777216.
    #[arg(long, value_name = "COUNT", value_parser = value_parser!(u32).range(1..=16_777_216))]
    num_gpu_blocks: Option<u32>,
    /// Adapters in use at once, at most. From 1 to 4096.
    #[arg(long, value_name = "COUNT", value_parser = value_parser!(u32).range(1..=4_096), default_value_t = Config::default().max_loras)]
    max_loras: u32,
    /// Tokens that an answer has at least, unless the request's limit is lower. From 1 to 1048576.
    #[arg(long, value_name = "TOKENS", value_parser = value_parser!(u32).range(1..=1_048_576), default_value_t = Config::default().answer_tokens)]
    answer_tokens: u32,
    /// Answer every POST at once with one fixed body: for measuring what lies before the server.
    #[arg(long)]
    instant: bool,
    /// A fault from the start, as in `slow=3`; may be given several times. A wrong one lists them all. While it runs, POST
    /// faults as a JSON list of such texts to /sim/fault; `[]` heals, `refuse` too.
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Fault>,
}

impl Sim {
    pub(crate) fn execute(self) -> Done {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, self.serve())
    }

    async fn serve(self) -> Done {
        // All are bound before one is said to be ready.
        let mut listeners = Vec::new();
        for number in 0..self.count {
            listeners.push(self.listen(number).await?);
        }
        let mut servers = Vec::new();
        for listener in listeners {
            let local = listener.local_addr()?;
            servers.push(tokio::task::spawn_local(simulator::serve(self.config(), listener, stopped())));
            anstream::println!("{GOOD}ready{GOOD:#} http://{local} model {NAME}{}{NAME:#}", self.model);
        }
        for server in servers {
            server.await?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The socket of server `number`, from 0.
    async fn listen(&self, number: u16) -> Result<TcpListener, String> {
        let port = match self.port {
            0 => Some(0),
            first => first.checked_add(number),
        };
        let port = port.ok_or_else(|| {
            format!("{} ports from {} on end beyond 65535; give another --port", self.count, self.port)
        })?;
        let address = SocketAddr::new(self.bind, port);
        let bound = TcpListener::bind(address).await;
        bound.map_err(|error| {
            format!("cannot listen on {address}: {error}; give another --port, or 0 for any")
        })
    }

    fn config(&self) -> Config {
        Config {
            model: self.model.clone(),
            adapters: self.adapters.clone(),
            engine: self.engine,
            engine_model: self.engine_model,
            speed: self.speed,
            max_num_seqs: self.max_num_seqs,
            max_num_batched_tokens: self.max_num_batched_tokens,
            block_tokens: self.block_tokens,
            num_gpu_blocks: self.num_gpu_blocks,
            max_loras: self.max_loras,
            answer_tokens: self.answer_tokens,
            instant: self.instant,
            faults: self.faults.clone(),
            ..Config::default()
        }
    }
}

/// How fast the simulated clock runs, as a flag has it.
fn speed(text: &str) -> Result<f64, &'static str> {
    let speed = text.parse().ok().filter(|speed| (1e-3..=1e6).contains(speed));
    speed.ok_or("it must be a number from 0.001 to 1000000")
}

/// Ends with the first SIGINT or SIGTERM.
pub(crate) async fn stopped() {
    let signals = [SignalKind::interrupt(), SignalKind::terminate()];
    match Stop::at(&signals) {
        Ok(mut stop) => stop.asked().await,
        Err(_) => std::future::pending().await,
    }
}

/// The signals that stop a program, caught from the moment that this is made.
pub(crate) struct Stop(Vec<Signal>);

impl Stop {
    /// At SIGINT and SIGTERM, and at SIGHUP: when its terminal is closed.
    pub(crate) fn at_hangup_too() -> io::Result<Stop> {
        Stop::at(&[SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()])
    }

    fn at(kinds: &[SignalKind]) -> io::Result<Stop> {
        kinds.iter().map(|kind| signal(*kind)).collect::<io::Result<_>>().map(Stop)
    }

    /// Ends with the next of the signals.
    pub(crate) async fn asked(&mut self) {
        std::future::poll_fn(|cx| {
            let mut signals = self.0.iter_mut();
            match signals.any(|signal| signal.poll_recv(cx).is_ready()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}
