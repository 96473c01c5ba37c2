//! What stands beside plugins and profiles: feature gates, flow control, saturation, the data layer, the parser.

use super::MetricsSource;
use super::fields::{Reader, not_among};
use super::plugins::{Declared, Made, Parameters, utilization};
use crate::plugins::{PluginKind, plugin_type};
use crate::saturation::{SaturationDetector, UtilizationDetector};
use yaml::{FieldPath, Tree, Value, field};

const GATES: &[&str] = &["dataLayer", "enableLegacyMetrics", "flowControl", "prepareDataPlugins"];

/// `featureGates`: those that turn on what is always there are taken.
pub(super) fn feature_gates<'t>(tree: &'t Tree, reader: &mut Reader<'t>) {
    for (index, gate) in reader.list(tree, &FieldPath::default(), "featureGates").iter().enumerate() {
        let path = field!["featureGates", index];
        match gate.as_text() {
            Some("flowControl") => reader.problem(
                &path,
                "requests are not queued yet, so the gate cannot be obeyed; leave it out, and only requests of priority below 0 are shed when the pool is saturated",
            ),
            Some(gate) if GATES.contains(&gate) => {}
            Some(gate) => reader.problem(&path, not_among("feature gate", gate, GATES)),
            None => reader.problem(&path, format!("must be a text, and is {}", gate.what())),
        }
    }
}

const BAND: &[&str] = &["priority", "maxBytes", "maxRequests", "fairnessPolicyRef", "orderingPolicyRef"];

/// `flowControl`: as long as its gate is off, the reference looks only at its form.
pub(super) fn flow_control<'t>(tree: &'t Tree, reader: &mut Reader<'t>) {
    let Some(section) = tree.get("flowControl") else { return };
    let path = field!["flowControl"];
    let known = [
        "maxBytes",
        "maxRequests",
        "defaultRequestTTL",
        "defaultPriorityBand",
        "priorityBands",
        "usageLimitPolicyPluginRef",
    ];
    if reader.object(section, &path, &known).is_none() {
        return;
    }
    if let Some(band) = section.get("defaultPriorityBand") {
        reader.object(band, &path.then("defaultPriorityBand"), BAND);
    }
    for (index, band) in reader.list(section, &path, "priorityBands").iter().enumerate() {
        reader.object(band, &path.then("priorityBands").then(index), BAND);
    }
    reader.note(&path, "has no effect: the feature gate `flowControl` is off");
}

/// `saturationDetector`: thresholds up to v1.4, a reference since; and without it a declared `utilization-detector`.
pub(super) fn saturation_detector<'t>(
    tree: &'t Tree,
    declared: &Declared<'t>,
    reader: &mut Reader<'t>,
) -> Option<SaturationDetector> {
    let default = || declared.get(UtilizationDetector::NAME).and_then(|plugin| detector_of(&plugin.made));
    let Some(section) = tree.get("saturationDetector") else { return default() };
    let path = field!["saturationDetector"];
    let thresholds = ["queueDepthThreshold", "kvCacheUtilThreshold", "metricsStalenessThreshold"];
    let known = [&["pluginRef"][..], &thresholds[..]].concat();
    reader.object(section, &path, &known)?;
    let has_thresholds = thresholds.iter().any(|name| section.get(name).is_some());
    let Some(name) = reader.text(section, &path, "pluginRef") else {
        if !has_thresholds && let Some(declared) = default() {
            return Some(declared);
        }
        let detector = utilization(&mut Parameters { tree: section, path, reader });
        return Some(SaturationDetector::Utilization(detector));
    };
    if has_thresholds {
        reader.problem(&path, "has either a pluginRef or thresholds; those are the plugin's parameters");
    }
    // The default detector need not be declared.
    if name == UtilizationDetector::NAME && declared.get(name).is_none() {
        return Some(SaturationDetector::Utilization(UtilizationDetector::default()));
    }
    let plugin = declared.referred(section, &path, reader)?;
    let detector = detector_of(&plugin.made);
    if detector.is_none() {
        wrong_kind(plugin.name, plugin.of.kind, PluginKind::SaturationDetector, &path, reader);
    }
    detector
}

