//! What `GET /v1/models` is answered where no rule takes it: the models that can be asked for, in OpenAI's shape.

use serde::Serialize;

/// OpenAI's list, in the order of its fields.
#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

/// A model. When it was made nobody here knows; clients want the field.
#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

/// The list of these models, as JSON.
pub fn model_list(names: &[&str]) -> String {
    let models = names.iter().map(|id| Model { id, object: "model", created: 0, owned_by: "pointsman" });
    let list = List { object: "list", data: models.collect() };
    serde_json::to_string(&list).expect("strings always serialise")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_listed_as_openai_does() {
        let expected =
            r#"{"object":"list","data":[{"id":"a","object":"model","created":0,"owned_by":"pointsman"}]}"#;
        assert_eq!(model_list(&["a"]), expected);
        assert_eq!(model_list(&[]), r#"{"object":"list","data":[]}"#);
    }
}
