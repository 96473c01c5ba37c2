//! Picking domains: which pools share endpoints, and which domain lives on after a reload.
//!
//! A domain is a set of pools connected by shared endpoints. When the manifests change, each new set takes over the
//! living domain with which it has most endpoints in common, then most pools. What is lost: if two domains merge, what
//! was learnt about the endpoints of the smaller one; if one splits, about those of the smaller part. Those start
//! afresh; requests in flight on them are still released in the domain that they came from, which lives as long as they.

use crate::Domain;
use crate::backends::PoolId;
use journey::{EndpointKey, Now};
use scheduling::Slot;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

/// The domains of the snapshot in force.
#[derive(Debug, Default)]
pub(crate) struct Domains {
    living: Vec<Living>,
    /// Domains ever begun: tells their generators apart.
    begun: u64,
}

/// A domain of the snapshot in force.
#[derive(Debug)]
struct Living {
    domain: Arc<Domain>,
    pools: BTreeSet<PoolId>,
    /// In order.
    keys: Vec<EndpointKey>,
    /// Those that the snapshot before had and this one has not.
    departing: Vec<EndpointKey>,
    slots: HashMap<EndpointKey, Slot>,
}

/// A pool's place.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) domain: Arc<Domain>,
    /// The pool's endpoints, in the order given.
    pub(crate) endpoints: Vec<(Slot, EndpointKey)>,
}

impl Domains {
    /// Makes these pools the domains'. Endpoints that left stay until [`Domains::settle`], which follows once the new
    /// snapshot is in force. A request that picks by the one before even later finds those of its endpoints that are left:
    /// who waits looks the pool up again.
    pub(crate) fn place(&mut self, pools: &[(PoolId, Vec<EndpointKey>)], seed: u64, now: Now) -> Vec<Placed> {
        let parts = connected(pools);
        let mut before: Vec<Option<Living>> =
            std::mem::take(&mut self.living).into_iter().map(Some).collect();
        let heirs = heirs(&parts, &before, pools);
        let mut placed: Vec<Option<Placed>> = pools.iter().map(|_| None).collect();
        for (part, heir) in parts.iter().zip(heirs) {
            let living = match heir.and_then(|place| before[place].take()) {
                Some(living) => living,
                None => self.begin(seed),
            };
            let living = living.take_over(part, pools, now);
            for &pool in part {
                let endpoints = pools[pool].1.iter().map(|key| (living.slots[key], key.clone())).collect();
                placed[pool] = Some(Placed { domain: Arc::clone(&living.domain), endpoints });
            }
            self.living.push(living);
        }
        placed.into_iter().map(|placed| placed.expect("every pool is in one part")).collect()
    }

    fn begin(&mut self, seed: u64) -> Living {
        self.begun += 1;
        Living {
            domain: Arc::new(Domain::new(seed.wrapping_add(self.begun))),
            pools: BTreeSet::new(),
            keys: Vec::new(),
            departing: Vec::new(),
            slots: HashMap::new(),
        }
    }

    /// Lets go of the endpoints that the snapshot in force does not have. Call it when that is in force.
    pub(crate) fn settle(&mut self, now: Now) {
        for living in self.living.iter_mut().filter(|living| !living.departing.is_empty()) {
            living.departing.clear();
            let keys = living.keys.clone();
            living.reconcile(keys, now);
        }
    }
}

impl Living {
    fn take_over(mut self, part: &[usize], pools: &[(PoolId, Vec<EndpointKey>)], now: Now) -> Living {
        let keys: BTreeSet<&EndpointKey> = part.iter().flat_map(|&pool| &pools[pool].1).collect();
        let departing = self.keys.iter().filter(|key| !keys.contains(key)).cloned();
        self.departing.extend(departing);
        self.departing.retain(|key| !keys.contains(key));
        self.pools = part.iter().map(|&pool| pools[pool].0.clone()).collect();
        self.keys = keys.into_iter().cloned().collect();
        let all = self.keys.iter().chain(&self.departing).cloned().collect();
        self.reconcile(all, now);
        self
    }

    /// Makes these the domain's endpoints, departing ones among them.
    fn reconcile(&mut self, keys: Vec<EndpointKey>, now: Now) {
        let reconciled = self.domain.lock().reconcile(&keys, now);
        for slot in reconciled.vacated {
            self.domain.forget(slot);
        }
        self.slots = keys.into_iter().zip(reconciled.slots).collect();
    }
}

/// The sets of pools that share endpoints, as places in `pools`. A pool without endpoints is a set of its own.
fn connected(pools: &[(PoolId, Vec<EndpointKey>)]) -> Vec<Vec<usize>> {
    let mut part_of: Vec<usize> = (0..pools.len()).collect();
    let mut parts: Vec<Vec<usize>> = part_of.iter().map(|&pool| vec![pool]).collect();
    let mut first_with: HashMap<SocketAddr, usize> = HashMap::new();
    for (pool, (_, keys)) in pools.iter().enumerate() {
        for key in keys {
            let other = *first_with.entry(key.address).or_insert(pool);
            let (mut into, mut from) = (part_of[other], part_of[pool]);
            if into == from {
                continue;
            }
            if parts[into].len() < parts[from].len() {
                std::mem::swap(&mut into, &mut from);
            }
            let moved = std::mem::take(&mut parts[from]);
            moved.iter().for_each(|&pool| part_of[pool] = into);
            parts[into].extend(moved);
        }
    }
    parts.retain(|part| !part.is_empty());
    for part in &mut parts {
        part.sort_unstable();
    }
    parts.sort_unstable();
    parts
}

/// For each part the place of the living domain that it takes over; each is taken over once.
fn heirs(
    parts: &[Vec<usize>],
    before: &[Option<Living>],
    pools: &[(PoolId, Vec<EndpointKey>)],
) -> Vec<Option<usize>> {
    let mut domain_of: HashMap<&EndpointKey, usize> = HashMap::new();
    let mut domain_of_pool: HashMap<&PoolId, usize> = HashMap::new();
    for (place, living) in before.iter().enumerate() {
        let Some(living) = living else { continue };
        domain_of.extend(living.keys.iter().map(|key| (key, place)));
        domain_of_pool.extend(living.pools.iter().map(|pool| (pool, place)));
    }
    let mut kinships = Vec::new();
    for (part, members) in parts.iter().enumerate() {
        let mut common: HashMap<usize, (usize, usize)> = HashMap::new();
        for &member in members {
            let (pool, keys) = &pools[member];
            for place in keys.iter().filter_map(|key| domain_of.get(key)) {
                common.entry(*place).or_default().0 += 1;
            }
            if let Some(place) = domain_of_pool.get(pool) {
                common.entry(*place).or_default().1 += 1;
            }
        }
        kinships.extend(common.into_iter().map(|(place, common)| (Reverse(common), part, place)));
    }
    kinships.sort_unstable();
    let mut heirs = vec![None; parts.len()];
    let mut taken = BTreeSet::new();
    for (_, part, place) in kinships {
        if heirs[part].is_none() && taken.insert(place) {
            heirs[part] = Some(place);
        }
    }
    heirs
}
