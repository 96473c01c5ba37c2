//! Chat bodies: one system prompt that all share, then turns with quotes, line breaks and other scripts in them.

use std::fmt::Write;

const SYSTEM: &str = "You are the assistant of an engineering team. Answer briefly, cite file names and lines, and say \
    so when you do not know. Write code in fenced blocks.";

const TURNS: [&str; 4] = [
    r#"Why does the gateway hold the \"first\" request longer than the second?\nThe log says: queue 3, slow."#,
    r#"Because its prompt was not in any cache: prefill came first.\n\tlet path = \"C:\\logs\\a.txt\";\n"#,
    r"Größe über alles, 模型服务器的队列很长, модель отвечает медленно, キャッシュを確認して",
    r"The endpoint that answered had two requests waiting and most of its KV cache in use; another one was idle.",
];

/// A body of `bytes` bytes, or a few more; `number` makes it different from every other after the system prompt.
pub(crate) fn chat(bytes: usize, number: usize) -> Vec<u8> {
    let mut body = format!(
        r#"{{"model":"chatbot","messages":[{{"role":"system","content":"{SYSTEM}"}},{{"role":"user","content":"Request {number}."}}"#
    );
    for turn in 0.. {
        let missing = bytes.saturating_sub(body.len() + r#"],"temperature":0.2,"max_tokens":256}"#.len());
        let role = if turn % 2 == 0 { "assistant" } else { "user" };
        let text = TURNS[(turn + number) % TURNS.len()];
        let longest = r#",{"role":"assistant","content":""}"#.len() + text.len() + 8;
        if missing < longest {
            let _ =
                write!(body, r#",{{"role":"user","content":"{}"}}"#, "x".repeat(missing.saturating_sub(29)));
            break;
        }
        let _ = write!(body, r#",{{"role":"{role}","content":"{turn:>8}{text}"}}"#);
    }
    body.push_str(r#"],"temperature":0.2,"max_tokens":256}"#);
    body.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::chat;
    use serde_json::Value;

    #[test]
    fn bodies_are_json_of_about_the_size_asked_for_and_all_different() {
        for bytes in [1 << 10, 16 << 10, 220_000] {
            let (one, other) = (chat(bytes, 1), chat(bytes, 2));
            assert!(serde_json::from_slice::<Value>(&one).is_ok_and(|body| body["model"] == "chatbot"));
            assert!(one.len().abs_diff(bytes) < 32, "{bytes}: {}", one.len());
            assert_ne!(one, other);
        }
    }
}
