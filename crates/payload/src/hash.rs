//! The hashes of a prompt.
//!
//! In: bytes, in pieces or whole. Out: their xxh3 under a secret that each process makes up, so that no client can work
//! out beforehand which prompts hash alike. Never: a hash that means anything in another process.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_secret};

/// As many bytes as xxh3 has in its own.
const SECRET_BYTES: usize = 192;

static SECRET: LazyLock<[u8; SECRET_BYTES]> = LazyLock::new(|| {
    let random = RandomState::new();
    let mut secret = [0; SECRET_BYTES];
    for (index, word) in secret.as_chunks_mut().0.iter_mut().enumerate() {
        *word = random.hash_one(index).to_le_bytes();
    }
    secret
});

/// The hash of `bytes`.
pub(crate) fn hash_of(bytes: &[u8]) -> u64 {
    xxh3_64_with_secret(bytes, &*SECRET)
}

/// The hash of a block and all before it.
pub(crate) fn chain(before: u64, hash: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&before.to_le_bytes());
    bytes[8..].copy_from_slice(&hash.to_le_bytes());
    hash_of(&bytes)
}

/// The xxh3 of bytes that come in pieces; bytes in one piece are hashed where they lie.
#[derive(Default)]
pub(crate) struct PieceHash {
    /// Made when a first piece is not the last one.
    open: Option<Box<Xxh3>>,
    started: bool,
}

impl std::fmt::Debug for PieceHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PieceHash").field("started", &self.started).finish_non_exhaustive()
    }
}

impl PieceHash {
    pub(crate) fn add(&mut self, piece: &[u8]) {
        self.started = true;
        self.open.get_or_insert_with(|| Box::new(Xxh3::with_secret(*SECRET))).update(piece);
    }

    pub(crate) fn close(&mut self, last: &[u8]) -> u64 {
        match &mut self.open {
            Some(state) if self.started => {
                state.update(last);
                let hash = state.digest();
                state.reset();
                self.started = false;
                hash
            }
            _ => hash_of(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn no_hash_is_the_one_that_everybody_can_work_out() {
        for bytes in [&b"x"[..], &[b'x'; 16], &[b'x'; 200], &[b'x'; 1024], &[b'x'; 4096]] {
            assert_ne!(hash_of(bytes), xxh3_64(bytes), "{} bytes", bytes.len());
            let mut pieces = PieceHash::default();
            pieces.add(&bytes[..1]);
            assert_eq!(pieces.close(&bytes[1..]), hash_of(bytes), "{} bytes", bytes.len());
        }
    }
}
