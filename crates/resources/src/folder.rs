//! Where manifests come from when there is no API server: folders, files and stdin.
//!
//! In: paths. Out: a [`Load`]: a [`Store`] and what is wrong with the manifests, each with itself and with what it refers to.
//! This is the one list of findings: `check` prints it, a running process logs it. A file that breaks, or is emptied, keeps its
//! own last good objects while the others apply; a file that is deleted keeps nothing.
//! Never: a panic, or an order that depends on time: folders in the order given, files by name, objects by line.

use crate::file::{File, read_file};
use crate::finding::Finding;
use crate::object::Origin;
use crate::places::Places;
use crate::references::{self, Audience};
use crate::refused::{self, Refused};
use crate::rules::Effect;
use crate::store::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yaml::TEXT_BYTES_MAX;

/// Files of one folder: what a person may keep in one, with room.
const FILES_MAX: usize = 10_000;

/// The name of stdin.
const STDIN: &str = "-";

/// Folders (their `*.yaml`, `*.yml` and `*.json`, not those of folders within, none whose name starts with a dot), files,
/// and `-` for stdin. What is not a file on a disk (stdin, a pipe) is read once. Remembers the last good objects of each file.
#[derive(Debug)]
pub struct Folder {
    paths: Vec<PathBuf>,
    audience: Audience,
    files: BTreeMap<PathBuf, Remembered>,
    last: Option<Load>,
}

/// A file as it was read last.
#[derive(Debug)]
struct Remembered {
    text: Vec<u8>,
    file: File,
    /// As it was when it was whole: `file` unless that is broken or was emptied, as by an editor that is about to write.
    good: File,
}

impl Remembered {
    /// That no object is written in the file, whose path this is.
    fn nothing_in_it(&self, path: &Path) -> Option<Finding> {
        let message = match (self.file.is_empty(), self.good.is_empty()) {
            (false, _) => return None,
            (true, true) => "no object in this file",
            (true, false) => {
                "no object in this file any more: those that it had stay until it has others; delete the file to remove them"
            }
        };
        Some(Finding::of_file(Origin { file: shown(path), line: 0 }, "empty-file", message))
    }
}

/// What a source holds at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Load {
    /// The objects that can be used.
    pub store: Store,
    /// What is wrong with the manifests, in the order of files and lines, each once.
    pub findings: Vec<Finding>,
    /// Where fields stand, for what is found later.
    pub places: Places,
}

impl Load {
    /// The findings because of which a file cannot be used: nothing starts with it.
    pub fn broken(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.effect() == Effect::FileRefused)
    }

    /// What files hold, in their order: of each what is wrong with it, and the good objects of the other, which is the file
    /// itself or what it was before it broke. To `findings` about the files come those about what they hold.
    fn of<'f>(
        files: impl Iterator<Item = (&'f File, &'f File)> + Clone,
        mut findings: Vec<Finding>,
        (paths, audience): (&[PathBuf], &Audience),
    ) -> Load {
        let (mut store, mut places) = (Store::default(), Places::default());
        let mut ignored = Ignored::default();
        for (file, _) in files.clone() {
            findings.extend(file.findings.iter().cloned());
            ignored.add(file);
        }
        // What an emptied file held may stand in another by now, which counts then.
        let is_kept = |(file, good): (&File, &File)| file.is_empty() && !good.is_empty();
        let kept = files.clone().filter(|pair| is_kept(*pair));
        for (file, good) in files.clone().filter(|pair| !is_kept(*pair)).chain(kept) {
            for (typed, object) in good.usable() {
                match typed.put(&mut store) {
                    Ok(()) => places.add(object.origin.clone(), Arc::clone(&object.tree)),
                    Err(_) if file.is_empty() => {}
                    Err(first) => findings.extend(object.is_a_second(&first)),
                }
            }
        }
        findings.extend(ignored.finding());
        findings.extend(refused::duplicates(files.clone().map(|(file, _)| file)));
        // A router goes without: ConfigMaps come and go with adapters.
        let nothing = *audience != Audience::BodyBasedRouter
            && store == Store::default()
            && !findings.iter().any(|f| f.effect() == Effect::FileRefused);
        findings.extend(paths.first().filter(|_| nothing).map(|first| nothing_in(first, paths)));
        let refused = Refused::of(files.map(|(file, _)| file));
        findings.extend(references::check(&store, &places, &refused, audience));
        findings.sort();
        findings.dedup();
        Load { store, findings, places }
    }
}

/// What is wrong with these folders, files and, as `-`, stdin.
pub fn check(paths: &[PathBuf]) -> Vec<Finding> {
    Folder::new(paths).load().findings
}

