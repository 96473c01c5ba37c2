//! The parameters of a header's value: `form-data; name="model"`.

/// A parameter stands twice: two readers may take two different ones.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Twice;

/// The value of parameter `name` (matched without case), quotes and backslashes resolved.
pub(crate) fn parameter(header: &str, name: &str) -> Result<Option<String>, Twice> {
    let mut found = None;
    let mut rest = header.split_once(';').map(|(_, rest)| rest);
    while let Some(parameters) = rest {
        let (key, after_key) = parameters.split_at(parameters.find(['=', ';']).unwrap_or(parameters.len()));
        let Some(value) = after_key.strip_prefix('=') else {
            rest = after_key.strip_prefix(';');
            continue;
        };
        let (value, after) = read_value(value.trim_start_matches([' ', '\t']));
        rest = after;
        if key.trim().eq_ignore_ascii_case(name) && found.replace(value).is_some() {
            return Err(Twice);
        }
    }
    Ok(found)
}

/// A token or a quoted string, and what follows the next semicolon.
fn read_value(text: &str) -> (String, Option<&str>) {
    let Some(quoted) = text.strip_prefix('"') else {
        return match text.split_once(';') {
            Some((token, rest)) => (token.trim().to_owned(), Some(rest)),
            None => (text.trim().to_owned(), None),
        };
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            _ => value.push(character),
        }
    }
    (value, characters.as_str().split_once(';').map(|(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_quoted_or_not_in_any_order() {
        for (header, value) in [
            (r#"form-data; name="model""#, Some("model")),
            ("form-data; name=model", Some("model")),
            ("form-data;NAME = model ; filename=x", Some("model")),
            (r#"form-data; filename="a; name=b\"c"; name="model""#, Some("model")),
            (r#"form-data; filename="name=x""#, None),
            (r#"form-data; x; name="a\"b""#, Some("a\"b")),
            ("form-data; ;; name=", Some("")),
            (r#"form-data; name="open"#, Some("open")),
            ("form-data", None),
            ("", None),
        ] {
            assert_eq!(parameter(header, "name"), Ok(value.map(str::to_owned)), "{header}");
        }
        assert_eq!(parameter("form-data; name=a; name=b", "name"), Err(Twice));
    }
}
