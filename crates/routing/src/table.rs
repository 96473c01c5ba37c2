//! The rules of one listener, in the order of precedence, and the walk over them.
//!
//! Precedence is a chain of keys: hostname, path, method, header count, query count, age, name, place. The first two are
//! the shape of the index (host -> path -> bucket), so a walk meets matching rules in the order of precedence while it
//! looks only where a rule may match; the rest is the order inside a bucket. Of paths Exact goes first, then the longest
//! PathPrefix, then RegularExpression, whose place the Gateway API leaves open. In a large bucket the rules that ask for a
//! model by name are found by that name. Nothing is allocated.
//!
//! Rules of a less specific hostname are still met after those of a more specific one: precedence is over *matching*
//! rules, so a route for one host does not hide a wildcard route's other paths.

use crate::matching::{Match, ModelVerdict, PathMatch, wildcard_suffixes};
use crate::{Model, RequestHead, Rule, Walk};
use std::collections::HashMap;
use std::sync::Arc;

/// From this many rules on, a bucket is indexed by model: below, a linear walk is quicker than a hash.
const BUCKET_INDEXED_FROM: usize = 16;

type Map<V> = HashMap<Arc<str>, V, foldhash::fast::RandomState>;

/// The rules of one listener, in the order of precedence.
#[derive(Debug)]
pub struct RouteTable<B> {
    /// By rank: the order of precedence among rules of equal hostname.
    rules: Vec<Rule<B>>,
    /// By rank.
    matches: Vec<Match>,
    exact: Map<HostGroup>,
    /// By what follows the star: `.example.com`.
    wildcard: Map<HostGroup>,
    any: HostGroup,
}

impl<B> Default for RouteTable<B> {
    fn default() -> RouteTable<B> {
        RouteTable::build(Vec::new())
    }
}

/// A rule on its way into a table.
#[derive(Debug)]
pub(crate) struct Entry<B> {
    /// Lower case, perhaps `*.example.com`; none means every host.
    pub(crate) hosts: Arc<[Arc<str>]>,
    pub(crate) matching: Match,
    pub(crate) rule: Rule<B>,
    /// Of the route; none counts as the oldest.
    pub(crate) created: Option<i64>,
}

impl<B> Entry<B> {
    /// The order of precedence among rules of equal hostname; the least goes first.
    fn precedence(&self) -> impl Ord + use<'_, B> {
        let path = match &self.matching.path {
            PathMatch::Exact(_) => (0, 0),
            PathMatch::Prefix(prefix) => (1, usize::MAX - prefix.len()),
            PathMatch::Regex(_) => (2, 0),
        };
        (
            path,
            self.matching.method.is_none(),
            usize::MAX - self.matching.header_count(),
            usize::MAX - self.matching.query.len(),
            self.created,
            &self.rule.route,
            self.rule.rule_index,
            self.rule.match_index,
        )
    }
}

/// Rules of one hostname, by path.
#[derive(Debug, Default)]
struct HostGroup {
    exact: Map<Bucket>,
    /// By prefix, without trailing slash.
    prefix: Map<Bucket>,
    /// The lengths of those prefixes, longest first, each once.
    prefix_lengths: Vec<usize>,
    regex: Bucket,
    /// Models asked for by name, sorted, each once.
    models: Vec<Arc<str>>,
}

/// Ranks of rules of one hostname and one path, ascending.
#[derive(Debug, Default)]
struct Bucket {
    all: Vec<u32>,
    /// Only in a large bucket.
    index: Option<ModelIndex>,
}

#[derive(Debug, Default)]
struct ModelIndex {
    /// Rules that ask for one model by name.
    by_model: Map<Vec<u32>>,
    /// All others.
    others: Vec<u32>,
}

impl<B> RouteTable<B> {
    pub(crate) fn build(mut entries: Vec<Entry<B>>) -> RouteTable<B> {
        entries.sort_by(|a, b| a.precedence().cmp(&b.precedence()));
        let mut table = RouteTable {
            rules: Vec::with_capacity(entries.len()),
            matches: Vec::with_capacity(entries.len()),
            exact: Map::default(),
            wildcard: Map::default(),
            any: HostGroup::default(),
        };
        for (rank, entry) in (0_u32..).zip(entries) {
            if entry.hosts.is_empty() {
                table.any.insert(rank, &entry.matching);
            }
            for host in entry.hosts.iter() {
                let group = match host.strip_prefix('*') {
                    Some(suffix) => table.wildcard.entry(Arc::from(suffix)).or_default(),
                    None => table.exact.entry(Arc::clone(host)).or_default(),
                };
                group.insert(rank, &entry.matching);
            }
            table.rules.push(entry.rule);
            table.matches.push(entry.matching);
        }
        let RouteTable { exact, wildcard, any, matches, .. } = &mut table;
        for group in exact.values_mut().chain(wildcard.values_mut()).chain([any]) {
            group.seal(matches);
        }
        table
    }

