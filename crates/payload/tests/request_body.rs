//! The body parser against a DOM parser, on made-up JSON, broken and cut anywhere.

mod oracle;

use proptest::collection::vec;
use proptest::prelude::*;

/// A string as JSON: any characters, some of them escaped.
fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z ]{0,30}",
        1 => "[äß漢字😀\u{7f}\u{80}]{1,40}",
        1 => prop::sample::select(vec![
            r"\n", r"\\", r#"\""#, r"\/", r"\u0041", r"\u00e9", r"\ud83d\ude00", r"\ud83d", r"\ude00", r"\ud83d\n",
            r"\x", r"\u12g4", "\u{1}", "\t",
        ]).prop_map(str::to_owned),
    ];
    vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u32>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no other", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        "-?[0-9.eE+-]{1,5}",
    ]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        string(),
        number(),
        prop::sample::select(vec!["true", "false", "null", "tru", "nul l"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(" , "))),
            vec((string(), inner), 0..4).prop_map(|members| object(&members)),
        ]
    })
}

fn object(members: &[(String, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(key, value)| format!("{key}:{value}")).collect();
    format!("{{{}}}", members.join(",\n"))
}

fn body() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        2 => string(),
        5 => prop::sample::select(vec![
            r#""model""#, r#""mod\u0065l""#, r#""stream""#, r#""max_tokens""#, r#""max_completion_tokens""#,
            r#""messages""#, r#""prompt""#, r#""tools""#, r#""system""#, r#""modell""#, r#""user""#,
            r#""us\u0065r""#,
        ]).prop_map(str::to_owned),
    ];
    let member = prop_oneof![
        4 => (key, value()),
        1 => prop::sample::select(vec![
            (r#""model""#, r#""chat\u0062ot""#), (r#""stream""#, "true"), (r#""max_tokens""#, "100"),
        ]).prop_map(|(key, value)| (key.to_owned(), value.to_owned())),
    ];
    vec(member, 0..6).prop_map(|members| object(&members))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_body_is_read_as_a_dom_parser_reads_it_however_it_is_cut(body in body(), cuts in vec(0usize..20, 0..30)) {
        oracle::check(body.as_bytes(), &cuts);
    }

    #[test]
    fn a_broken_body_is_refused_exactly_when_a_dom_parser_refuses_it(
        body in body(),
        cuts in vec(0usize..20, 0..30),
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..3),
    ) {
        let mut body = body.into_bytes();
        for (place, byte, change) in changes {
            let at = place.index(body.len().max(1));
            match change {
                0 => body.truncate(at),
                1 => body.insert(at, byte),
                2 if at < body.len() => drop(body.remove(at)),
                _ => if let Some(old) = body.get_mut(at) { *old = byte },
            }
        }
        oracle::check(&body, &cuts);
    }

    #[test]
    fn long_text_beyond_ascii_is_checked_across_every_cut(
        text in "[a-zäß漢😀]{0,300}",
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cuts in vec(0usize..90, 0..30),
    ) {
        let mut body = format!(r#"{{"prompt":"{text}","model":"{text}"}}"#).into_bytes();
        oracle::check(&body, &cuts);
        let at = place.index(body.len());
        body[at] = byte;
        oracle::check(&body, &cuts);
    }
}

#[test]
fn every_short_grammar_case_agrees_with_a_dom_parser_at_every_cut() {
    let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    for body in [
        "{}",
        " { } ",
        "",
        " ",
        "[]",
        "\"x\"",
        "1",
        "null",
        "nul",
        "x",
        "{",
        "}",
        "{]",
        "{}{}",
        "{} x",
        "\u{feff}{}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{,}"#,
        r#"{"a":1 "b":2}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":[,1]}"#,
        r#"{"a":[1 2]}"#,
        r#"{"a":[}"#,
        r#"{"a":[1}}"#,
        r#"{a:1}"#,
        r#"{'a':1}"#,
        r#"{"a":01}"#,
        r#"{"a":-}"#,
        r#"{"a":-0}"#,
        r#"{"a":1.}"#,
        r#"{"a":.1}"#,
        r#"{"a":1e}"#,
        r#"{"a":1e+}"#,
        r#"{"a":1E-2}"#,
        r#"{"a":+1}"#,
        r#"{"a":NaN}"#,
        r#"{"a":1e999}"#,
        r#"{"a":true,"b":false,"c":null}"#,
        r#"{"a":truE}"#,
        r#"{"a":"\u00"}"#,
        "{\"a\":\"\n\"}",
        r#"{"model":null}"#,
        r#"{"model":1}"#,
        r#"{"model":""}"#,
        r#"{"model":"a","model":"b"}"#,
        r#"{"model":"","mod\u0065l":"b"}"#,
        r#"{"m":{"model":"a"},"model":"b"}"#,
        r#"{"stream":true,"stream":1}"#,
        r#"{"max_tokens":4294967296}"#,
        r#"{"max_tokens":1.0,"max_completion_tokens":3}"#,
        r#"{"max_tokens":-1}"#,
        r#"{"max_tokens":18446744073709551615}"#,
        r#"{"max_tokens":18446744073709551616}"#,
        r#"{"max_tokens":12345678901234567890.5}"#,
        r#"{"max_tokens":100000000000000000000}"#,
        &deep(126),
        &deep(127),
        &deep(300),
    ] {
        check_at_every_cut(body);
    }
}