/// What is wrong with a text, as if it were a file of this name.
pub fn check_text(file: &Path, text: &[u8]) -> Vec<Finding> {
    let file = read_file(&file.into(), text);
    Load::of([(&file, &file)].into_iter(), Vec::new(), (&[], &Audience::Gateway)).findings
}

impl Folder {
    /// A source that has not been read yet.
    pub fn new(paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Folder {
        let paths = paths.into_iter().map(Into::into).collect();
        Folder { paths, audience: Audience::default(), files: BTreeMap::new(), last: None }
    }

    /// Read by somebody else than a gateway.
    pub fn read_by(self, audience: Audience) -> Folder {
        Folder { audience, ..self }
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
        let mut findings = Vec::new();
        let mut before = std::mem::take(&mut self.files);
        let mut order = Vec::new();
        for path in self.manifests(&before, &mut findings) {
            if let Some(file) = read(&path, before.remove(&path), &mut findings) {
                self.files.insert(path.clone(), file);
                order.push(path);
            }
        }
        let files = order.iter().map(|path| (path, &self.files[path]));
        findings.extend(files.clone().filter_map(|(path, remembered)| remembered.nothing_in_it(path)));
        // If no file has an object, that is told once.
        if order.iter().all(|path| self.files[path].good.is_empty()) {
            findings.retain(|finding| finding.code != "empty-file");
        }
        let files = files.map(|(_, remembered)| (&remembered.file, &remembered.good));
        Load::of(files, findings, (&self.paths, &self.audience))
    }

    /// The files that the paths stand for, each once.
    fn manifests(&self, before: &BTreeMap<PathBuf, Remembered>, findings: &mut Vec<Finding>) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for path in &self.paths {
            let found = if path.is_dir() { manifests_of(path) } else { Ok(kept_of(path, before)) };
            let mut found = found.unwrap_or_else(|error| {
                findings.push(unreadable(path, format!("cannot list the folder: {error}")));
                kept_of(path, before)
            });
            if found.len() > FILES_MAX {
                let message = format!("{} manifests in one folder; {FILES_MAX} are read", found.len());
                findings.push(unreadable(path, message));
                found.truncate(FILES_MAX);
            }
            files.append(&mut found);
        }
        let mut seen = BTreeSet::new();
        files.retain(|file| seen.insert(file.clone()));
        files
    }
}

/// What stands for a path that cannot be listed: itself, or, if it was a folder and is gone, the files that were in it: they
/// keep their last good objects until it is back.
fn kept_of(path: &Path, before: &BTreeMap<PathBuf, Remembered>) -> Vec<PathBuf> {
    let kept: Vec<PathBuf> = before.keys().filter(|file| file.parent() == Some(path)).cloned().collect();
    if kept.is_empty() { vec![path.to_owned()] } else { kept }
}

/// Reads a file, unless it is as it was. A file that cannot be read keeps its last good objects, as one that is broken.
fn read(path: &Path, before: Option<Remembered>, findings: &mut Vec<Finding>) -> Option<Remembered> {
    let before = match before {
        Some(before) if is_read_once(path) => return Some(before),
        before => before,
    };
    let text = match text_of(path) {
        Ok(text) => text,
        Err(error) => {
            let message = match error.kind() {
                io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
                _ => format!("cannot read the file: {error}"),
            };
            findings.push(unreadable(path, message));
            return before;
        }
    };
    match before {
        Some(before) if before.text == text => Some(before),
        before => {
            let file = read_file(&shown(path), &text);
            let good = match before {
                Some(before) if file.is_broken() || file.is_empty() => before.good,
                _ => file.clone(),
            };
            Some(Remembered { text, file, good })
        }
    }
}

/// Whether reading it again would give nothing.
fn is_read_once(path: &Path) -> bool {
    path == Path::new(STDIN) || path.metadata().is_ok_and(|metadata| !metadata.is_file())
}

fn text_of(path: &Path) -> io::Result<Vec<u8>> {
    if path == Path::new(STDIN) { limited(io::stdin().lock()) } else { limited(std::fs::File::open(path)?) }
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
        let message = format!("objects of kinds that are not read here are left out: {}", kinds.join(", "));
        Some(Finding { field: "kind".to_owned(), ..Finding::of_file(self.first?, "ignored-kind", message) })
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

fn unreadable(path: &Path, message: impl Into<String>) -> Finding {
    Finding::of_file(Origin { file: shown(path), line: 0 }, "unreadable", message)
}

fn nothing_in(first: &Path, paths: &[PathBuf]) -> Finding {
    let paths: Vec<String> = paths.iter().map(|path| shown(path).display().to_string()).collect();
    let message = format!(
        "no object in {}; of a folder its *.yaml, *.yml and *.json are read, not those of folders within",
        paths.join(", ")
    );
    Finding::of_file(Origin { file: shown(first), line: 0 }, "nothing-declared", message)
}
