//! Measures the decision loop alone: `cargo run --release -p augur-core --example decide_speed -- NODES PODS TEMPLATES`.
//!
//! Pods come all at once and are decided, assumed, bound and confirmed one after another, so that every decision changes
//! the state of the next. The rate is that of the whole way of a pod, the times are those of decisions.

#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::sync::Arc;
use std::time::Instant;

use augur_core::object::{ContainerResources, Node, Pod, PodResources, PodSpec, Resources};
use augur_core::predictor::NoModel;
use augur_core::scheduler::{BindResult, Effect, Input, Scheduler, SchedulerConfig};
use augur_core::state::NodeSignals;
use augur_core::time::Timestamp;
use augur_notation::Quantity;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>().unwrap_or(0));
    let (nodes, pods) = (arguments.next().unwrap_or(1_500).max(1), arguments.next().unwrap_or(20_000).max(1));
    let templates = arguments.next().unwrap_or(1).max(1);
    let signals = arguments.next().unwrap_or(0) > 0;

    let amount = |text: &str| Quantity::parse(text).unwrap_or(Quantity::ZERO);
    let (now, model) = (Timestamp::EPOCH, NoModel::default());
    let mut scheduler = Scheduler::new(SchedulerConfig::default());
    let mut effects = Vec::new();
    for index in 0..nodes {
        let name = format!("node-{index}");
        let node = Node {
            labels: [
                ("kubernetes.io/hostname", name.clone()),
                ("topology.kubernetes.io/zone", format!("zone-{}", index % 3)),
            ]
            .into_iter()
            .collect(),
            allocatable: Resources::of([("cpu", amount("64")), ("memory", amount("256Gi"))]),
            allowed_pods: 250,
            ready: true,
            name: name.as_str().into(),
            ..Node::default()
        };
        scheduler.step(Input::NodeApplied(node), now, &mut effects);
        if signals {
            let share = (index % 97) as f64 / 100.0;
            let observed = NodeSignals { cpu_usage: Some(share), ready: Some(true), ..NodeSignals::at(now) };
            scheduler.step(Input::Signals(vec![(name.as_str().into(), Some(observed))]), now, &mut effects);
        }
    }
    let specs: Vec<Arc<PodSpec>> = (0..templates)
        .map(|index| {
            let requests = vec![
                ("cpu".into(), Quantity::of_milli(50 + index as i64 % 400)),
                ("memory".into(), amount(&format!("{}Mi", 64 + index % 500))),
            ];
            let container = ContainerResources { requests, ..ContainerResources::default() };
            let resources = PodResources { containers: vec![container], ..PodResources::default() };
            Arc::new(PodSpec {
                scheduler_name: "default-scheduler".into(),
                requests: resources.requests(),
                images: vec![format!("image-{index}").into()],
                image_containers: 1,
                ..PodSpec::default()
            })
        })
        .collect();

    let mut took: Vec<u64> = Vec::with_capacity(pods);
    let began = Instant::now();
    for index in 0..pods {
        let name = format!("pod-{index}");
        let pod = Pod::new(&name, "default", &name, specs[index % templates].clone());
        scheduler.step(Input::PodApplied(pod), now, &mut effects);
    }
    let mut placed = 0;
    loop {
        let start = Instant::now();
        if !scheduler.run_once(&model, now, &mut effects) {
            break;
        }
        took.push(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        for effect in std::mem::take(&mut effects) {
            if let Effect::Bind { pod, node, .. } = effect {
                placed += 1;
                let result = Input::BindResult { uid: pod.uid.clone(), result: BindResult::Bound };
                scheduler.step(result, now, &mut effects);
                let bound = Pod { node: Some(node), ..Pod::clone(&pod) };
                scheduler.step(Input::PodApplied(bound), now, &mut effects);
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize] as f64 / 1000.0;
    println!(
        "{{\"nodes\":{nodes},\"pods\":{pods},\"templates\":{templates},\"placed\":{placed},\"pods_per_s\":{:.0},\
         \"p50_us\":{:.1},\"p99_us\":{:.1},\"max_us\":{:.1}}}",
        pods as f64 / seconds,
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
