//! Changes of a folder, on a real file system. Nothing sleeps: each test waits for the next load, with a deadline.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use resources::{Folder, Load, Watch};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A change that is not told of is found by looking again every 5 s.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for a load of which `holds` holds.
async fn until(watch: &mut Watch, holds: impl Fn(&Load) -> bool) -> Load {
    let found = async {
        loop {
            let load = watch.next().await.expect("the watch goes on");
            if holds(&load) {
                return load;
            }
        }
    };
    tokio::time::timeout(DEADLINE, found).await.expect("a load in time")
}

fn config_map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n")
}

fn names(load: &Load) -> Vec<&str> {
    load.store.config_maps.keys().map(|name| &*name.name).collect()
}

fn watched(path: &Path) -> Watch {
    let mut folder = Folder::new([path]);
    folder.load();
    folder.watch()
}

#[tokio::test]
async fn a_file_that_comes_changes_and_goes_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    let mut watch = watched(folder.path());
    fs::write(&file, config_map("one")).unwrap();
    until(&mut watch, |load| names(load) == ["one"]).await;
    fs::write(&file, config_map("two")).unwrap();
    until(&mut watch, |load| names(load) == ["two"]).await;
    fs::remove_file(&file).unwrap();
    until(&mut watch, |load| names(load).is_empty()).await;
}

#[tokio::test]
async fn a_change_between_the_load_and_the_watch_is_told() {
    let path = tempfile::tempdir().unwrap();
    let mut folder = Folder::new([path.path()]);
    folder.load();
    fs::write(path.path().join("a.yaml"), config_map("one")).unwrap();
    until(&mut folder.watch(), |load| names(load) == ["one"]).await;
}

#[tokio::test]
async fn a_broken_file_keeps_its_own_last_good_objects_while_the_others_apply() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a.yaml"), folder.path().join("b.yaml"));
    fs::write(&a, config_map("a1")).unwrap();
    fs::write(&b, config_map("b1")).unwrap();
    let mut watch = watched(folder.path());
    fs::write(&a, "kind: [").unwrap();
    fs::write(&b, config_map("b2")).unwrap();
    let load = until(&mut watch, |load| names(load) == ["a1", "b2"]).await;
    let broken: Vec<_> = load.broken().map(|finding| (finding.code, &*finding.origin.file)).collect();
    assert_eq!(broken, [("not-yaml", a.as_path())]);
    fs::write(&a, config_map("a3")).unwrap();
    let load = until(&mut watch, |load| names(load) == ["a3", "b2"]).await;
    assert_eq!(load.findings, []);
}

#[tokio::test]
async fn a_file_that_is_emptied_keeps_its_last_good_objects_until_it_has_others_or_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a.yaml"), folder.path().join("b.yaml"));
    fs::write(&a, config_map("a1")).unwrap();
    fs::write(&b, config_map("b1")).unwrap();
    let mut watch = watched(folder.path());
    fs::write(&a, "").unwrap();
    fs::write(&b, config_map("b2")).unwrap();
    let load = until(&mut watch, |load| names(load) == ["a1", "b2"]).await;
    let told: Vec<_> = load.findings.iter().map(|found| (found.code, &*found.origin.file)).collect();
    assert_eq!(told, [("empty-file", a.as_path())]);
    fs::write(&a, config_map("a3")).unwrap();
    let load = until(&mut watch, |load| names(load) == ["a3", "b2"]).await;
    assert_eq!(load.findings, []);
    fs::write(&a, "# being written\n").unwrap();
    fs::write(&b, config_map("b4")).unwrap();
    until(&mut watch, |load| names(load) == ["a3", "b4"]).await;
    // What it kept has moved: where it stands now it counts.
    fs::write(&b, config_map("a3") + "data: {moved: 'yes'}\n").unwrap();
    let is_moved = |load: &Load| load.store.config_maps.values().any(|map| !map.data.is_empty());
    let load = until(&mut watch, is_moved).await;
    assert_eq!(load.findings.iter().map(|found| found.code).collect::<Vec<_>>(), ["empty-file"]);
    fs::write(&b, config_map("b4")).unwrap();
    until(&mut watch, |load| names(load) == ["a3", "b4"]).await;
    fs::remove_file(&a).unwrap();
    until(&mut watch, |load| names(load) == ["b4"]).await;
}

#[tokio::test]
async fn a_file_saved_by_renaming_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs::write(&file, config_map("one")).unwrap();
    let mut watch = watched(&file);
    let beside = folder.path().join(".a.yaml.swp");
    fs::write(&beside, config_map("two")).unwrap();
    fs::rename(&beside, &file).unwrap();
    until(&mut watch, |load| names(load) == ["two"]).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_mounted_config_map_that_is_swapped_is_told() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    for (version, name) in [("..v1", "one"), ("..v2", "two")] {
        fs::create_dir(folder.path().join(version)).unwrap();
        fs::write(folder.path().join(version).join("a.yaml"), config_map(name)).unwrap();
    }
    symlink("..v1", folder.path().join("..data")).unwrap();
    symlink("..data/a.yaml", folder.path().join("a.yaml")).unwrap();
    let mut watch = watched(folder.path());
    symlink("..v2", folder.path().join("..data_tmp")).unwrap();
    fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    until(&mut watch, |load| names(load) == ["two"]).await;
}

#[tokio::test]
async fn a_folder_deleted_and_made_again_keeps_its_objects_until_it_is_back() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("manifests");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.yaml"), config_map("one")).unwrap();
    let mut watch = watched(&folder);
    fs::remove_dir_all(&folder).unwrap();
    let gone = until(&mut watch, |load| load.broken().any(|finding| finding.code == "unreadable")).await;
    assert_eq!(names(&gone), ["one"]);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.yaml"), config_map("two")).unwrap();
    until(&mut watch, |load| names(load) == ["two"]).await;
    fs::write(folder.join("a.yaml"), config_map("three")).unwrap();
    until(&mut watch, |load| names(load) == ["three"]).await;
}
