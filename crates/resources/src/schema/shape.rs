//! The words in which the tables of the kinds are written.

use crate::schema::form::Form;
use yaml::{Tree, Value};

/// A field of an object.
pub(crate) struct Field {
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(super) shape: Shape,
}

/// What may stand in a field.
pub(crate) enum Shape {
    /// Anything; nobody looks at it here.
    Any,
    Boolean,
    Integer {
        min: i64,
        max: i64,
    },
    /// One of these numbers.
    Code(&'static [i64]),
    IntegerOrText,
    /// One of these words.
    OneOf(&'static [&'static str]),
    Text(Text),
    Object(&'static [Field]),
    List(&'static List),
    Map(&'static Map),
}

/// A text, its length in characters, and its form.
pub(crate) struct Text {
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) form: Option<Form>,
}

/// A list.
pub(crate) struct List {
    pub(super) of: Shape,
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) key: Key,
}

/// What is unique in a list.
pub(crate) enum Key {
    Nothing,
    /// Each element.
    Element,
    /// This field of the elements.
    Field(&'static str),
}

/// A map with free keys.
pub(crate) struct Map {
    pub(super) key: Option<Form>,
    pub(super) value: Shape,
    pub(super) min: usize,
    pub(super) max: usize,
}

/// A field that must be there.
pub(super) const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, required: true, shape }
}

/// A field that may be there.
pub(super) const fn optional(name: &'static str, shape: Shape) -> Field {
    Field { name, required: false, shape }
}

/// A text of so many characters.
pub(super) const fn text(min: usize, max: usize) -> Shape {
    Shape::Text(Text { min, max, form: None })
}

/// A text of at least one character, and of this form.
pub(super) const fn form(max: usize, form: Form) -> Shape {
    Shape::Text(Text { min: 1, max, form: Some(form) })
}

/// A text that may be empty and else is of this form.
pub(super) const fn form_or_empty(max: usize, form: Form) -> Shape {
    Shape::Text(Text { min: 0, max, form: Some(form) })
}

/// A list of so many.
pub(super) const fn list(of: Shape, min: usize, max: usize) -> List {
    List { of, min, max, key: Key::Nothing }
}

impl List {
    /// Of which no two have the same value in this field.
    pub(super) const fn unique_by(self, field: &'static str) -> List {
        List { key: Key::Field(field), ..self }
    }

    /// Of which no two are the same.
    pub(super) const fn unique(self) -> List {
        List { key: Key::Element, ..self }
    }

    /// What of an element is unique.
    pub(super) fn key_of(&self, element: &Tree) -> Option<String> {
        let key = match self.key {
            Key::Nothing => return None,
            Key::Element => element,
            Key::Field(field) => element.get(field)?,
        };
        match &key.value {
            Value::Text(text) => Some(text.clone()),
            Value::Integer(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

/// Neither a list nor a map has more than this where its table gives no limit.
pub(super) const MANY: usize = 100_000;
/// No text is longer where its table gives no limit.
pub(super) const LONG: usize = 2 * 1024 * 1024;

/// Any text.
pub(super) const TEXT: Shape = text(0, LONG);
/// Any number of texts.
pub(super) const TEXTS: Shape = Shape::List(&list(TEXT, 0, MANY));
/// A map of texts.
pub(super) const TEXT_MAP: Shape = Shape::Map(&Map { key: None, value: TEXT, min: 0, max: MANY });
/// Any number of anything.
pub(super) const ANY_LIST: Shape = Shape::List(&list(Shape::Any, 0, MANY));
/// A number of 32 bits.
pub(super) const INTEGER: Shape = Shape::Integer { min: i32::MIN as i64, max: i32::MAX as i64 };
/// A number of 32 bits, not below 0.
pub(super) const NATURAL: Shape = Shape::Integer { min: 0, max: i32::MAX as i64 };
/// A port.
pub(super) const PORT: Shape = Shape::Integer { min: 1, max: 65_535 };
/// The name of another object.
pub(super) const OBJECT_NAME: Shape = text(1, 253);
/// A namespace.
pub(super) const NAMESPACE: Shape = form(63, Form::Label);
/// An API group; empty is core.
pub(super) const GROUP: Shape = form_or_empty(253, Form::Group);
/// A kind.
pub(super) const KIND: Shape = form(63, Form::Kind);
/// The name of a part of an object: a listener, a rule.
pub(super) const SECTION_NAME: Shape = form(253, Form::Subdomain);
/// Labels.
pub(super) const LABELS: Shape = Shape::Map(&Map {
    key: Some(Form::LabelKey),
    value: form_or_empty(63, Form::LabelValue),
    min: 0,
    max: MANY,
});
/// Annotations.
pub(super) const ANNOTATIONS: Shape =
    Shape::Map(&Map { key: Some(Form::LabelKey), value: TEXT, min: 0, max: MANY });
/// `matchLabels` and `matchExpressions`.
pub(super) const LABEL_SELECTOR: Shape = Shape::Object(&[
    optional("matchLabels", LABELS),
    optional("matchExpressions", Shape::List(&list(Shape::Object(LABEL_EXPRESSION), 0, MANY))),
]);
const LABEL_EXPRESSION: &[Field] = &[
    required("key", form(317, Form::LabelKey)),
    required("operator", Shape::OneOf(&["In", "NotIn", "Exists", "DoesNotExist"])),
    optional("values", TEXTS),
];

impl Shape {
    /// What it is, for messages.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Shape::Any => "anything",
            Shape::Boolean => "true or false",
            Shape::Integer { .. } | Shape::Code(_) => "a whole number",
            Shape::IntegerOrText => "a whole number or a string",
            Shape::OneOf(_) | Shape::Text(_) => "a string",
            Shape::Object(_) | Shape::Map(_) => "an object",
            Shape::List(_) => "a list",
        }
    }

    /// What to do about a value of another type.
    pub(super) fn hint(&self, value: &Value) -> &'static str {
        match (self, value) {
            (Shape::OneOf(_) | Shape::Text(_), Value::Boolean(_) | Value::Integer(_) | Value::Float(_)) => {
                "; put it in quotes"
            }
            (Shape::Integer { .. } | Shape::Code(_) | Shape::Boolean, Value::Text(_)) => {
                "; remove its quotes"
            }
            (Shape::List(_), Value::Map(_)) => "; begin it with `- `",
            _ => "",
        }
    }
}
