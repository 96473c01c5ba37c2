//! Reading fields, and keeping what is to be said of them.

use super::{FilterDefaults, Problem};
use std::ops::RangeInclusive;
use yaml::{Entry, FieldPath, Tree, Value, nearest, shorten};

/// Problems told of one file; more are of no help.
const PROBLEMS_MAX: usize = 50;

/// What is found while a file is read.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    root: &'t Tree,
    pub(super) problems: Vec<Problem>,
    pub(super) notes: Vec<Problem>,
    pub(super) defaults: FilterDefaults,
}

impl<'t> Reader<'t> {
    pub(super) fn new(root: &'t Tree, defaults: FilterDefaults) -> Reader<'t> {
        Reader { root, problems: Vec::new(), notes: Vec::new(), defaults }
    }

    /// Says that the field at `path` is wrong.
    pub(super) fn problem(&mut self, path: &FieldPath, message: impl Into<String>) {
        let told = self.told(path, message.into());
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(told);
        }
    }

    /// Says something of the field at `path` that is no error.
    pub(super) fn note(&mut self, path: &FieldPath, message: impl Into<String>) {
        let told = self.told(path, message.into());
        if self.notes.len() < PROBLEMS_MAX {
            self.notes.push(told);
        }
    }

    fn told(&self, path: &FieldPath, message: String) -> Problem {
        Problem { line: self.root.line_of(path), field: path.to_string(), message }
    }

    /// The fields of an object, each of which must be known. `None` if it is none, which is told.
    pub(super) fn object(&mut self, tree: &'t Tree, path: &FieldPath, known: &[&str]) -> Option<&'t [Entry]> {
        let entries = self.entries(tree, path)?;
        for entry in entries.iter().filter(|entry| !known.contains(&&*entry.name)) {
            let message = unknown_field(&entry.name, known);
            self.problem(&path.then(&*entry.name), message);
        }
        Some(entries)
    }

    /// A plugin's parameters: the reference ignores those that it does not know.
    pub(super) fn parameters(
        &mut self,
        tree: &'t Tree,
        path: &FieldPath,
        known: &[&str],
    ) -> Option<&'t [Entry]> {
        let entries = self.entries(tree, path)?;
        for entry in entries.iter().filter(|entry| !known.contains(&&*entry.name)) {
            let message = format!("{}; it has no effect", unknown_field(&entry.name, known));
            self.note(&path.then(&*entry.name), message);
        }
        Some(entries)
    }

    fn entries(&mut self, tree: &'t Tree, path: &FieldPath) -> Option<&'t [Entry]> {
        match &tree.value {
            Value::Map(entries) => Some(entries),
            Value::Null => Some(&[]),
            _ => {
                self.problem(path, format!("must be an object, and is {}", tree.what()));
                None
            }
        }
    }

    /// The elements of a list; none if it is missing.
    pub(super) fn list(&mut self, tree: &'t Tree, path: &FieldPath, name: &str) -> &'t [Tree] {
        match tree.get(name) {
            None => &[],
            Some(Tree { value: Value::List(elements), .. }) => elements,
            Some(other) => {
                self.problem(&path.then(name), format!("must be a list, and is {}", other.what()));
                &[]
            }
        }
    }

    /// A text, not empty.
    pub(super) fn text(&mut self, tree: &'t Tree, path: &FieldPath, name: &str) -> Option<&'t str> {
        let value = tree.get(name)?;
        let text = value.as_text();
        if text.is_none() {
            self.problem(&path.then(name), format!("must be a text, and is {}", value.what()));
        }
        text.filter(|text| !text.is_empty())
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, tree: &'t Tree, path: &FieldPath, name: &str) -> Option<&'t str> {
        let before = self.problems.len();
        let text = self.text(tree, path, name);
        if text.is_none() && self.problems.len() == before {
            self.problem(&path.then(name), "is required");
        }
        text
    }

    /// A whole number.
    pub(super) fn whole(
        &mut self,
        tree: &'t Tree,
        path: &FieldPath,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        let value = tree.get(name)?;
        match value.value {
            Value::Integer(number) if range.contains(&number) => Some(number),
            _ => {
                let (least, most) = range.into_inner();
                let range = match least {
                    i64::MIN => format!("of at most {most}"),
                    least => format!("from {least} to {most}"),
                };
                let message = format!("must be a whole number {range}, and is {}", value.what());
                self.problem(&path.then(name), message);
                None
            }
        }
    }

    /// A number. A range that begins with the smallest positive number is of those above 0.
    pub(super) fn number(
        &mut self,
        tree: &'t Tree,
        path: &FieldPath,
        name: &str,
        range: RangeInclusive<f64>,
    ) -> Option<f64> {
        let value = tree.get(name)?;
        let number = match value.value {
            Value::Integer(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            _ => None,
        };
        let within = number.filter(|number| range.contains(number));
        if within.is_none() {
            let range = match range.into_inner() {
                (f64::MIN_POSITIVE, most) => format!("above 0, up to {most}"),
                (least, most) => format!("from {least} to {most}"),
            };
            self.problem(&path.then(name), format!("must be a number {range}, and is {}", value.what()));
        }
        within
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, tree: &'t Tree, path: &FieldPath, name: &str) -> Option<bool> {
        let value = tree.get(name)?;
        match value.value {
            Value::Boolean(boolean) => Some(boolean),
            _ => {
                self.problem(&path.then(name), format!("must be true or false, and is {}", value.what()));
                None
            }
        }
    }

    /// Seconds, written as a duration: `200ms`, `1.5s`, `1m30s`; more than none.
    pub(super) fn seconds(&mut self, tree: &'t Tree, path: &FieldPath, name: &str) -> Option<f32> {
        let value = tree.get(name)?;
        let seconds = value.as_text().and_then(yaml::duration).filter(|duration| !duration.is_zero());
        if seconds.is_none() {
            let message = format!("must be a duration above 0, as `200ms`, and is {}", value.what());
            self.problem(&path.then(name), message);
        }
        seconds.map(|duration| duration.as_secs_f32())
    }
}

fn unknown_field(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("unknown field; did you mean `{near}`?"),
        None if known.is_empty() => "unknown field; there is none here".to_owned(),
        None => format!("unknown field; there are {}", known.join(", ")),
    }
}

/// A name that is not known: the nearest ones first.
pub(super) fn not_among(what: &str, name: &str, known: &[&str]) -> String {
    let near = nearest(name, known.iter().copied());
    let others = known.iter().copied().filter(|known| Some(*known) != near);
    let names: Vec<&str> = near.into_iter().chain(others).collect();
    let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    format!("there is no {what} `{}`{hint} There are: {names}", shorten(name)).replace("` There", "`. There")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_told_first() {
        let told = not_among("plugin type", "queue-scorr", &["kv-cache-scorer", "queue-scorer"]);
        assert_eq!(
            told,
            "there is no plugin type `queue-scorr`; did you mean `queue-scorer`? There are: queue-scorer, kv-cache-scorer"
        );
        let told = not_among("plugin", "x", &[]);
        assert_eq!(told, "there is no plugin `x`. There are: none");
    }
}
