use super::*;
use crate::record::tests::{picked_elsewhere, refused, served};

const SCORERS: [&str; 2] = ["queue-scorer", "prefix-cache-scorer"];

#[test]
fn an_explanation_tells_the_rule_each_score_and_what_was_expected_and_came() {
    let json = serde_json::to_value(Explanation::new(&served(), &SCORERS)).unwrap();
    assert_eq!(json["rule"], "default/routes-to-llms rule 0 match 0");
    let best = &json["decision"]["candidates"][0];
    assert_eq!(best["scores"], serde_json::json!({"queue-scorer": 0.5, "prefix-cache-scorer": 0.25}));
    assert_eq!((&best["waiting"], &best["kv_used"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    assert_eq!(json["cached_tokens"], serde_json::json!({"predicted": 25, "reported": 16}));
    assert_eq!(
        json["attempts"][0],
        serde_json::json!({"endpoint": "127.0.0.1:8001", "outcome": "server_error", "status": 503})
    );
}

#[test]
fn the_text_says_the_same_to_a_person() {
    let text = Explanation::new(&served(), &SCORERS).to_string();
    let expected = r#"request   req-1 at 2025-11-23T12:00:00.250Z
asked     chat_completions, streamed, model "chatbot", sent as "gemma3", priority 0, 2048 bytes
rule      default/routes-to-llms rule 0 match 0
backend   default/gemma3
decided   in 2 µs: 4 weighed, 2 passed over
  127.0.0.1:8001           0.750  3 in flight, nothing reported yet, 1024 of 1536 prompt bytes known
                           0.250  prefix-cache-scorer
                           0.500  queue-scorer
  127.0.0.1:8003          passed: it rests after failures, 12.0 s more
  and 1 more passed over
attempt 1 127.0.0.1:8001: server_error (503)
attempt 2 127.0.0.1:8002: served
cached    25 prompt tokens predicted, 16 reported
answered  200 after 1.25 s, 4096 bytes, first byte after 250 ms, 11 tokens (estimated)
"#;
    assert_eq!(text, expected);
}

#[test]
fn a_pick_of_somebody_else_is_told_with_its_time_and_its_failure() {
    let text = Explanation::new(&picked_elsewhere(), &SCORERS).to_string();
    let expected = "picked    by default/epp:9002 in 1.5 ms
ordered   127.0.0.1:8001, 127.0.0.1:8002
attempt 1";
    assert!(text.contains(expected), "{text}");
    let mut failed = served();
    failed.picker = picked_elsewhere().picker.map(|asked| {
        let why = Some("no answer within 10s".into());
        Box::new(AskedPicker { outcome: PickerOutcome::Failed, why, ..*asked })
    });
    let text = Explanation::new(&failed, &SCORERS).to_string();
    let expected = "picker    default/epp:9002 failed after 1.5 ms: no answer within 10s\ndecided   in";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_score_that_rounds_to_zero_has_no_sign_and_no_line() {
    let mut record = served();
    let decision = record.decision.as_mut().unwrap();
    decision.candidates[0].total = -0.0001;
    decision.candidates[0].parts[0] = -0.0;
    let text = Explanation::new(&record, &SCORERS).to_string();
    assert!(text.contains(" 0.000  3 in flight") && !text.contains("-0.000"), "{text}");
    assert!(!text.contains("queue-scorer"), "{text}");
}

#[test]
fn what_the_gateway_answered_itself_is_told_as_that() {
    let listed = Record { status: 200, ..Record::blank() };
    assert!(Explanation::new(&listed, &[]).to_string().contains("backend   the gateway itself\n"));
    let gone = Record { cancelled: true, ..Record::blank() };
    assert!(Explanation::new(&gone, &[]).to_string().contains("backend   nowhere\n"));
}

#[test]
fn a_response_that_was_cut_short_is_told_with_who_cut_it() {
    for (outcome, name, why) in [
        (Outcome::Broken, "broken", ", the model server broke off"),
        (Outcome::TimedOut, "timed_out", ", the model server took too long"),
        (Outcome::Late, "late", ", the route's time for the request was over"),
        (Outcome::LocalReply, "local_reply", ", the gateway in front seems to have answered itself"),
        (Outcome::Stopped, "stopped", ", the gateway stopped"),
        (Outcome::Cancelled, "cancelled", ", the client went away"),
        (Outcome::Served, "served", ""),
    ] {
        let mut record = Record { cancelled: outcome == Outcome::Cancelled, ..served() };
        record.attempts[1].outcome = outcome;
        let text = Explanation::new(&record, &SCORERS).to_string();
        let expected = format!("11 tokens (estimated){why}\n");
        assert!(
            text.ends_with(&expected) && text.contains(&format!("attempt 2 127.0.0.1:8002: {name}\n")),
            "{text}"
        );
    }
}

#[test]
fn endpoints_that_are_equally_good_are_told_to_be() {
    let mut record = served();
    let decision = record.decision.as_mut().unwrap();
    let candidate =
        journey::Candidate { matched_bytes: 0, waiting: 2, kv_used: 0.5, ..decision.candidates[0] };
    decision.candidates = [candidate, candidate].into_iter().collect();
    let text = Explanation::new(&record, &SCORERS).to_string();
    assert!(text.contains("2 passed over; the best 2 are equal: drawn by lot\n"), "{text}");
    assert!(text.contains("0.750  3 in flight, 2 waiting, KV 50%\n"), "{text}");
}

#[test]
fn what_makes_a_score_besides_requests_in_flight_is_told_with_the_endpoints_standing() {
    let mut record = served();
    let decision = record.decision.as_mut().unwrap();
    let best = &mut decision.candidates[0];
    (best.in_flight, best.of_others, best.after_failures) = (0, 2, 16.104);
    best.fitness = Fitness::ThoughResting;
    let text = Explanation::new(&record, &SCORERS).to_string();
    let expected = "0 in flight, 2 of others, 16.1 counted after failures, nothing reported yet, 1024 of 1536 prompt \
                    bytes known, should rest but half of its pool does\n";
    assert!(text.contains(expected), "{text}");
    let json = serde_json::to_value(Explanation::new(&record, &SCORERS)).unwrap();
    let best = &json["decision"]["candidates"][0];
    assert_eq!((&best["fitness"], &best["of_others"]), (&"though_resting".into(), &2.into()));
}

#[test]
fn each_endpoint_that_was_passed_over_is_told_with_why() {
    let mut record = served();
    let decision = record.decision.as_mut().unwrap();
    let table = [
        (WhyPassedOver::Filtered("low-queue-filter"), "filtered", "low-queue-filter took it away"),
        (WhyPassedOver::OnTrial, "on_trial", "it is on trial by another request"),
        (WhyPassedOver::OutsideSubset, "outside_subset", "it is outside the subset"),
        (WhyPassedOver::Unscraped, "unscraped", "its metrics are not answered any more"),
    ];
    let passed = |why| PassedOver { endpoint: SocketAddr::from(([10, 0, 0, 9], 8000)), why };
    decision.passed = table.iter().map(|(why, ..)| passed(*why)).collect();
    let explanation = Explanation::new(&record, &SCORERS);
    let json = serde_json::to_value(&explanation).unwrap();
    for (place, (_, name, words)) in table.into_iter().enumerate() {
        assert_eq!(json["decision"]["passed"][place]["why"], name);
        let line = format!("  10.0.0.9:8000           passed: {words}\n");
        assert!(explanation.to_string().contains(&line), "{explanation}");
    }
    assert_eq!(json["decision"]["passed"][0]["filter"], "low-queue-filter");
}

#[test]
fn behind_a_gateway_nothing_is_said_of_rules() {
    let picked = Record { rule: None, ..served() };
    let text = Explanation::new(&picked, &SCORERS).to_string();
    assert!(!text.contains("rule ") && text.contains("backend   default/gemma3\n"), "{text}");
}

#[test]
fn a_refused_request_has_the_priority_that_it_was_refused_by() {
    let mut record = refused("chatbot");
    let saturated = journey::Refusal::table().into_iter().find(|refusal| refusal.priority() == Some(-1));
    record.refuse(&saturated.unwrap());
    let text = Explanation::new(&record, &[]).to_string();
    assert!(text.contains(r#"model "chatbot", priority -1, "#), "{text}");
    assert!(text.contains("is saturated and the request's priority is -1"), "{text}");
}

#[test]
fn a_refusal_is_explained_with_its_step_and_nothing_raw_from_the_client() {
    let text = Explanation::new(&refused("evil\u{1b}[31m"), &[]).to_string();
    assert!(text.contains("rule      none matched\n"), "{text}");
    assert!(text.contains("backend   nowhere\n"), "{text}");
    let refusal = r#"refused   by route: model_unknown: the model "evil\u{1b}[31m" does not exist here"#;
    assert!(text.contains(refusal) && !text.contains("priority"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}
