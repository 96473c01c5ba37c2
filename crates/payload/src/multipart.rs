//! The `model` field of `multipart/form-data`.