#[test]
fn what_lies_deeper_than_anybody_looks_agrees_with_a_dom_parser_at_every_cut() {
    let mixed = |turns: usize, last: &str| {
        format!("{{\"a\":{}1{}{last}", "[{\"b\":".repeat(turns), "}]".repeat(turns))
    };
    for body in [
        "{\n  \"a\": [\n    {\n      \"b\": [],\n      \"c\": {}\n    },\n    -1\n  ]\n}\n",
        r#"{"a":[{"b":"\u00e4\u4f60\n","c\u0020":"\ud83d\ude00"},[12,3,0,1.5e2,true]]}"#,
        r#"{"a":[["\ud83d"]]}"#,
        r#"{"a":[["\ude00x"]]}"#,
        r#"{"a":[["\u00g0"]]}"#,
        r#"{"a":[{"b":1]}}"#,
        r#"{"a":[[1}]}"#,
        r#"{"a":[[01]]}"#,
        r#"{"a":[{,}]}"#,
        r#"{"a":[{"b":1,}]}"#,
        r#"{"a":[[1,]]}"#,
        &mixed(31, "}"),
        &mixed(32, "}"),
        &mixed(62, "}"),
        &mixed(62, "]"),
        &mixed(64, "}"),
    ] {
        check_at_every_cut(body);
    }
}

#[test]
fn what_stands_between_long_texts_agrees_with_a_dom_parser_when_it_comes_again_elsewhere() {
    let text = "long enough to be a text";
    for body in [
        r#"{"a":[{"r":"u","c":"T"},{"r":"u","c":"T"},{"r":"u","c":"T"},{"r":"u","c":"T"}]}"#,
        r#"{"a":[{"r":"u","c":"T"},{"r":"u","c":"T"},{"r":"u","c":"T"},{"r":"u","c":"T"}}"#,
        r#"{"a":[{"r":"u","c":"T"},{"r":"u","c":"T"},{"r":"u","c":"T\u00e4"},{"r":"u","c":"T\x"}]}"#,
        r#"{"a":[["T"],["T"],["T"],["T","T"],["T"]]}"#,
        r#"{"a":[["T"],["T"],["T"],{"k":"T"],["T"}]}"#,
        r#"{"a":[["T"],["T"],["T"],["T"],[["T"],["T"]]],"b":["T"],["T"]}"#,
        r#"{"a":[{"k":"T","k":"T","k":"T"},["T","k":"T"]]}"#,
        r#"{"a":{"b":{"k":"T"},"model":"T"},"c":{"k":"T"},"model":"T"}"#,
        r#"{"a":["T"],"stream":true,"a":["T"],"stream":false,"a":["T"],"stream":true,"a":["T"]}"#,
        r#"{"a":"T","max_tokens":1,"a":"T","max_tokens":2,"a":"T","max_tokens":1,"a":"T"}"#,
        r#"{"input":[["T"],["T"]],"model":"T","input":[["T"],["T"]],"modem":"T"}"#,
    ] {
        check_at_every_cut(&body.replace('T', text));
    }
}

fn check_at_every_cut(body: &str) {
    oracle::check(body.as_bytes(), &[]);
    oracle::check(body.as_bytes(), &vec![1; body.len()]);
    for cut in 0..body.len() {
        oracle::check(body.as_bytes(), &[cut]);
    }
}
