use super::*;
use proptest::prelude::*;

fn stream_of(dialect: Dialect) -> ResponseObserver {
    ResponseObserver::new(dialect, Some(b"text/event-stream; charset=utf-8"), None)
}

/// Feeds `bytes` in pieces of the lengths in `cuts`, then the rest; answers all tokens told.
fn feed(observer: &mut ResponseObserver, bytes: &[u8], cuts: &[usize]) -> u32 {
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut tokens = 0;
    for cut in cuts {
        tokens += observer.feed(&rest.split_to((*cut).min(rest.len()))).tokens;
    }
    tokens + observer.feed(&rest).tokens
}

fn reported(input: u32, cached: Option<u32>, output: u32) -> Usage {
    Usage {
        input_tokens: Some(input),
        cached_tokens: cached,
        output_tokens: Some(output),
        source: Some(TokenSource::Reported),
    }
}

fn estimated(output: u32) -> Usage {
    Usage { output_tokens: Some(output), source: Some(TokenSource::Estimated), ..Usage::default() }
}

const CHAT: &str = concat!(
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"The \\\"usage\\\":{\\\"completion_tokens\\\":9}\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"}}],\"usage\":null}\n\n",
    ": a comment\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0}]}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[]},\"finish_reason\":\"stop\"}]}\n\n",
);
const CHAT_END: &str = concat!(
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,",
    "\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n",
    "data: [DONE]\n\n",
);
const MESSAGES: &str = concat!(
    "event: message_start\n",
    "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":20,",
    "\"cache_creation_input_tokens\":10,\"output_tokens\":1}}}\n\n",
    "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    "event: content_block_delta\n",
    "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n",
);
const MESSAGES_END: &str = concat!(
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":12}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);
const RESPONSES: &str = concat!(
    "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\n",
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n",
);
const RESPONSES_END: &str = concat!(
    "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"output\":[{\"usage\":1}],",
    "\"usage\":{\"input_tokens\":9,\"input_tokens_details\":{\"cached_tokens\":8},\"output_tokens\":2}}}\n\n",
);

#[test]
fn a_stream_tells_its_deltas_and_its_usage() {
    let completions = "data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: {\"choices\":[{\"text\":\"\"}]}\n\n";
    for (dialect, events, tokens, usage) in [
        (Dialect::ChatCompletions, CHAT.to_owned(), 3, estimated(3)),
        (Dialect::ChatCompletions, CHAT.to_owned() + CHAT_END, 3, reported(7, Some(4), 3)),
        (Dialect::Completions, completions.to_owned(), 1, estimated(1)),
        (
            Dialect::Messages,
            MESSAGES.to_owned(),
            1,
            Usage { input_tokens: Some(35), cached_tokens: Some(20), ..estimated(1) },
        ),
        (Dialect::Messages, MESSAGES.to_owned() + MESSAGES_END, 1, reported(35, Some(20), 12)),
        (Dialect::Responses, RESPONSES.to_owned(), 1, estimated(1)),
        (Dialect::Responses, RESPONSES.to_owned() + RESPONSES_END, 1, reported(9, Some(8), 2)),
        (
            Dialect::ChatCompletions,
            "data: nonsense\n\ndata: {\"choices\":[{\"de\n\n".to_owned(),
            0,
            Usage::default(),
        ),
    ] {
        let mut observer = stream_of(dialect);
        assert_eq!(feed(&mut observer, events.as_bytes(), &[]), tokens, "{events}");
        assert_eq!(observer.usage(), usage, "{events}");
    }
}

#[test]
fn line_ends_may_be_any_of_the_three_and_data_may_take_several_lines() {
    for end in ["\n", "\r\n", "\r"] {
        let events = CHAT.to_owned() + "data: {\"choices\":[{\"delta\":\ndata:{\"content\":\"x\"}}]}\n\n";
        let mut observer = stream_of(Dialect::ChatCompletions);
        assert_eq!(feed(&mut observer, events.replace('\n', end).as_bytes(), &[]), 4, "{end:?}");
    }
}

#[test]
fn lines_of_data_are_joined_by_a_line_end() {
    let mut observer = stream_of(Dialect::ChatCompletions);
    feed(&mut observer, b"data: {\"usage\":{\"completion_tokens\":1\ndata: 2}}\n\n", &[]);
    assert_eq!(observer.usage().output_tokens, Some(1));
}

#[test]
fn a_delta_is_told_with_the_chunk_in_which_its_event_ends() {
    let mut observer = stream_of(Dialect::ChatCompletions);
    let event = Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n");
    assert_eq!(observer.feed(&event.slice(..event.len() - 1)).tokens, 0);
    assert_eq!(observer.feed(&event.slice(event.len() - 1..)).tokens, 1);
}

#[test]
fn a_body_that_is_one_object_tells_its_usage_at_any_size() {
    let chat = format!(
        r#"{{"choices":[{{"message":{{"content":"{}\"usage\":{{\"completion_tokens\":1}}"}},"text":"x"}}],
            "usage":{{"prompt_tokens":10,"completion_tokens":20}}}}"#,
        "long ".repeat(50_000)
    );
    let messages =
        r#"{"type":"message","usage":{"input_tokens":1,"cache_read_input_tokens":2,"output_tokens":3}}"#;
    let response = r#"{"object":"response","usage":{"input_tokens":1,"output_tokens":3,"input_tokens_details":{"cached_tokens":1}}}"#;
    for (dialect, body, usage) in [
        (Dialect::ChatCompletions, chat.as_str(), reported(10, None, 20)),
        (Dialect::Messages, messages, reported(3, Some(2), 3)),
        (Dialect::Responses, response, reported(1, Some(1), 3)),
        (
            Dialect::ChatCompletions,
            r#"{"usage":{"prompt_tokens":-1,"completion_tokens":"2"}}"#,
            Usage::default(),
        ),
        (Dialect::ChatCompletions, "not json", Usage::default()),
    ] {
        let mut observer = ResponseObserver::new(dialect, Some(b"application/json"), None);
        assert_eq!(feed(&mut observer, body.as_bytes(), &[1, 10, 100, 1000]), 0);
        assert_eq!(observer.usage(), usage, "{}", &body[..body.len().min(100)]);
        assert!(!observer.is_event_stream());
    }
}

