//! What the body-based router counts, over all its threads.

use super::cell::Summed;
use super::families::{
    BBR_EMPTY, BBR_INFO, BBR_NOT_FOUND, BBR_NOT_IN_BODY, BBR_NOT_PARSED, BBR_PLUGIN_DURATION, BBR_REFUSED,
    BBR_SKIPPED, BBR_SUCCESS,
};
use super::text::{Page, commit};
use journey::Refusal;
use payload::Field;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where its plugins run, in the reference's spelling.
const EXTENSION_POINT: &str = "request";

/// Of so many bodies that a thread reads one is timed: reading the clock for each would cost more than a small body does.
pub const BODIES_PER_SAMPLE: u64 = 256;

/// What became of a request at the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routed {
    /// It went on, with or without a model.
    Success,
    /// It was refused because its body is no JSON object, or its model no text; counted beside [`BbrCounts::refused`].
    NotParsed,
}

/// Why a field of a body went to no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldMiss {
    /// The body does not have it, or it is `null`.
    NotFound,
    /// It is the empty text.
    Empty,
    /// It is longer than is read of it.
    TooLong,
    /// It is an object, an array, or no UTF-8.
    NotText,
    /// It has a control character, which no header can hold.
    ControlCharacter,
}

/// Those for which [`BBR_SKIPPED`] counts, and what it calls them.
const SKIPPED: [(FieldMiss, &str); 3] = [
    (FieldMiss::TooLong, "too_long"),
    (FieldMiss::NotText, "not_text"),
    (FieldMiss::ControlCharacter, "control_character"),
];

/// What the reference's router has as plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BbrPlugin {
    /// Reads a field.
    BodyFieldToHeader,
    /// Looks its base model up.
    BaseModelToHeader,
}

impl BbrPlugin {
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
    routed: [AtomicU64; 2],
    /// By the reason, all of them.
    refused: BTreeMap<&'static str, AtomicU64>,
    /// The model, then those that were asked for.
    fields: Vec<FieldCounts>,
    /// What each plugin is called.
    plugins: Vec<(BbrPlugin, Arc<str>)>,
    /// By plugin. Locked for one body in [`BODIES_PER_SAMPLE`], and for a scrape.
    took: Mutex<Vec<Summed>>,
}

/// How often a field went to no header.
#[derive(Debug)]
struct FieldCounts {
    name: Box<str>,
    missed: [AtomicU64; 5],
}

impl FieldCounts {
    fn of(name: &str) -> FieldCounts {
        FieldCounts { name: name.into(), missed: Default::default() }
    }

    fn get(&self, miss: FieldMiss) -> u64 {
        self.missed[miss as usize].load(Relaxed)
    }
}

impl Default for BbrCounts {
    fn default() -> BbrCounts {
        let plugins = [BbrPlugin::BodyFieldToHeader, BbrPlugin::BaseModelToHeader];
        BbrCounts::new([], plugins.map(|plugin| (plugin, plugin.name().into())).into())
    }
}

