//! The incremental JSON scanner.
