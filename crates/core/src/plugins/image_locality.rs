//! ImageLocality: a node is liked if it has the pod's images, the more the larger they are and the more nodes have them.

use super::{Context, Plugin, PluginId, Scope};
use crate::state::{ClusterState, NodeView};

pub(crate) struct ImageLocality;

const MIB: i64 = 1024 * 1024;
/// Less than this is not worth anything.
const LEAST: i64 = 23 * MIB;
/// More than this a container is not worth more.
const MOST: i64 = 1000 * MIB;

impl Plugin for ImageLocality {
    fn id(&self) -> PluginId {
        PluginId::ImageLocality
    }

    fn score_scope(&self, _: &Context) -> Result<Scope, String> {
        Ok(Scope::Node)
    }

    fn score(&self, pod: &Context, node: NodeView<'_>, _: &ClusterState) -> i64 {
        if pod.images.is_empty() {
            return 0;
        }
        let here = &node.row().images;
        let there = pod.images.iter().filter(|(image, _)| here.binary_search(image).is_ok());
        let sum: i64 = there.map(|(_, worth)| worth).sum();
        let most = MOST * i64::from(pod.spec.image_containers);
        if most <= LEAST { 0 } else { 100 * (sum.clamp(LEAST, most) - LEAST) / (most - LEAST) }
    }
}
