//! Every limit and time of the proxy door, with its unit and its default, in one place.

use clap::builder::RangedU64ValueParser;
use clap::value_parser;
use ipnet::IpNet;
use journey::BodyPace;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// The settings of the proxy door. `None` means: no such limit.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "The proxy door")]
pub struct Settings {
    /// Address that every listener's port is bound on.
    #[arg(long, value_name = "ADDRESS", env = "POINTSMAN_BIND", default_value_t = Settings::default().bind)]
    pub bind: IpAddr,
    /// Bind a free port in place of each listener's own; tests learn it from [`crate::Handle::addresses`]. Default off.
    #[arg(long, hide = true)]
    pub free_ports: bool,
    /// Data threads. Default: one for each core that the process may use. From 1 to 1024.
    #[arg(long, value_name = "COUNT", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_024), env = "POINTSMAN_CORES", default_value_t = Settings::default().cores, hide_default_value = true)]
    pub cores: usize,
    /// Bind each data thread to one core. Default off: an orchestrator's CPU limits rarely come as whole cores.
    #[arg(long, env = "POINTSMAN_PIN_CORES")]
    pub pin_cores: bool,
    /// Peers whose `x-gateway-*`, `x-slo-*`, `x-llm-d-*` and `x-forwarded-*` headers are believed. Default: nobody.
    #[arg(long, value_name = "CIDR", env = "POINTSMAN_TRUSTED_PEERS", value_delimiter = ',')]
    pub trusted_peers: Vec<IpNet>,

    /// Connections from clients at one time, all threads together; beyond it the accept queue waits.
    /// From 1 to 10000000.
    #[arg(long, value_name = "COUNT", value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000_000), env = "POINTSMAN_CONNECTIONS_MAX", default_value_t = Settings::default().connections_max)]
    pub connections_max: usize,
    /// Headers of one request, count; more are answered 431. From 1 to 10000.
    #[arg(long, value_name = "COUNT", value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000), env = "POINTSMAN_HEADERS_MAX", default_value_t = Settings::default().headers_max)]
    pub headers_max: usize,
    /// Request line and headers, bytes; more are answered 431. From 8192 to 16777216.
    #[arg(long, value_name = "BYTES", value_parser = RangedU64ValueParser::<usize>::new().range(8_192..=16_777_216), env = "POINTSMAN_HEADER_BYTES_MAX", default_value_t = Settings::default().header_bytes_max)]
    pub header_bytes_max: usize,
    /// Body of a request that is read to be routed or picked for, bytes; more are answered 413. From 1 to 4294967296.
    #[arg(long, value_name = "BYTES", value_parser = value_parser!(u64).range(1..=4_294_967_296), env = "POINTSMAN_BODY_BYTES_MAX", default_value_t = Settings::default().body_bytes_max)]
    pub body_bytes_max: u64,
    /// Request bodies held at one time, all threads together, bytes; a body that asks for more gets 503, one that needs more
    /// than all of it 413. Default: a quarter of the memory limit (cgroup v2, else physical memory). At least 1.
    #[arg(long, value_name = "BYTES", value_parser = value_parser!(u64).range(1..), env = "POINTSMAN_HELD_BYTES_MAX", default_value_t = Settings::default().held_bytes_max, hide_default_value = true)]
    pub held_bytes_max: u64,

    /// From a connection's start, or a request's first byte, to the end of its head. From 1ms to 24h.
    #[arg(long, value_name = "DURATION", env = "POINTSMAN_HEADER_READ_TIMEOUT", value_parser = resources::durations("1ms", "24h"), default_value = seconds(Settings::default().header_read_timeout))]
    pub header_read_timeout: Duration,
    /// Between two reads of a request body; then 408. From 1ms to 24h.
    #[arg(long, value_name = "DURATION", env = "POINTSMAN_BODY_STALL_TIMEOUT", value_parser = resources::durations("1ms", "24h"), default_value = seconds(Settings::default().body_stall_timeout))]
    pub body_stall_timeout: Duration,
    /// Least rate of a request body that is held, bytes a second; one that comes more slowly for as long as
    /// `--body-stall-timeout` gets 408, however fast it began. 0 sets no rate. From 0 to 1073741824.
    #[arg(long, value_name = "BYTES", value_parser = value_parser!(u64).range(0..=1_073_741_824), env = "POINTSMAN_BODY_RATE_MIN", default_value_t = Settings::default().body_rate_min)]
    pub body_rate_min: u64,
    /// Between two requests of a connection. From 1ms to 24h.
    #[arg(long, value_name = "DURATION", env = "POINTSMAN_KEEP_ALIVE_TIMEOUT", value_parser = resources::durations("1ms", "24h"), default_value = seconds(Settings::default().keep_alive_timeout))]
    pub keep_alive_timeout: Duration,
    /// How long a client may take no byte of a response that waits for it. From 1ms to 24h.
    #[arg(long, value_name = "DURATION", env = "POINTSMAN_WRITE_STALL_TIMEOUT", value_parser = resources::durations("1ms", "24h"), default_value = seconds(Settings::default().write_stall_timeout))]
    pub write_stall_timeout: Duration,
    /// Age after which a connection is closed with its next response, to spread clients over replicas. Default none.
    /// From 1ms to 8760h.
    #[arg(long, value_name = "DURATION", env = "POINTSMAN_CONNECTION_AGE_MAX", value_parser = resources::durations("1ms", "8760h"))]
    pub connection_age_max: Option<Duration>,

