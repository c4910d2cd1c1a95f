//! A short run of each fuzz target (`fuzz/`), with a fixed seed and mutations of small examples: an ordinary test.
#![expect(clippy::panic, reason = "the targets fail by panicking")]

#[path = "../../../fuzz/src/lib.rs"]
mod targets;

/// A generator with a fixed course (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is above zero.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// One of the examples with a few changes, of which many put in pieces that mean something.
fn mutated(random: &mut Random, examples: &[&str], pieces: &[&str]) -> Vec<u8> {
    let mut bytes = random.pick(examples).as_bytes().to_vec();
    for _ in 0..random.below(5) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => {
                let end = at + random.below(bytes.len() - at) + 1;
                bytes.drain(at..end.min(at + 12));
            }
            2 => {
                let other = random.pick(examples).as_bytes();
                let from = random.below(other.len() + 1);
                bytes.splice(at..at, other[from..].iter().copied().take(20));
            }
            3 if at < bytes.len() => {
                let piece = random.pick(pieces).as_bytes();
                let end = (at + piece.len()).min(bytes.len());
                bytes.splice(at..end, piece.iter().copied());
            }
            _ => {
                bytes.splice(at..at, random.pick(pieces).bytes());
            }
        }
    }
    bytes
}

fn run(target: fn(&[u8]), rounds: usize, examples: &[&str], pieces: &[&str]) {
    examples.iter().for_each(|example| target(example.as_bytes()));
    let mut random = Random(42);
    for _ in 0..rounds {
        target(&mutated(&mut random, examples, pieces));
    }
}

#[test]
fn quantities() {
    let examples = ["0", "1", "500m", "1.5Gi", "-2e3", "100n", "1E-6", "9223372036854775807", ".5Ki", "+1.", "12e6"];
    let pieces =
        ["0", "9", ".", "-", "+", "e", "E", "m", "u", "n", "k", "Ki", "Mi", "Gi", "Ti", "Ei", "i", "e99", "\u{b5}"];
    run(targets::quantity, 40_000, &examples, &pieces);
}

#[test]
fn selectors() {
    let examples =
        ["a=b", "a in (x,y),!c", "a notin (),b>1", "example.com/x==y,d<2", "a!=b, c", "in in (in)", "a in (,x)"];
    let pieces = [",", "(", ")", "=", "!", "==", "!=", ">", "<", " in ", " notin ", "x", "/", " ", "-", "1", "\u{e9}"];
    run(targets::selector, 20_000, &examples, &pieces);
}

#[test]
fn pods() {
    let examples = [
        r#"{"metadata":{"name":"p","uid":"u"},"spec":{"containers":[{"resources":{"requests":{"cpu":"1","memory":"1Gi"}}}]}}"#,
        r#"{"metadata":{"name":"p","uid":"u","labels":{"a":"b"}},"spec":{"nodeSelector":{"zone":"a"},"tolerations":[{"key":"k",
            "operator":"Exists","effect":"NoSchedule"}],"affinity":{"nodeAffinity":{
            "requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"zone",
            "operator":"In","values":["a"]}]}]}}}}}"#,
        r#"{"metadata":{"name":"p","uid":"u","namespace":"n","labels":{"a":"b"}},"spec":{"topologySpreadConstraints":[{"maxSkew":1,
            "topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"a":"b"}}}],"affinity":{
            "podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"zone","labelSelector":
            {"matchExpressions":[{"key":"a","operator":"Exists"}]}}]}}}}"#,
        r#"{"metadata":{"name":"p","uid":"u","ownerReferences":[{"kind":"ReplicaSet","name":"p","controller":true}]},"spec":{
            "nodeName":"n1","priority":5,"containers":[{"name":"c","ports":[{"hostPort":80}],"resources":{"requests":
            {"example.com/gpu":1}}}]},"status":{"phase":"Running","containerStatuses":[{"name":"c","resources":{"requests":
            {"cpu":"2"}}}]}}"#,
    ];
    let pieces = [
        "null",
        "-1",
        "\"\"",
        "{}",
        "[]",
        "1e400",
        "9223372036854775808",
        "\"-5\"",
        "true",
        "\"Gt\"",
        "\"Within\"",
        "\"1.5Gi\"",
        "\\u0000",
        "\"metadata.name\"",
        ",",
        "\"values\":[],",
    ];
    run(targets::pod, 6_000, &examples, &pieces);
}
