//! Decoding a compressed body, only to look at it.
