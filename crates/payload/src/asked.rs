//! The fields of a body that configuration asks for, beside the model.
//!
//! In: their names ([`FieldNames`]), and a value of the outermost object or a form's part as it is read. Out: the value as
//! a text ([`FieldValue`]). Never: a value cut short, a number read as a float, a second value (the body is refused, as with
//! `model`: whoever reads it next may take the other one).

use crate::ParseError;
use crate::json::{Ended, KEY_BYTES_MAX, Kind, Want};
use bytes::Bytes;
use std::sync::Arc;

/// Fields that may be asked for: each key of a body is compared with all of them.
pub const FIELDS_MAX: usize = 16;

/// A field's name, bytes: a longer key is told cut, and would be taken for another.
pub const FIELD_NAME_BYTES_MAX: usize = KEY_BYTES_MAX - 1;

/// A field's value, bytes: as long as the values of OpenAI's `metadata` may be.
pub const FIELD_VALUE_BYTES_MAX: usize = 512;

/// A field of the outermost object or of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `model`, which is read of every body.
    Model,
    /// One that was asked for, by its place among the names.
    Asked(usize),
}

/// The names of the fields that are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldNames(Vec<Box<str>>);

/// Why a field cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldNameError {
    /// It has no name, or a long one.
    #[error("a field's name has 1 to {FIELD_NAME_BYTES_MAX} bytes, and {name:?} has {}", .name.len())]
    Length {
        /// The name.
        name: String,
    },
    /// There are enough of them.
    #[error("{name:?} is one field too many: at most {FIELDS_MAX} go to headers beside the model")]
    TooMany {
        /// The name.
        name: String,
    },
}

impl FieldNames {
    /// Asks for a field, unless that was done before.
    pub fn ask(&mut self, name: &str) -> Result<Field, FieldNameError> {
        if name == "model" {
            return Ok(Field::Model);
        }
        if let Some(place) = self.place(name.as_bytes()) {
            return Ok(Field::Asked(place));
        }
        if name.is_empty() || name.len() > FIELD_NAME_BYTES_MAX {
            return Err(FieldNameError::Length { name: name.to_owned() });
        }
        if self.0.len() == FIELDS_MAX {
            return Err(FieldNameError::TooMany { name: name.to_owned() });
        }
        self.0.push(name.into());
        Ok(Field::Asked(self.0.len() - 1))
    }

    /// The names, in the order in which they were asked for.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }

    fn place(&self, name: &[u8]) -> Option<usize> {
        self.0.iter().position(|asked| asked.as_bytes() == name)
    }
}

/// What a body has in a field that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// A string, escapes resolved; a number, digit by digit as sent; `true` or `false`. UTF-8.
    Text(Bytes),
    /// `null`.
    Null,
    /// It is longer than [`FIELD_VALUE_BYTES_MAX`].
    TooLong,
    /// An object or an array, or a form's part that is not UTF-8.
    NotText,
}

/// The fields that were asked for, as far as they have been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedFields {
    names: Arc<FieldNames>,
    values: Vec<Option<FieldValue>>,
}

impl AskedFields {
    pub(crate) fn new(names: Arc<FieldNames>) -> AskedFields {
        let values = vec![None; names.0.len()];
        AskedFields { names, values }
    }

    /// What the body has in the field at this place, if it was read.
    pub fn get(&self, place: usize) -> Option<&FieldValue> {
        self.values.get(place)?.as_ref()
    }

    /// True if each of them was read.
    pub fn are_all_known(&self) -> bool {
        self.values.iter().all(Option::is_some)
    }

    /// Where a key stands among them.
    pub(crate) fn place(&self, key: &[u8]) -> Option<usize> {
        self.names.place(key)
    }

    /// A value begins.
    pub(crate) fn begin(&self, place: usize, kind: Kind) -> Result<Want, ParseError> {
        self.check_first(place)?;
        Ok(match kind {
            Kind::String | Kind::Number => Want::Text { bytes_max: FIELD_VALUE_BYTES_MAX },
            _ => Want::Nothing,
        })
    }

    /// Refuses a field's second value.
    pub(crate) fn check_first(&self, place: usize) -> Result<(), ParseError> {
        match self.values[place] {
            Some(_) => Err(ParseError::FieldTwice { field: self.names.0[place].clone() }),
            None => Ok(()),
        }
    }

    /// A value ended.
    pub(crate) fn end(&mut self, place: usize, value: &Ended<'_>) {
        self.values[place] = Some(match value.kind {
            Kind::String | Kind::Number if value.cut => FieldValue::TooLong,
            Kind::String | Kind::Number => FieldValue::Text(Bytes::copy_from_slice(value.text)),
            Kind::True => FieldValue::Text(Bytes::from_static(b"true")),
            Kind::False => FieldValue::Text(Bytes::from_static(b"false")),
            Kind::Null => FieldValue::Null,
            Kind::Object | Kind::Array => FieldValue::NotText,
        });
    }

    /// A form's part ended; of a long one `text` is one byte more than is wanted.
    pub(crate) fn end_part(&mut self, place: usize, text: &[u8]) {
        self.values[place] = Some(match std::str::from_utf8(text) {
            _ if text.len() > FIELD_VALUE_BYTES_MAX => FieldValue::TooLong,
            Ok(text) => FieldValue::Text(Bytes::copy_from_slice(text.as_bytes())),
            Err(_) => FieldValue::NotText,
        });
    }
}
