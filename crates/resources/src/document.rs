//! The objects of a text: its documents, each `List` unfolded.

use yaml::{Broken, Tree, Value};

/// The objects of a text up to where it is broken.
pub(crate) fn documents(text: &[u8]) -> (Vec<Tree>, Option<Broken>) {
    let (trees, broken) = yaml::documents(text);
    let mut objects = Vec::with_capacity(trees.len());
    trees.into_iter().for_each(|tree| unfold(tree, &mut objects));
    (objects, broken)
}

/// A `List` stands for its items.
fn unfold(tree: Tree, objects: &mut Vec<Tree>) {
    let is_list = tree.text("apiVersion") == Some("v1") && tree.text("kind") == Some("List");
    if !is_list {
        objects.push(tree);
        return;
    }
    let Value::Map(entries) = tree.value else { return };
    for entry in entries.into_iter().filter(|entry| entry.name == "items") {
        if let Value::List(items) = entry.value.value {
            objects.extend(items);
        }
    }
}
