use super::{LINE_BYTES_MAX, lines};
use crate::Engine;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use std::fmt::Write;

/// A sample as a test writes it.
#[derive(Debug, Clone)]
struct Written {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
    timestamp: Option<i64>,
}

type Parts = (Vec<(String, String)>, f64, Option<i64>);

fn read(page: &[u8]) -> Vec<Written> {
    let whole = |line: super::Line<'_>| {
        let sample = line.sample()?;
        let labels = sample.labels.iter().map(|(name, value)| (name.to_owned(), value.into_owned()));
        Some(Written {
            name: String::from_utf8(line.name.to_vec()).ok()?,
            labels: labels.collect(),
            value: sample.value,
            timestamp: sample.timestamp.map(|timestamp| timestamp as i64),
        })
    };
    lines(page).filter_map(whole).collect()
}

/// Labels, value and timestamp of a page of one line.
fn one(line: &str) -> Option<Parts> {
    let mut samples = read(line.as_bytes());
    assert!(samples.len() <= 1, "{line}");
    samples.pop().map(|sample| (sample.labels, sample.value, sample.timestamp))
}

#[test]
fn comments_empty_lines_and_the_end_of_open_metrics_hold_no_sample() {
    assert!(read(b"# HELP a b\n# TYPE a gauge\n\n   \n#a 1\n # a 1\n# EOF\n").is_empty());
}

#[test]
fn a_sample_is_read_with_and_without_labels_and_timestamp() {
    let labels = vec![("x".to_owned(), "1".to_owned()), ("y".to_owned(), String::new())];
    assert_eq!(one("a 1"), Some((vec![], 1.0, None)));
    assert_eq!(one("a{} 1 -5"), Some((vec![], 1.0, Some(-5))));
    assert_eq!(one("a{x=\"1\",y=\"\"} 2.5e3 7\r\n"), Some((labels.clone(), 2500.0, Some(7))));
    assert_eq!(one("  a { x = \"1\" , y=\"\" , } 2"), Some((labels, 2.0, None)));
    assert_eq!(one("a 1 # {trace=\"x\"} 0.5"), Some((vec![], 1.0, None)));
}

#[test]
fn the_values_that_are_no_numbers_are_read() {
    assert_eq!(one("a +Inf").unwrap().1, f64::INFINITY);
    assert_eq!(one("a -Inf").unwrap().1, f64::NEG_INFINITY);
    assert!(one("a NaN").unwrap().1.is_nan());
}

#[test]
fn escapes_in_labels_are_resolved() {
    let (labels, ..) = one(r#"a{x="q\"b\\s\nl\té"} 1"#).unwrap();
    assert_eq!(labels[0].1, "q\"b\\s\nl\\té");
}

#[test]
fn a_line_that_is_not_well_formed_costs_only_itself() {
    let broken = [
        "a",
        "a{",
        "a{}",
        "a{x} 1",
        "a{x=} 1",
        "a{x=\"} 1",
        "a{x=\"1\\",
        "a{x=\"1\"y=\"2\"} 1",
        "a{=\"1\"} 1",
        "a x",
        "a 1 x",
        "{} 1",
        "a{x=\"\u{e9}\\",
        "a{,} 1",
        "a{x=\"1\"",
    ];
    for line in broken {
        assert!(read(line.as_bytes()).is_empty(), "{line}");
        assert_eq!(read(format!("{line}\nb 1\n").as_bytes()).len(), 1, "{line}");
    }
    assert_eq!(read(b"a{x=\"\xff\"} 1\nb 1").len(), 1);
}

#[test]
fn a_line_over_the_limit_is_skipped() {
    let long = format!("a{{x=\"{}\"}} 1\nb 1\n", "x".repeat(LINE_BYTES_MAX));
    assert_eq!(read(long.as_bytes()).len(), 1);
}

fn written() -> impl Strategy<Value = Written> {
    let value = prop_oneof![any::<f64>(), Just(f64::INFINITY), Just(f64::NEG_INFINITY)];
    let labels = prop::collection::vec(("[a-z_][a-z0-9_]{0,8}", any::<String>()), 0..4);
    ("[a-z_:][a-z0-9_:]{0,12}", labels, value, any::<Option<i32>>()).prop_map(
        |(name, labels, value, timestamp)| Written {
            name,
            labels,
            value,
            timestamp: timestamp.map(i64::from),
        },
    )
}

fn render(samples: &[Written]) -> String {
    let mut page = String::new();
    for sample in samples {
        let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> =
            sample.labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        write!(
            page,
            "# TYPE {} gauge\n{}{{{}}} {}",
            sample.name,
            sample.name,
            labels.join(","),
            sample.value
        )
        .unwrap();
        if let Some(timestamp) = sample.timestamp {
            write!(page, " {timestamp}").unwrap();
        }
        page.push('\n');
    }
    page
}

proptest! {
    #[test]
    fn what_is_written_is_read(samples in prop::collection::vec(written(), 0..8)) {
        let back = read(render(&samples).as_bytes());
        assert_eq!(back.len(), samples.len());
        for (wrote, read) in samples.iter().zip(&back) {
            assert_eq!((&wrote.name, &wrote.labels, wrote.timestamp), (&read.name, &read.labels, read.timestamp));
            assert!(wrote.value == read.value || (wrote.value.is_nan() && read.value.is_nan()));
        }
    }

    #[test]
    fn garbage_never_panics(page in prop::collection::vec(any::<u8>(), 0..256)) {
        read(&page);
    }

    #[test]
    fn garbage_that_looks_like_a_page_never_panics(
        page in "(vllm:lora_requests_info|vllm:cache_config_info|a|[{}\"\\\\,=# \n1é]){0,40}"
    ) {
        read(page.as_bytes());
        for engine in Engine::ALL {
            engine.read(page.as_bytes());
        }
    }
}
