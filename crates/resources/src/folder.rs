//! Where manifests come from when there is no API server: folders, files and stdin.
//!
//! In: paths. Out: a [`Load`]: a [`Store`] and what was wrong with the manifests. A file that breaks keeps its own last good
//! objects while the others apply.
//! Never: a panic, or an order that depends on time: folders in the order given, files by name, objects by line.

use crate::document::TEXT_BYTES_MAX;
use crate::file::{File, read_file};
use crate::finding::{Finding, Severity};
use crate::object::Origin;
use crate::store::Store;
use crate::tree::Tree;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files of one folder: what a person may keep in one, with room.
const FILES_MAX: usize = 10_000;

/// The name of stdin.
const STDIN: &str = "-";

/// Folders (their `*.yaml`, `*.yml` and `*.json`, not those of folders within, none whose name starts with a dot), files,
/// and `-` for stdin, which is read once. Remembers the last good objects of each file.
#[derive(Debug)]
pub struct Folder {
    paths: Vec<PathBuf>,
    files: BTreeMap<PathBuf, Remembered>,
    stdin: Option<Vec<u8>>,
    last: Option<Load>,
}

/// A file as it was read last.
#[derive(Debug)]
struct Remembered {
    text: Vec<u8>,
    file: File,
    /// Its objects when it was whole; those of `file` unless that is broken.
    good: File,
}

/// What a source holds at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Load {
    /// The objects that can be used.
    pub store: Store,
    /// What was wrong with single objects, in the order of files and lines. An object with an error is not in the store.
    pub findings: Vec<Finding>,
}

impl Load {
    /// The findings because of which something is not served.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }
}

impl Folder {
    /// A source that has not been read yet.
    pub fn new(paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Folder {
        let paths = paths.into_iter().map(Into::into).collect();
        Folder { paths, files: BTreeMap::new(), stdin: None, last: None }
    }

    /// What was given.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Reads everything. What cannot be read is a finding.
    pub fn load(&mut self) -> Load {
        let load = self.read_all();
        self.last = Some(load.clone());
        load
    }

    /// Reads everything; gives it if it differs from the last load.
    pub(crate) fn load_if_changed(&mut self) -> Option<Load> {
        let last = self.last.take();
        let load = self.load();
        (last.as_ref() != Some(&load)).then_some(load)
    }

    fn read_all(&mut self) -> Load {
        let mut load = Load::default();
        let mut seen = BTreeMap::new();
        let mut ignored = Ignored::default();
        for path in self.manifests(&mut load.findings) {
            if seen.contains_key(&path) {
                continue;
            }
            let before = self.files.remove(&path);
            let after = self.read(&path, before, &mut load.findings);
            if let Some(remembered) = after {
                load.add(&remembered);
                ignored.add(&remembered.file);
                seen.insert(path, remembered);
            }
        }
        self.files = seen;
        load.findings.extend(ignored.finding());
        load.findings.sort();
        load
    }

    /// The objects that the last load took, as they were written, by where they stand.
    pub(crate) fn trees(&self) -> BTreeMap<&Origin, &Tree> {
        let objects = self.files.values().flat_map(|remembered| &remembered.good.objects);
        objects.map(|object| (&object.typed.meta().origin, &*object.tree)).collect()
    }

    /// The files that the paths stand for.
    fn manifests(&self, findings: &mut Vec<Finding>) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for path in &self.paths {
            if !path.is_dir() {
                files.extend(self.kept_of(path));
                continue;
            }
            match manifests_of(path) {
                Ok(mut found) if found.len() <= FILES_MAX => files.append(&mut found),
                Ok(found) => {
                    let message =
                        format!("{} manifests in one folder; at most {FILES_MAX} are read", found.len());
                    findings.push(unreadable(path, message));
                    files.extend(found.into_iter().take(FILES_MAX));
                }
                Err(error) => findings.push(unreadable(path, format!("cannot list the folder: {error}"))),
            }
        }
        files
    }

    /// What stands for a path that is not a folder: itself, or, if it was a folder and is gone, the files that were in it:
    /// they keep their last good objects until it is back.
    fn kept_of(&self, path: &Path) -> Vec<PathBuf> {
        let kept: Vec<PathBuf> =
            self.files.keys().filter(|file| file.parent() == Some(path)).cloned().collect();
        if kept.is_empty() { vec![path.to_owned()] } else { kept }
    }

    /// Reads a file, unless it is as it was. A file that cannot be read keeps its last good objects, as one that is broken.
    fn read(
        &mut self,
        path: &Path,
        before: Option<Remembered>,
        findings: &mut Vec<Finding>,
    ) -> Option<Remembered> {
        let text = match self.text(path) {
            Ok(text) => text,
            Err(error) => {
                findings.push(unreadable(path, format!("cannot read the file: {error}")));
                return before;
            }
        };
        match before {
            Some(before) if before.text == text => Some(before),
            before => {
                let file = read_file(&shown(path), &text);
                let good = match before {
                    Some(before) if file.is_broken() => before.good,
                    _ => file.clone(),
                };
                Some(Remembered { text, file, good })
            }
        }
    }

    fn text(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        if path != Path::new(STDIN) {
            return limited(std::fs::File::open(path)?);
        }
        if self.stdin.is_none() {
            self.stdin = Some(limited(io::stdin().lock())?);
        }
        Ok(self.stdin.clone().unwrap_or_default())
    }
}

impl Load {
    /// Adds the good objects of a file, and what is wrong with it.
    fn add(&mut self, remembered: &Remembered) {
        self.findings.extend(remembered.file.findings.iter().cloned());
        for object in &remembered.good.objects {
            if let Err(first) = object.typed.put(&mut self.store) {
                self.findings.push(object.is_a_second(&first));
            }
        }
    }
}

/// How many objects were of kinds that are not read.
#[derive(Default)]
struct Ignored {
    first: Option<Origin>,
    kinds: BTreeMap<String, usize>,
}

impl Ignored {
    fn add(&mut self, file: &File) {
        for (origin, kind) in &file.ignored {
            self.first.get_or_insert_with(|| origin.clone());
            *self.kinds.entry(kind.clone()).or_default() += 1;
        }
    }

    /// One warning for all of them.
    fn finding(self) -> Option<Finding> {
        let kinds: Vec<String> = self.kinds.iter().map(|(kind, count)| format!("{kind} ({count})")).collect();
        Some(Finding {
            origin: self.first?,
            severity: Severity::Warning,
            code: "ignored-kind",
            object: "".into(),
            field: "kind".to_owned(),
            message: format!("objects of kinds that are not read here are left out: {}", kinds.join(", ")),
        })
    }
}

/// The manifests of a folder, by name.
fn manifests_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let manifest = path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
        if manifest && !hidden && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Reads at most what a manifest may have.
fn limited(file: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > TEXT_BYTES_MAX {
        let message = format!("it has more than {} MiB", TEXT_BYTES_MAX >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// A path as messages show it.
fn shown(path: &Path) -> Arc<Path> {
    if path == Path::new(STDIN) { Path::new("<stdin>").into() } else { path.into() }
}

fn unreadable(path: &Path, message: String) -> Finding {
    Finding {
        origin: Origin { file: shown(path), line: 0 },
        severity: Severity::Error,
        code: "unreadable",
        object: "".into(),
        field: String::new(),
        message,
    }
}
