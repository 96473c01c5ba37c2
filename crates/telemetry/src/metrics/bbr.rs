//! What the body-based router counts, over all its threads.

use super::cell::Summed;
use super::families::{
    BBR_EMPTY, BBR_INFO, BBR_NOT_FOUND, BBR_NOT_IN_BODY, BBR_NOT_PARSED, BBR_PLUGIN_DURATION, BBR_REFUSED,
    BBR_SUCCESS,
};
use super::text::{Page, commit};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The field that the router reads.
const FIELD: &str = "model";

/// Where its plugins run, in the reference's spelling.
const EXTENSION_POINT: &str = "request";

/// Of so many bodies that a thread reads one is timed: reading the clock for each would cost more than a small body does.
pub const BODIES_PER_SAMPLE: u64 = 256;

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
    /// It was refused because its body is no JSON object, or its model no text; counted beside `Refused`.
    NotParsed,
}

/// What the reference's router has as plugins, and this one always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BbrPlugin {
    /// Reads the model.
    BodyFieldToHeader,
    /// Looks its base model up.
    BaseModelToHeader,
}

impl BbrPlugin {
    const ALL: [BbrPlugin; 2] = [BbrPlugin::BodyFieldToHeader, BbrPlugin::BaseModelToHeader];

    /// The plugin's type.
    pub fn name(self) -> &'static str {
        match self {
            BbrPlugin::BodyFieldToHeader => "body-field-to-header",
            BbrPlugin::BaseModelToHeader => "base-model-to-header",
        }
    }
}

/// The counts of a body-based router.
#[derive(Debug)]
pub struct BbrCounts {
    routed: [AtomicU64; 5],
    /// What the plugins are called.
    names: [Arc<str>; 2],
    /// Locked for one body in [`BODIES_PER_SAMPLE`], and for a scrape.
    took: Mutex<[Summed; 2]>,
}

impl Default for BbrCounts {
    fn default() -> BbrCounts {
        BbrCounts::new(BbrPlugin::ALL.map(|plugin| plugin.name().into()))
    }
}

impl BbrCounts {
    /// Counts of a router whose plugins have these names: body field, base model.
    pub fn new(names: [Arc<str>; 2]) -> BbrCounts {
        let none = || Summed::new(BBR_PLUGIN_DURATION.bounds);
        BbrCounts { routed: Default::default(), names, took: Mutex::new([none(), none()]) }
    }

    /// This happened once more.
    pub fn add(&self, what: Routed) {
        self.routed[what as usize].fetch_add(1, Relaxed);
    }

    /// How often this happened.
    pub fn get(&self, what: Routed) -> u64 {
        self.routed[what as usize].load(Relaxed)
    }

    /// A plugin took so long on one body.
    pub fn took(&self, plugin: BbrPlugin, time: Duration) {
        let mut took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        took[plugin as usize].observe(time.as_secs_f64());
    }

    /// The counts in Prometheus' text format 0.0.4.
    pub fn text(&self) -> String {
        let mut page = Page::default();
        page.one(&BBR_SUCCESS, self.get(Routed::Success));
        page.many(&BBR_NOT_FOUND, [(FIELD, self.get(Routed::NotFound))]);
        page.many(&BBR_EMPTY, [(FIELD, self.get(Routed::Empty))]);
        page.one(&BBR_NOT_IN_BODY, self.get(Routed::NotFound) + self.get(Routed::Empty));
        page.one(&BBR_NOT_PARSED, self.get(Routed::NotParsed));
        page.head(&BBR_PLUGIN_DURATION);
        let took = self.took.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (plugin, (name, took)) in BbrPlugin::ALL.into_iter().zip(self.names.iter().zip(&took)) {
            page.histogram(&BBR_PLUGIN_DURATION, &[EXTENSION_POINT, plugin.name(), name], took);
        }
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
        for what in [Routed::Success, Routed::NotFound, Routed::Empty, Routed::Refused, Routed::NotParsed] {
            counts.add(what);
        }
        counts.took(BbrPlugin::BodyFieldToHeader, Duration::from_micros(150));
        let page = counts.text();
        for line in [
            "bbr_success_total 1",
            "bbr_body_field_not_found_total{field=\"model\"} 1",
            "bbr_body_field_empty_total{field=\"model\"} 1",
            "bbr_model_not_in_body_total 2",
            "bbr_model_not_parsed_total 1",
            "pointsman_bbr_refused_total 1",
            r#"bbr_plugin_duration_seconds_bucket{extension_point="request",plugin_type="body-field-to-header",plugin_name="body-field-to-header",le="0.0001"} 0"#,
            r#"bbr_plugin_duration_seconds_bucket{extension_point="request",plugin_type="body-field-to-header",plugin_name="body-field-to-header",le="0.0002"} 1"#,
            r#"bbr_plugin_duration_seconds_count{extension_point="request",plugin_type="base-model-to-header",plugin_name="base-model-to-header"} 0"#,
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
        }
        assert!(page.contains("bbr_info{commit=\""));
    }
}
