//! Which images are on how many nodes, and their sizes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::object::NodeImage;
use crate::units::Bytes;

/// The number of an image name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ImageId(u32);

#[derive(Debug, Default)]
struct Image {
    name: Arc<str>,
    /// The size that was told first.
    size: Bytes,
    nodes: usize,
}

/// Images on nodes.
#[derive(Debug, Default)]
pub(crate) struct Images {
    images: Vec<Image>,
    by_name: HashMap<Arc<str>, ImageId>,
    free: Vec<ImageId>,
    nodes: usize,
    version: u64,
}

impl Images {
    /// Takes in the images of a node: their numbers, sorted, each once.
    pub(crate) fn add_node(&mut self, images: &[NodeImage]) -> Vec<ImageId> {
        let mut ids = Vec::new();
        for image in images {
            for name in &image.names {
                let id = match self.by_name.get(name) {
                    Some(&id) => id,
                    None => {
                        let entry = Image { name: name.clone(), size: image.size, nodes: 0 };
                        let id = match self.free.pop() {
                            Some(id) => {
                                self.images[id.0 as usize] = entry;
                                id
                            }
                            None => {
                                self.images.push(entry);
                                ImageId((self.images.len() - 1) as u32)
                            }
                        };
                        self.by_name.insert(name.clone(), id);
                        id
                    }
                };
                ids.push(id);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        for id in &ids {
            self.images[id.0 as usize].nodes += 1;
        }
        self.version += u64::from(!ids.is_empty());
        ids
    }

    /// Forgets the images of a node.
    pub(crate) fn remove_node(&mut self, ids: &mut Vec<ImageId>) {
        self.version += u64::from(!ids.is_empty());
        for id in ids.drain(..) {
            let image = &mut self.images[id.0 as usize];
            image.nodes -= 1;
            if image.nodes == 0 {
                self.by_name.remove(&image.name);
                self.free.push(id);
            }
        }
    }

    /// There are so many nodes.
    pub(crate) fn set_nodes(&mut self, nodes: usize) {
        self.nodes = nodes;
        self.version += u64::from(!self.by_name.is_empty());
    }

    /// The number of the image that a pod names so, if a node has it.
    pub(crate) fn find_as_written(&self, name: &str) -> Option<ImageId> {
        if self.by_name.is_empty() { None } else { self.by_name.get(&*normalized(name)).copied() }
    }

    /// What having the image is worth: its size by the share of nodes that have it.
    pub(crate) fn spread_size(&self, id: ImageId) -> i64 {
        let Some(image) = self.images.get(id.0 as usize) else { return 0 };
        let share = image.nodes as f64 / (self.nodes.max(1)) as f64;
        (image.size.get() as f64 * share) as i64
    }

    /// Changes with every change that could alter a worth.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }
}

/// The name as nodes report it: with the tag `:latest` if it has neither tag nor digest.
fn normalized(name: &str) -> String {
    match (name.rfind(':'), name.rfind('/')) {
        (None, _) => format!("{name}:latest"),
        (Some(colon), Some(slash)) if colon < slash => format!("{name}:latest"),
        _ => name.to_owned(),
    }
}
