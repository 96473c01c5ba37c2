//! Which of a picker's pools are declared, told as health: the process's, and that of each ext_proc port.
//!
//! In: the snapshot in force. Out: health. Never: the health of one pool's port for another's.

use extproc::epp::PoolReference;
use extproc::{Health, Serving};
use state::Snapshot;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Services that are alive as long as the process is.
const LIVE: &[&str] = &["liveness"];

/// Services that serve once the pools are known: the names that the reference and its charts ask for.
const READY: &[&str] = &["", "readiness", "inference-extension", extproc::wire::SERVICE];

/// The health of a picker.
#[derive(Debug)]
pub(super) struct PoolHealth {
    /// Told on the port of health.
    pub(super) of_process: Arc<Health>,
    /// Told on the ports of ext_proc, in the order of the pools.
    pub(super) of_ports: Vec<Arc<Health>>,
    pools: Vec<PoolReference>,
}

/// Which pools were declared at any time, in their order.
#[derive(Debug)]
pub(super) struct Seen(Vec<bool>);

impl PoolHealth {
    pub(super) fn new(pools: &[PoolReference]) -> PoolHealth {
        let health = || Arc::new(Health::of_names(LIVE, READY));
        PoolHealth {
            of_process: health(),
            of_ports: pools.iter().map(|_| health()).collect(),
            pools: pools.to_vec(),
        }
    }

    /// None of the pools yet.
    pub(super) fn none_seen(&self) -> Seen {
        Seen(vec![false; self.pools.len()])
    }

    /// Tells what a snapshot declares. A port serves while its pool is declared. The process does once every pool was, and
    /// from then on while any is: who is taken away takes nothing from the others.
    pub(super) fn tell(&self, snapshot: &Snapshot, seen: &mut Seen) {
        let mut any = false;
        for ((pool, health), seen) in self.pools.iter().zip(&self.of_ports).zip(&mut seen.0) {
            let is_declared = snapshot.pool(&pool.name, pool.version).is_some();
            health.becomes(if is_declared { Serving::Yes } else { Serving::No });
            *seen |= is_declared;
            any |= is_declared;
            if !is_declared {
                warn_of(pool, snapshot);
            }
        }
        let serves = any && seen.0.iter().all(|seen| *seen);
        self.of_process.becomes(if serves { Serving::Yes } else { Serving::No });
    }

    /// It serves no more.
    pub(super) fn ends(&self) {
        self.of_process.becomes(Serving::No);
        self.of_ports.iter().for_each(|health| health.becomes(Serving::No));
    }
}

fn warn_of(missing: &PoolReference, snapshot: &Snapshot) {
    let pool = &missing.name;
    let declared = &snapshot.declared_pools;
    let elsewhere = declared.iter().find(|(_, name)| name == pool);
    if let (Some(wanted), Some((elsewhere, _))) = (missing.version, elsewhere) {
        let (group, declared) = (wanted.group(), elsewhere.group());
        let message = "not ready: the InferencePool is declared in another group than --pool-group names";
        return tracing::warn!(%pool, group, declared, "{message}");
    }
    let declared: BTreeSet<String> = declared.iter().map(|(_, name)| name.to_string()).collect();
    let declared = declared.into_iter().collect::<Vec<_>>().join(", ");
    let declared = if declared.is_empty() { "none" } else { &declared };
    tracing::warn!(%pool, declared, "not ready: the InferencePool is not declared");
}

#[cfg(test)]
mod tests {
    use super::*;
    use resources::{Folder, ObjectName};
    use state::{Clock, Settings, World};

    #[test]
    fn a_pool_that_is_taken_away_takes_its_own_port_alone() {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(Settings::default(), Clock::start());
        let names = ["a", "b"];
        let pools = names.map(|name| PoolReference { name: ObjectName::new("default", name), version: None });
        let health = PoolHealth::new(&pools);
        let mut seen = health.none_seen();
        let mut told = |declared: &[&str]| {
            for name in names {
                let manifest = format!(
                    "apiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\nmetadata: {{name: {name}}}\n\
                     spec: {{selector: {{matchLabels: {{app: {name}}}}}, targetPorts: [{{number: 8000}}], \
                     endpointPickerRef: {{name: epp, port: {{number: 9002}}}}}}\n"
                );
                let text = if declared.contains(&name) { &*manifest } else { "" };
                std::fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
            }
            world.apply(Folder::new(&[folder.path().to_owned()]).load());
            health.tell(&world.load(), &mut seen);
            let all = [&health.of_process, &health.of_ports[0], &health.of_ports[1]];
            all.map(|health| health.serving() == Serving::Yes)
        };
        assert_eq!(told(&[]), [false, false, false]);
        assert_eq!(told(&["b"]), [false, false, true], "it has not begun");
        assert_eq!(told(&["a"]), [true, true, false], "each was declared once");
        assert_eq!(told(&["a", "b"]), [true, true, true]);
        assert_eq!(told(&["b"]), [true, false, true]);
        assert_eq!(told(&[]), [false, false, false]);
        assert_eq!(told(&["a"]), [true, true, false]);
        health.ends();
        assert_eq!(health.of_ports[0].serving(), Serving::No);
    }
}