    /// Connecting to an endpoint, or to a pool's own endpoint picker. From 1ms to 24h.
    #[arg(long, value_name = "DURATION", env = "POINTSMAN_CONNECT_TIMEOUT", value_parser = resources::durations("1ms", "24h"), default_value = seconds(Settings::default().connect_timeout))]
    pub connect_timeout: Duration,
    /// From the start of an attempt, connecting and sending included, to the head of the response. Default none: a generation takes minutes.
    /// From 1ms to 24h.
    #[arg(long, value_name = "DURATION", env = "POINTSMAN_RESPONSE_HEAD_TIMEOUT", value_parser = resources::durations("1ms", "24h"))]
    pub response_head_timeout: Option<Duration>,
    /// Between two reads of a response body. From 1ms to 24h.
    #[arg(long, value_name = "DURATION", env = "POINTSMAN_RESPONSE_STALL_TIMEOUT", value_parser = resources::durations("1ms", "24h"), default_value = seconds(Settings::default().response_stall_timeout))]
    pub response_stall_timeout: Duration,
    /// How long a connection to an endpoint may lie idle. Short of the 5 s after which model servers on uvicorn close theirs.
    /// From 0s to 24h.
    #[arg(long, value_name = "DURATION", env = "POINTSMAN_UPSTREAM_IDLE_TIMEOUT", value_parser = resources::durations("0s", "24h"), default_value = seconds(Settings::default().upstream_idle_timeout))]
    pub upstream_idle_timeout: Duration,
    /// Idle connections to one endpoint, all threads together (each may keep its share). From 0 to 65536.
    #[arg(long, value_name = "COUNT", value_parser = RangedU64ValueParser::<usize>::new().range(0..=65_536), env = "POINTSMAN_UPSTREAM_IDLE_MAX", default_value_t = Settings::default().upstream_idle_max)]
    pub upstream_idle_max: usize,

    /// From asking a pool's own endpoint picker to its pick; then its failureMode decides. It may hold requests on purpose.
    /// From 1ms to 24h.
    #[arg(long, value_name = "DURATION", env = "POINTSMAN_ENDPOINT_PICKER_TIMEOUT", value_parser = resources::durations("1ms", "24h"), default_value = seconds(Settings::default().endpoint_picker_timeout))]
    pub endpoint_picker_timeout: Duration,
    /// How long a response's head may wait for what the pool's own endpoint picker says to it; then it goes on unchanged.
    /// From 1ms to 24h.
    #[arg(long, value_name = "DURATION", env = "POINTSMAN_ENDPOINT_PICKER_RESPONSE_TIMEOUT", value_parser = resources::durations("1ms", "24h"), default_value = seconds(Settings::default().endpoint_picker_response_timeout))]
    pub endpoint_picker_response_timeout: Duration,

    /// On shutdown: how long requests under way may take to end. From 0s to 24h.
    #[arg(long, value_name = "DURATION", env = "POINTSMAN_DRAIN_TIMEOUT", value_parser = resources::durations("0s", "24h"), default_value = seconds(Settings::default().drain_timeout))]
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            free_ports: false,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            pin_cores: false,
            trusted_peers: Vec::new(),
            connections_max: 50_000,
            headers_max: 100,
            header_bytes_max: 64 << 10,
            body_bytes_max: 32 << 20,
            held_bytes_max: state::memory_limit() / 4,
            header_read_timeout: Duration::from_secs(10),
            body_stall_timeout: Duration::from_secs(30),
            body_rate_min: 1 << 10,
            keep_alive_timeout: Duration::from_secs(75),
            write_stall_timeout: Duration::from_secs(60),
            connection_age_max: None,
            connect_timeout: Duration::from_secs(2),
            response_head_timeout: None,
            response_stall_timeout: Duration::from_secs(600),
            upstream_idle_timeout: Duration::from_secs(4),
            upstream_idle_max: 512,
            endpoint_picker_timeout: Duration::from_secs(10),
            endpoint_picker_response_timeout: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(120),
        }
    }
}

/// A time as a flag has it.
fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs())
}

impl Settings {
    /// How fast a request body that is held must come.
    pub(crate) fn body_pace(&self) -> BodyPace {
        BodyPace { stall_timeout: self.body_stall_timeout, rate_min: self.body_rate_min }
    }

    /// Whether what this peer says about priority and fairness is believed.
    pub(crate) fn trusts(&self, peer: IpAddr) -> Trust {
        let peer = peer.to_canonical();
        if self.trusted_peers.iter().any(|net| net.contains(&peer)) {
            Trust::Trusted
        } else {
            Trust::Stranger
        }
    }
}

/// Whether a peer's steering headers are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The setting names it.
    Trusted,
    /// Anybody else.
    Stranger,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_nets_are_trusted() {
        let settings = Settings {
            trusted_peers: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            ..Settings::default()
        };
        for (peer, trust) in [
            ("10.1.2.3", Trust::Trusted),
            ("::ffff:10.1.2.3", Trust::Trusted),
            ("::1", Trust::Trusted),
            ("11.0.0.1", Trust::Stranger),
            ("::2", Trust::Stranger),
        ] {
            assert_eq!(settings.trusts(peer.parse().unwrap()), trust, "{peer}");
        }
    }
}