impl BbrCounts {
    /// Counts of a router that is asked for these fields beside the model, and whose plugins have these names, each once.
    pub fn new<'a>(
        asked: impl IntoIterator<Item = &'a str>,
        plugins: Vec<(BbrPlugin, Arc<str>)>,
    ) -> BbrCounts {
        let fields = std::iter::once("model").chain(asked).map(FieldCounts::of).collect();
        let took = plugins.iter().map(|_| Summed::new(BBR_PLUGIN_DURATION.bounds)).collect();
        BbrCounts {
            routed: Default::default(),
            refused: Refusal::table().iter().map(|refusal| (refusal.reason(), AtomicU64::new(0))).collect(),
            fields,
            plugins,
            took: Mutex::new(took),
        }
    }

    /// This happened once more.
    pub fn add(&self, what: Routed) {
        self.routed[what as usize].fetch_add(1, Relaxed);
    }

    /// How often this happened.
    pub fn get(&self, what: Routed) -> u64 {
        self.routed[what as usize].load(Relaxed)
    }

    /// A request was refused.
    pub fn refused(&self, refusal: &Refusal) {
        if let Some(count) = self.refused.get(refusal.reason()) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// How often requests were refused, by the reasons that there were.
    pub fn get_refused(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.refused.iter().map(|(reason, count)| (*reason, count.load(Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// A field went to no header.
    pub fn missed(&self, field: Field, miss: FieldMiss) {
        self.of_field(field).missed[miss as usize].fetch_add(1, Relaxed);
    }

    /// How often a field went to no header for this reason.
    pub fn get_missed(&self, field: Field, miss: FieldMiss) -> u64 {
        self.of_field(field).get(miss)
    }

    fn of_field(&self, field: Field) -> &FieldCounts {
        match field {
            Field::Model => &self.fields[0],
            Field::Asked(place) => &self.fields[place + 1],
        }
    }

    /// The plugins of this type took so long on one body: those that read fields do so in one pass.
    pub fn took(&self, kind: BbrPlugin, time: Duration) {
        let mut took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, took) in self.plugins.iter().zip(&mut *took).filter(|((plugin, _), _)| *plugin == kind) {
            took.observe(time.as_secs_f64());
        }
    }

    /// The counts in Prometheus' text format 0.0.4.
    pub fn text(&self) -> String {
        let mut page = Page::default();
        page.one(&BBR_SUCCESS, self.get(Routed::Success));
        for (family, miss) in [(&BBR_NOT_FOUND, FieldMiss::NotFound), (&BBR_EMPTY, FieldMiss::Empty)] {
            page.head(family);
            for field in &self.fields {
                page.sample(family, &[&field.name], field.get(miss));
            }
        }
        page.head(&BBR_SKIPPED);
        for field in &self.fields {
            for (miss, reason) in SKIPPED {
                page.sample(&BBR_SKIPPED, &[&field.name, reason], field.get(miss));
            }
        }
        let model = self.of_field(Field::Model);
        page.one(&BBR_NOT_IN_BODY, model.get(FieldMiss::NotFound) + model.get(FieldMiss::Empty));
        page.one(&BBR_NOT_PARSED, self.get(Routed::NotParsed));
        page.head(&BBR_PLUGIN_DURATION);
        let took = self.took.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for ((plugin, name), took) in self.plugins.iter().zip(&took) {
            page.histogram(&BBR_PLUGIN_DURATION, &[EXTENSION_POINT, plugin.name(), name], took);
        }
        page.many(&BBR_REFUSED, self.get_refused());
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
        for what in [Routed::Success, Routed::NotParsed] {
            counts.add(what);
        }
        for refusal in Refusal::table() {
            counts.refused(&refusal);
        }
        for miss in [FieldMiss::NotFound, FieldMiss::Empty, FieldMiss::ControlCharacter] {
            counts.missed(Field::Model, miss);
        }
        counts.took(BbrPlugin::BodyFieldToHeader, Duration::from_micros(150));
        let page = counts.text();
        for line in [
            "bbr_success_total 1",
            "bbr_body_field_not_found_total{field=\"model\"} 1",
            "bbr_body_field_empty_total{field=\"model\"} 1",
            r#"pointsman_bbr_body_field_skipped_total{field="model",reason="control_character"} 1"#,
            "bbr_model_not_in_body_total 2",
            "bbr_model_not_parsed_total 1",
            r#"pointsman_bbr_refused_total{reason="not_json"} 1"#,
            r#"pointsman_bbr_refused_total{reason="stopping"} 1"#,
            r#"bbr_plugin_duration_seconds_bucket{extension_point="request",plugin_type="body-field-to-header",plugin_name="body-field-to-header",le="0.0001"} 0"#,
            r#"bbr_plugin_duration_seconds_bucket{extension_point="request",plugin_type="body-field-to-header",plugin_name="body-field-to-header",le="0.0002"} 1"#,
            r#"bbr_plugin_duration_seconds_count{extension_point="request",plugin_type="base-model-to-header",plugin_name="base-model-to-header"} 0"#,
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
        }
        assert!(page.contains("bbr_info{commit=\""));
        assert_eq!(BbrCounts::default().get_refused(), BTreeMap::new());
    }

    #[test]
    fn each_field_and_each_plugin_has_a_series_of_its_own() {
        let plugin = |kind, name: &str| (kind, Arc::from(name));
        let plugins = vec![
            plugin(BbrPlugin::BodyFieldToHeader, "model-extractor"),
            plugin(BbrPlugin::BodyFieldToHeader, "user"),
            plugin(BbrPlugin::BaseModelToHeader, "mapper"),
        ];
        let counts = BbrCounts::new(["user", "service_tier"], plugins);
        counts.took(BbrPlugin::BodyFieldToHeader, Duration::from_micros(150));
        counts.missed(Field::Asked(1), FieldMiss::NotFound);
        counts.missed(Field::Asked(0), FieldMiss::TooLong);
        let page = counts.text();
        for line in [
            r#"bbr_body_field_not_found_total{field="model"} 0"#,
            r#"bbr_body_field_not_found_total{field="service_tier"} 1"#,
            r#"pointsman_bbr_body_field_skipped_total{field="user",reason="too_long"} 1"#,
            r#"pointsman_bbr_body_field_skipped_total{field="user",reason="not_text"} 0"#,
            "bbr_model_not_in_body_total 0",
            r#"bbr_plugin_duration_seconds_count{extension_point="request",plugin_type="body-field-to-header",plugin_name="model-extractor"} 1"#,
            r#"bbr_plugin_duration_seconds_count{extension_point="request",plugin_type="body-field-to-header",plugin_name="user"} 1"#,
            r#"bbr_plugin_duration_seconds_count{extension_point="request",plugin_type="base-model-to-header",plugin_name="mapper"} 0"#,
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
        }
    }
}
