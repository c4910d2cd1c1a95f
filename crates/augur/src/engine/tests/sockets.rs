//! Engines that reach the API server over real connections, through a proxy that treats them badly: [`Proxy`].
//!
//! A few runs, for what the simulation leaves out: sockets, HTTP connections and their pool, threads. What they are checked for
//! is the same: every pod is bound, and no node holds more than it can.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use augur_kube::{Denials, LeaseConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::super::{Mode, profile};
use super::cluster::{Cluster, until};
use super::sim::Random;

/// What is read at once: little, so that answers are cut in their middle.
const PIECE: usize = 700;

/// A proxy for connections.
struct Proxy {
    to: std::net::SocketAddr,
    random: Random,
    /// Whether it treats connections badly.
    bad: AtomicBool,
    /// Whether nothing passes.
    partition: AtomicBool,
    /// Connections that it cut.
    cut: AtomicU64,
}

impl Proxy {
    /// A proxy for the server, and where it listens.
    async fn start(to: std::net::SocketAddr, seed: u64) -> (Arc<Proxy>, std::net::SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Arc::new(Proxy {
            to,
            random: Random::new(seed),
            bad: AtomicBool::new(true),
            partition: AtomicBool::new(false),
            cut: AtomicU64::new(0),
        });
        let (serving, address) = (proxy.clone(), listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().connection(stream));
            }
        });
        (proxy, address)
    }

    async fn connection(self: Arc<Self>, client: TcpStream) {
        let Ok(server) = TcpStream::connect(self.to).await else { return };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        // So many pieces pass before the connection ends; some live long.
        let left = 1 + self.random.below(if self.random.in_thousand(300) { 400 } else { 30 });
        let left = Arc::new(AtomicU64::new(left));
        tokio::select! {
            () = self.pass(from_client, to_server, &left) => {}
            () = self.pass(from_server, to_client, &left) => {}
        }
    }

    async fn pass(
        &self,
        mut from: tokio::net::tcp::OwnedReadHalf,
        mut to: tokio::net::tcp::OwnedWriteHalf,
        left: &AtomicU64,
    ) {
        let mut piece = [0; PIECE];
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            let mut passed = length;
            if self.bad.load(Ordering::SeqCst) {
                let most = if self.random.in_thousand(30) { 400 } else { 4 };
                sleep(Duration::from_millis(self.random.below(most))).await;
                if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
                    // The last piece is torn, or lost.
                    passed = usize::try_from(self.random.below(length as u64)).unwrap();
                }
            }
            while self.partition.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(5)).await;
            }
            if to.write_all(&piece[..passed]).await.is_err() {
                return;
            }
            if passed < length {
                self.cut.fetch_add(1, Ordering::SeqCst);
                return;
            }
        }
    }
}

/// A kubeconfig for the address.
fn kubeconfig(dir: &std::path::Path, address: std::net::SocketAddr) -> PathBuf {
    let path = dir.join(format!("{}.yaml", address.port()));
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{ name: c, cluster: {{ server: \"http://{address}\" }} }}]\n\
         contexts: [{{ name: c, context: {{ cluster: c, user: u }} }}]\nusers: [{{ name: u, user: {{}} }}]\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

async fn history(seed: u64) {
    const NODES: usize = 3;
    const CORES: usize = 6;
    let cluster = Cluster::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let serving = tokio::spawn(augur_apiserver::serve(listener, cluster.server.router(), std::future::pending()));
    for node in 0..NODES {
        cluster.node(&format!("n{node}"), &CORES.to_string());
    }
    let dir = tempfile::tempdir().unwrap();
    let mut replicas = Vec::new();
    for (number, name) in ["first", "second"].into_iter().enumerate() {
        let (proxy, address) = Proxy::start(server, 2 * seed + number as u64).await;
        let path = kubeconfig(dir.path(), address);
        let client = augur_kube::from_kubeconfig(&path, Duration::from_secs(2), &Denials::default()).await.unwrap();
        let election = LeaseConfig {
            lease_duration: Duration::from_secs(2),
            renew_deadline: Duration::from_millis(1500),
            retry_period: Duration::from_millis(100),
            ..LeaseConfig::new("kube-system", "augur", name)
        };
        let profiles = vec![profile("augur", &crate::config::Scheduler::default())];
        replicas.push((proxy, cluster.start(client, Some(election), profiles, Mode::Scheduler)));
    }
    let pods: Vec<String> = (0..NODES * CORES).map(|n| format!("p{n}")).collect();
    for (number, pod) in pods.iter().enumerate() {
        cluster.pod(pod, "1");
        if number % 6 == 5 {
            // Some are on their way while the others come.
            let bound = || pods[..=number].iter().filter(|pod| cluster.node_of(pod).is_some()).count();
            until("some are bound", || bound() + 4 > number).await;
        }
    }
    for (proxy, engine) in &replicas {
        if engine.handle().leadership().leads() {
            proxy.partition.store(true, Ordering::SeqCst);
        }
    }
    cluster.pod("beyond", "1");
    until("another leads, or they did not", || {
        let cut_off = |proxy: &Proxy| proxy.partition.load(Ordering::SeqCst);
        let leads = |engine: &super::super::Engine| engine.handle().leadership().leads();
        replicas.iter().any(|(proxy, engine)| !cut_off(proxy) && leads(engine))
    })
    .await;
    for (proxy, _) in &replicas {
        proxy.partition.store(false, Ordering::SeqCst);
        proxy.bad.store(false, Ordering::SeqCst);
    }
    until("all are bound", || {
        pods.iter().chain(["beyond".to_owned()].iter()).filter(|pod| cluster.node_of(pod).is_some()).count()
            >= pods.len()
    })
    .await;
    until("the one beyond is told to wait", || {
        pods.iter()
            .chain([&"beyond".to_owned()])
            .any(|pod| cluster.node_of(pod).is_none() && cluster.scheduled(pod)["status"] == "False")
    })
    .await;
    for node in 0..NODES {
        let node = format!("n{node}");
        let all = pods.iter().cloned().chain(["beyond".to_owned()]);
        assert_eq!(
            all.filter(|pod| cluster.node_of(pod).as_ref() == Some(&node)).count(),
            CORES,
            "seed {seed}: {node}"
        );
    }
    let cut: u64 = replicas.iter().map(|(proxy, _)| proxy.cut.load(Ordering::SeqCst)).sum();
    assert!(cut > 0, "nothing went wrong");
    println!("seed {seed}: {cut} connections cut");
    for (_, engine) in replicas {
        engine.shutdown().await;
    }
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_torn_and_slow_neither_lose_a_pod_nor_overcommit_a_node() {
    for seed in 0..6 {
        history(seed).await;
    }
}
