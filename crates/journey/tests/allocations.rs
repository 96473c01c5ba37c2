//! The steady state of admit, pick and learn allocates nothing.

use allocation_counter::measure;
use journey::{
    Admission, AdmissionSettings, Arrival, EndpointKey, ModelPolicies, Now, Outcome, PoolState, PoolView,
};
use payload::{ModelName, Prompt, Usage};
use scheduling::filters::{DecisionTreeFilter, Filter, LeastQueueFilter, LowQueueFilter};
use scheduling::pickers::{Picker, WeightedRandomPicker};
use scheduling::scorers::{KvCacheUtilizationScorer, LoraAffinityScorer, QueueScorer, Scorer};
use scheduling::{Policy, PrefixIndex};
use std::net::SocketAddr;
use std::sync::Arc;

#[test]
fn a_request_in_the_steady_state_allocates_nothing() {
    assert_eq!(allocations_of(Policy::default()), 0);
}

#[test]
fn a_decision_tree_and_the_references_scorers_allocate_nothing_either() {
    let low = || Filter::LowQueue(LowQueueFilter { threshold: 0 });
    let tree = DecisionTreeFilter {
        current: low(),
        next_on_success: None,
        next_on_failure: Some(Filter::LeastQueue(LeastQueueFilter)),
    };
    let scorers = [
        Scorer::Queue(QueueScorer),
        Scorer::KvCacheUtilization(KvCacheUtilizationScorer),
        Scorer::LoraAffinity(LoraAffinityScorer::default()),
    ];
    let policy = Policy {
        filters: [Filter::DecisionTree(Box::new(tree))].into_iter().collect(),
        scorers: scorers.into_iter().map(|scorer| (scorer, 1.0)).collect(),
        picker: Picker::WeightedRandom(WeightedRandomPicker),
        endpoints_max: 2,
    };
    assert_eq!(allocations_of(policy), 0);
}

/// Allocations of two hundred requests, after two hundred others.
fn allocations_of(policy: Policy) -> u64 {
    let key = |index| EndpointKey { pod_uid: None, address: SocketAddr::from(([10, 0, 0, index], 8000)) };
    let keys: Vec<EndpointKey> = (0..10).map(key).collect();
    let mut state = PoolState::new(1);
    let view = PoolView {
        name: Arc::from("default/gemma3"),
        slots: state.reconcile(&keys, Now(0)).slots,
        policy: Arc::new(policy),
        admission: AdmissionSettings::default(),
    };
    let (prefixes, policies) = (PrefixIndex::default(), ModelPolicies::default());
    let model = ModelName(Arc::from("gemma3"));
    let prompt = Prompt { bytes: 2100, blocks: [1, 2].into_iter().collect(), salt: 0 };
    let subset = keys[0].address;
    let mut random = fastrand::Rng::with_seed(1);
    let mut request = |now: u64| {
        let admissible = policies.weigh(Some(&model), None, None, &mut random);
        let matches = prefixes.lookup(&model.0, &prompt);
        let arrival = Arrival {
            pool: &view,
            priority: admissible.priority,
            model: &model.0,
            prompt: &prompt,
            max_tokens: None,
            matches: &matches,
            subset: now.is_multiple_of(3).then_some(std::slice::from_ref(&subset)),
            test_selection: None,
        };
        let Admission::Send(decision) = state.arrive(arrival, Now(now)) else {
            panic!("every request is sent")
        };
        prefixes.insert(decision.endpoints[0].slot, &model.0, &prompt);
        let outcome = if now.is_multiple_of(7) { Outcome::Broken } else { Outcome::Served };
        state.moved(
            decision.reservation,
            decision.endpoints.last().expect("never empty").slot,
            outcome,
            Now(now),
        );
        state.first_token(decision.reservation, Now(now));
        state.progress(decision.reservation, 5, Now(now));
        state.done(decision.reservation, outcome, Usage::default(), Now(now));
    };
    (0..200).for_each(&mut request);
    measure(|| (200..400).for_each(&mut request)).count_total
}
