//! What the body-based router counts, over all its threads.

use super::families::{BBR_EMPTY, BBR_INFO, BBR_NOT_FOUND, BBR_REFUSED, BBR_SUCCESS};
use super::text::{Page, commit};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The field that the router reads.
const FIELD: &str = "model";

/// What became of a request at the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routed {
    /// It went on, with or without a model.
    Success,
    /// Its body has no model.
    NotFound,
    /// Its model is the empty text.
    Empty,
    /// It was refused.
    Refused,
}

/// The counts of a body-based router.
#[derive(Debug, Default)]
pub struct BbrCounts([AtomicU64; 4]);

impl BbrCounts {
    /// This happened once more.
    pub fn add(&self, what: Routed) {
        self.0[what as usize].fetch_add(1, Relaxed);
    }

    /// How often this happened.
    pub fn get(&self, what: Routed) -> u64 {
        self.0[what as usize].load(Relaxed)
    }

    /// The counts in Prometheus' text format 0.0.4.
    pub fn text(&self) -> String {
        let mut page = Page::default();
        page.one(&BBR_SUCCESS, self.get(Routed::Success));
        page.many(&BBR_NOT_FOUND, [(FIELD, self.get(Routed::NotFound))]);
        page.many(&BBR_EMPTY, [(FIELD, self.get(Routed::Empty))]);
        page.one(&BBR_REFUSED, self.get(Routed::Refused));
        page.head(&BBR_INFO);
        page.sample(&BBR_INFO, &[commit(), env!("CARGO_PKG_VERSION")], 1);
        page.into_text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_references_names() {
        let counts = BbrCounts::default();
        counts.add(Routed::Success);
        counts.add(Routed::NotFound);
        let page = counts.text();
        for line in [
            "bbr_success_total 1",
            "bbr_body_field_not_found_total{field=\"model\"} 1",
            "bbr_body_field_empty_total{field=\"model\"} 0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
        }
        assert!(page.contains("bbr_info{commit=\""));
    }
}