#[test]
fn a_compressed_or_foreign_response_is_not_observed() {
    for (content_type, coding) in
        [("text/event-stream", Some("gzip")), ("application/json", Some("br")), ("text/html", None)]
    {
        let mut observer = ResponseObserver::new(
            Dialect::ChatCompletions,
            Some(content_type.as_bytes()),
            coding.map(str::as_bytes),
        );
        assert_eq!(feed(&mut observer, (CHAT.to_owned() + CHAT_END).as_bytes(), &[]), 0);
        assert_eq!(feed(&mut observer, br#"{"usage":{"prompt_tokens":1}}"#, &[]), 0);
        assert_eq!((observer.usage(), observer.cut("x")), (Usage::default(), None));
    }
}

#[test]
fn a_cut_stream_is_closed_by_a_blank_line_and_one_error_in_the_dialects_shape() {
    let openai =
        r#"data: {"error":{"message":"it \"died\"","type":"server_error","param":null,"code":null}}"#;
    let anthropic = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"it \\\"died\\\"\"}}";
    let responses = "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"it \\\"died\\\"\",\"param\":null}";
    for (dialect, events, close, error) in [
        (Dialect::ChatCompletions, "", "", openai),
        (Dialect::ChatCompletions, CHAT, "", openai),
        (Dialect::Completions, "data: {\"a", "\n\n", openai),
        (Dialect::Responses, "data: {}\n", "\n", responses),
        (Dialect::Responses, "data: {}\r", "\n\n", responses),
        (Dialect::Responses, "data: {}\r\n", "\n", responses),
        (Dialect::Messages, MESSAGES, "", anthropic),
        (Dialect::Messages, "event: x\nd", "\n\n", anthropic),
    ] {
        let mut observer = stream_of(dialect);
        feed(&mut observer, events.as_bytes(), &[]);
        let expected = format!("{close}{error}\n\n");
        assert_eq!(observer.cut("it \"died\"").as_deref(), Some(expected.as_bytes()), "{events}");
    }
}

#[test]
fn a_stream_that_had_ended_is_not_cut() {
    for (dialect, events) in [
        (Dialect::ChatCompletions, CHAT_END),
        (Dialect::Messages, MESSAGES_END),
        (Dialect::Responses, RESPONSES_END),
        (Dialect::ChatCompletions, "data:[DONE]\r\r"),
    ] {
        let mut observer = stream_of(dialect);
        feed(&mut observer, events.as_bytes(), &[]);
        assert_eq!(observer.cut("too late"), None, "{events}");
    }
}

proptest! {
    #[test]
    fn a_stream_is_seen_alike_however_it_is_cut(
        order in proptest::collection::vec(0usize..7, 0..8),
        end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        cuts in proptest::collection::vec(0usize..60, 0..60),
    ) {
        let pieces = [CHAT, CHAT_END, MESSAGES, MESSAGES_END, RESPONSES, RESPONSES_END, "data: {\"x\n\ndata\n:\n"];
        let events: String = order.into_iter().map(|index| pieces[index]).collect();
        let events = events.replace('\n', end);
        let mut whole = stream_of(Dialect::ChatCompletions);
        let mut cut = stream_of(Dialect::ChatCompletions);
        prop_assert_eq!(feed(&mut whole, events.as_bytes(), &[]), feed(&mut cut, events.as_bytes(), &cuts));
        prop_assert_eq!(whole.usage(), cut.usage());
        prop_assert_eq!(whole.cut("x"), cut.cut("x"));
    }
}

#[test]
fn what_stands_around_content_is_seen_even_if_the_same_bytes_were_passed_over_elsewhere() {
    let text = "long enough to be a text";
    let choice = format!(r#"{{"x":{{"y":"{text}"}},"delta":{{"content":"{text}"}}}}"#);
    let event = format!("data: {{\"z\":[{choice},{choice}],\"choices\":[{choice}]}}\n\n");
    let mut observer = stream_of(Dialect::ChatCompletions);
    assert_eq!(feed(&mut observer, event.as_bytes(), &[]), 1);
}

#[test]
fn a_number_before_a_broken_character_counts_nowhere_however_it_is_cut() {
    let events = b"data: {\"usage\":{\"prompt_tokens\":8\xd4\xdd,\"completion_tokens\":1}}\n\n";
    for cuts in [&[][..], &[1; 64]] {
        let mut observer = stream_of(Dialect::ChatCompletions);
        feed(&mut observer, events, cuts);
        assert_eq!(observer.usage(), Usage::default(), "{cuts:?}");
    }
}