fn detector_of(made: &Made<'_>) -> Option<SaturationDetector> {
    match made {
        Made::Detector(detector) => Some(*detector),
        _ => None,
    }
}

/// `data` (v1.4) or `dataLayer` (v1.5): metrics are always read; where, may be told.
pub(super) fn data_layer<'t>(
    tree: &'t Tree,
    declared: &Declared<'t>,
    reader: &mut Reader<'t>,
) -> MetricsSource {
    let name = ["data", "dataLayer"].into_iter().find(|name| tree.get(name).is_some());
    let Some((name, section)) = name.and_then(|name| Some((name, tree.get(name)?))) else {
        // The reference adds the default source, by its type as its name.
        let default = declared.get("metrics-data-source").and_then(|plugin| source_of(&plugin.made));
        return default.cloned().unwrap_or_default();
    };
    let path = field![name];
    if reader.object(section, &path, &["sources"]).is_none() {
        return MetricsSource::default();
    }
    let sources = reader.list(section, &path, "sources");
    let before = reader.problems.len();
    let mut metrics = None;
    for (index, source) in sources.iter().enumerate() {
        let path = path.then("sources").then(index);
        if reader.object(source, &path, &["pluginRef", "extractors"]).is_none() {
            continue;
        }
        if let Some(plugin) = declared.referred(source, &path, reader) {
            match &plugin.made {
                Made::Source(source) => metrics = metrics.or(Some(source.clone())),
                Made::Inert if plugin.of.kind == PluginKind::DataSource => {}
                _ => wrong_kind(plugin.name, plugin.of.kind, PluginKind::DataSource, &path, reader),
            }
        }
        extractors(source, &path, declared, reader);
    }
    if metrics.is_none() && reader.problems.len() == before {
        reader.problem(
            &path,
            "turns metrics off, which cannot be had; leave it out, or name metrics-data-source among its sources",
        );
    }
    metrics.unwrap_or_default()
}

fn extractors<'t>(source: &'t Tree, path: &FieldPath, declared: &Declared<'t>, reader: &mut Reader<'t>) {
    for (index, extractor) in reader.list(source, path, "extractors").iter().enumerate() {
        let path = path.then("extractors").then(index);
        if reader.object(extractor, &path, &["pluginRef"]).is_none() {
            continue;
        }
        let Some(plugin) = declared.referred(extractor, &path, reader) else { continue };
        if plugin.of.kind != PluginKind::Extractor {
            wrong_kind(plugin.name, plugin.of.kind, PluginKind::Extractor, &path, reader);
        }
    }
}

fn source_of<'m>(made: &'m Made<'_>) -> Option<&'m MetricsSource> {
    match made {
        Made::Source(source) => Some(source),
        _ => None,
    }
}

/// `parser`: the OpenAI parser, which need not be declared.
pub(super) fn parser<'t>(tree: &'t Tree, declared: &Declared<'t>, reader: &mut Reader<'t>) {
    let Some(section) = tree.get("parser").filter(|section| section.value != Value::Null) else { return };
    let path = field!["parser"];
    if reader.object(section, &path, &["pluginRef"]).is_none() {
        return;
    }
    let named = section.text("pluginRef").and_then(plugin_type);
    if named.is_some_and(|of| of.kind == PluginKind::Parser && declared.get(of.name).is_none()) {
        return;
    }
    let Some(plugin) = declared.referred(section, &path, reader) else { return };
    if plugin.of.kind != PluginKind::Parser {
        wrong_kind(plugin.name, plugin.of.kind, PluginKind::Parser, &path, reader);
    }
}

fn wrong_kind(name: &str, kind: PluginKind, wanted: PluginKind, path: &FieldPath, reader: &mut Reader<'_>) {
    let message = format!("`{name}` is a {}, and a {} is wanted", kind.name(), wanted.name());
    reader.problem(&path.then("pluginRef"), message);
}
