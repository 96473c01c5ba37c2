//! Every limit and time of the ext_proc door, with its unit and its default, in one place.

use clap::builder::RangedU64ValueParser;
use clap::value_parser;
use journey::BodyPace;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// The settings of the ext_proc door.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "The ext_proc door")]
pub struct Settings {
    /// Address that the ports are bound on.
    #[arg(long, value_name = "ADDRESS", env = "POINTSMAN_BIND", default_value_t = Settings::default().bind)]
    pub bind: IpAddr,
    /// Data threads. Default: one for each core that the process may use. From 1 to 1024.
    #[arg(long, value_name = "COUNT", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_024), env = "POINTSMAN_CORES", default_value_t = Settings::default().cores, hide_default_value = true)]
    pub cores: usize,
    /// Connections from gateways at one time, all ports of ext_proc together; beyond it the accept queue waits, and one of each
    /// port. A health port has 64 of its own, and beyond them the oldest is closed. From 1 to 10000000.
    #[arg(long, value_name = "COUNT", value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000_000), env = "POINTSMAN_CONNECTIONS_MAX", default_value_t = Settings::default().connections_max)]
    pub connections_max: usize,
    /// Streams of one connection at one time: an Envoy worker has one connection for all its requests.
    /// From 1 to 1000000.
    #[arg(long, value_name = "COUNT", value_parser = value_parser!(u32).range(1..=1_000_000), env = "POINTSMAN_STREAMS_MAX", default_value_t = Settings::default().streams_max)]
    pub streams_max: u32,
    /// From a connection's start to the end of its TLS handshake and HTTP/2 preface; then it is closed. One that has
    /// greeted may lie idle: it is pinged. From 1ms to 24h.
    #[arg(long, value_name = "DURATION", env = "POINTSMAN_HANDSHAKE_TIMEOUT", value_parser = resources::durations("1ms", "24h"), default_value = seconds(Settings::default().handshake_timeout))]
    pub handshake_timeout: Duration,
    /// Body of a request that is read, bytes; more are answered 413. From 1 to 4294967296.
    #[arg(long, value_name = "BYTES", value_parser = value_parser!(u64).range(1..=4_294_967_296), env = "POINTSMAN_BODY_BYTES_MAX", default_value_t = Settings::default().body_bytes_max)]
    pub body_bytes_max: u64,
    /// Request bodies held at one time, all threads together, bytes; a body that asks for more gets 503, one that needs more
    /// than all of it 413. Default: a quarter of the memory limit (cgroup v2, else physical memory). At least 1.
    #[arg(long, value_name = "BYTES", value_parser = value_parser!(u64).range(1..), env = "POINTSMAN_HELD_BYTES_MAX", default_value_t = Settings::default().held_bytes_max, hide_default_value = true)]
    pub held_bytes_max: u64,
    /// One gRPC message, bytes: in BUFFERED mode it carries the whole body; longer ones are
    /// answered 413. From 65536 to 1073741824.
    #[arg(long, value_name = "BYTES", value_parser = RangedU64ValueParser::<usize>::new().range(65_536..=1_073_741_824), env = "POINTSMAN_GRPC_MESSAGE_BYTES_MAX", default_value_t = Settings::default().grpc_message_bytes_max)]
    pub grpc_message_bytes_max: usize,
    /// From a stream's opening to the end of its first gRPC message, and from a message's first byte to its last; then the
    /// request is answered 408, or the stream ends. From 1ms to 24h.
    #[arg(long, value_name = "DURATION", env = "POINTSMAN_GRPC_MESSAGE_TIMEOUT", value_parser = resources::durations("1ms", "24h"), default_value = seconds(Settings::default().grpc_message_timeout))]
    pub grpc_message_timeout: Duration,
    /// Between two pieces of a request body that is held; then 408. Envoy itself sets no such limit here.
    /// From 1ms to 24h.
    #[arg(long, value_name = "DURATION", env = "POINTSMAN_BODY_STALL_TIMEOUT", value_parser = resources::durations("1ms", "24h"), default_value = seconds(Settings::default().body_stall_timeout))]
    pub body_stall_timeout: Duration,
    /// Least rate of a request body that is held, bytes a second; one that comes more slowly for as long as
    /// `--body-stall-timeout` gets 408, however fast it began. 0 sets no rate. From 0 to 1073741824.
    #[arg(long, value_name = "BYTES", value_parser = value_parser!(u64).range(0..=1_073_741_824), env = "POINTSMAN_BODY_RATE_MIN", default_value_t = Settings::default().body_rate_min)]
    pub body_rate_min: u64,
    /// On shutdown: how long connections and streams are still taken while health says NOT_SERVING, so that gateways learn to
    /// send no more before the ports close. From 0s to 24h.
    #[arg(long, value_name = "DURATION", env = "POINTSMAN_LAME_DUCK", value_parser = resources::durations("0s", "24h"), default_value = seconds(Settings::default().lame_duck))]
    pub lame_duck: Duration,
    /// On shutdown, after that: how long streams under way may take to end. From 0s to 24h.
    #[arg(long, value_name = "DURATION", env = "POINTSMAN_DRAIN_TIMEOUT", value_parser = resources::durations("0s", "24h"), default_value = seconds(Settings::default().drain_timeout))]
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            connections_max: 10_000,
            streams_max: 100_000,
            handshake_timeout: Duration::from_secs(10),
            body_bytes_max: 32 << 20,
            held_bytes_max: state::memory_limit() / 4,
            grpc_message_bytes_max: 40 << 20,
            grpc_message_timeout: Duration::from_secs(30),
            body_stall_timeout: Duration::from_secs(30),
            body_rate_min: 1 << 10,
            lame_duck: Duration::ZERO,
            drain_timeout: Duration::from_secs(120),
        }
    }
}

impl Settings {
    /// How fast a request body that is held must come.
    pub fn body_pace(&self) -> BodyPace {
        BodyPace { stall_timeout: self.body_stall_timeout, rate_min: self.body_rate_min }
    }
}

/// A time as a flag has it.
fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs())
}