    /// Walks the rules.
    pub fn walk<'t>(&'t self, head: &RequestHead<'_>, model: Model<'_>) -> Walk<'t, B> {
        for bucket in self.buckets(head) {
            for rank in bucket.ranks(model) {
                let rank = rank as usize;
                match self.matches[rank].fits_model(model) {
                    ModelVerdict::Differs => {}
                    _ if !self.matches[rank].fits_head(head) => {}
                    ModelVerdict::Fits => return Walk::Rule(&self.rules[rank]),
                    ModelVerdict::Unknown => return Walk::ReadBody,
                }
            }
        }
        Walk::Nothing { for_want_of_model: self.would_match_another_model(head) }
    }

    fn would_match_another_model(&self, head: &RequestHead<'_>) -> bool {
        self.buckets(head)
            .flat_map(|bucket| &bucket.all)
            .map(|&rank| &self.matches[rank as usize])
            .any(|matching| matching.model.is_some() && matching.fits_head(head))
    }

    /// Where a rule may match this host and path, in the order of precedence.
    fn buckets(&self, head: &RequestHead<'_>) -> impl Iterator<Item = &Bucket> {
        self.groups(head.host).flat_map(|group| group.buckets(head.path))
    }

    fn groups(&self, host: &str) -> impl Iterator<Item = &HostGroup> {
        let wildcards = wildcard_suffixes(host).filter_map(|suffix| self.wildcard.get(suffix));
        self.exact.get(host).into_iter().chain(wildcards).chain([&self.any])
    }

    /// The models that rules reachable on this host ask for by name; sorted, each once.
    pub fn models(&self, host: &str) -> impl Iterator<Item = &str> {
        let mut groups: Vec<&[Arc<str>]> = self.groups(host).map(|group| &group.models[..]).collect();
        std::iter::from_fn(move || {
            let least = groups.iter().filter_map(|models| models.first()).min()?;
            for models in &mut groups {
                if models.first() == Some(least) {
                    models.split_off_first();
                }
            }
            Some(&**least)
        })
    }

    /// Every model that a rule asks for by name, in no order, perhaps twice.
    pub fn exact_models(&self) -> impl Iterator<Item = &Arc<str>> {
        self.matches.iter().filter_map(Match::exact_model)
    }

    /// Every rule, in the order of precedence among rules of equal hostname.
    pub fn rules(&self) -> &[Rule<B>] {
        &self.rules
    }
}

impl HostGroup {
    fn insert(&mut self, rank: u32, matching: &Match) {
        let bucket = match &matching.path {
            PathMatch::Exact(path) => self.exact.entry(Arc::clone(path)).or_default(),
            PathMatch::Prefix(prefix) => self.prefix.entry(Arc::clone(prefix)).or_default(),
            PathMatch::Regex(_) => &mut self.regex,
        };
        bucket.all.push(rank);
        self.models.extend(matching.exact_model().cloned());
    }

    fn seal(&mut self, matches: &[Match]) {
        self.models.sort_unstable();
        self.models.dedup();
        self.prefix_lengths = self.prefix.keys().map(|prefix| prefix.len()).collect();
        self.prefix_lengths.sort_unstable_by(|a, b| b.cmp(a));
        self.prefix_lengths.dedup();
        for bucket in self.exact.values_mut().chain(self.prefix.values_mut()).chain([&mut self.regex]) {
            bucket.seal(matches);
        }
    }

    fn buckets(&self, path: &str) -> impl Iterator<Item = &Bucket> {
        let prefixes = self
            .prefix_lengths
            .iter()
            .filter(|&&length| path.as_bytes().get(length).is_none_or(|&byte| byte == b'/'))
            .filter_map(|&length| self.prefix.get(path.get(..length)?));
        self.exact.get(path).into_iter().chain(prefixes).chain([&self.regex])
    }
}

impl Bucket {
    fn seal(&mut self, matches: &[Match]) {
        if self.all.len() < BUCKET_INDEXED_FROM {
            return;
        }
        let mut index = ModelIndex::default();
        for &rank in &self.all {
            match matches[rank as usize].exact_model() {
                Some(model) => index.by_model.entry(Arc::clone(model)).or_default().push(rank),
                None => index.others.push(rank),
            }
        }
        self.index = Some(index);
    }

    /// Ranks of the rules that may match this model, ascending.
    fn ranks(&self, model: Model<'_>) -> impl Iterator<Item = u32> {
        let none: &[u32] = &[];
        let (named, others) = match (&self.index, model) {
            (None, _) | (_, Model::Unread) => (none, &self.all[..]),
            (Some(index), Model::Absent) => (none, &index.others[..]),
            (Some(index), Model::Named(name)) => {
                (index.by_model.get(name).map_or(none, Vec::as_slice), &index.others[..])
            }
        };
        merged(named, others)
    }
}

/// Both ascending lists as one.
fn merged<'r>(mut a: &'r [u32], mut b: &'r [u32]) -> impl Iterator<Item = u32> + 'r {
    std::iter::from_fn(move || {
        let from = if b.first().is_none_or(|b| a.first().is_some_and(|a| a < b)) { &mut a } else { &mut b };
        from.split_off_first().copied()
    })
}

#[cfg(test)]
mod tests;
