//! A message read where it lies: fields that have a length, without a copy or a count of who shares them.

use super::body::cut_short;
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

const LENGTH_DELIMITED: u8 = WireType::LengthDelimited as u8;

/// The fields of a message that have a length, each with its number; others are skipped.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// Most have a number below 16, and a length below 128.
    fn short(&mut self) -> Option<(u32, &'a [u8])> {
        let [key @ 0x08..0x80, length @ ..0x80, rest @ ..] = self.0 else { return None };
        let (field, rest) =
            rest.split_at_checked(usize::from(*length)).filter(|_| key & 7 == LENGTH_DELIMITED)?;
        self.0 = rest;
        Some((u32::from(key >> 3), field))
    }

    fn any(&mut self) -> Result<Option<(u32, &'a [u8])>, DecodeError> {
        let (number, wire_type) = decode_key(&mut self.0)?;
        if wire_type != WireType::LengthDelimited {
            skip_field(wire_type, number, &mut self.0, DecodeContext::default())?;
            return Ok(None);
        }
        let length = decode_varint(&mut self.0)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= self.0.len());
        let (field, rest) = self.0.split_at(length.ok_or_else(cut_short)?);
        self.0 = rest;
        Ok(Some((number, field)))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, &'a [u8]), DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(field) = self.short() {
            return Some(Ok(field));
        }
        while !self.0.is_empty() {
            let field = self.any();
            if field.is_err() {
                self.0 = &[];
            }
            if let Some(field) = field.transpose() {
                return Some(field);
            }
        }
        None
    }
}
