use std::fmt::Write as _;
use std::io::Write as _;

use augur_sandbox::sim::{Millis, Purpose, Rng};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::super::world::{HOUR, Scenario, World};
use super::*;

fn zipped(path: &Path, text: &str) {
    let mut out = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
    out.write_all(text.as_bytes()).unwrap();
    out.finish().unwrap();
}

/// Two days of two machines, of which the second is idle; two pods, of which the second has hardly lived.
fn fixture() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let (cpu, memory) = (root.path().join(BITBRAINS), root.path().join(GENAI));
    std::fs::create_dir_all(&cpu).unwrap();
    std::fs::create_dir_all(&memory).unwrap();
    std::fs::write(cpu.join("vms.csv"), "vm,cores,cap_mhz\n1,1,2000\n2,1,2000\n").unwrap();
    let mut usage = "vm,slot,cpu_mhz,mem_mb\n".to_owned();
    for (vm, slot) in [1, 2].into_iter().flat_map(|vm| (0..576).map(move |slot| (vm, slot))) {
        // The first day is flat; the second is at twice the use from noon on.
        let mhz = if vm == 2 {
            10
        } else if slot < 432 {
            1_000
        } else {
            2_000
        };
        writeln!(usage, "{vm},{slot},{mhz},100").unwrap();
    }
    zipped(&cpu.join("usage_5min_14d.csv.gz"), &usage);
    let mut util = "value,pod,t\n".to_owned();
    for sample in 0..400 {
        writeln!(util, "{},aaaa,{}", if sample < 200 { 0.25 } else { 0.75 }, 57 * sample).unwrap();
    }
    zipped(&memory.join("pod_memory_util.csv.gz"), &(util + "0.5,bbbb,57\n"));
    root
}

fn at(curve: Curve, after: Millis) -> f64 {
    curve.at(Rng::new(1), 1, Purpose::Load, START + after)
}

#[test]
fn traces_are_normalised_resampled_and_wrapped() {
    let root = fixture();
    let usage = Usage::load(root.path(), true).unwrap();
    assert_eq!((usage.cpu.curves.len(), usage.memory.curves.len()), (1, 1));
    let shape = usage.draw(&mut Dice::new(1, 1)).unwrap();
    let near = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-6, "{got} {expected}");
    near(at(shape.cpu, 0), 1.0 / 1.15);
    near(at(shape.cpu, 12 * HOUR - MINUTE), 1.0 / 1.15);
    near(at(shape.cpu, 12 * HOUR), 2.0 / 1.15);
    near(at(shape.cpu, 24 * HOUR), 1.0 / 1.15);
    // 400 samples of 57 s are 380 minutes; the 200th is in the 190th.
    let memory = [0, 189, 190, 379, 380].map(|minute| at(shape.memory, minute * MINUTE));
    assert_eq!(memory, [0.25, 0.25, 0.75, 0.75, 0.25]);
    assert_eq!(usage.json()["cpu"], json!({ "from": "trace", "trace": "bitbrains_rnd", "series": 1 }));
    assert!(usage.to_string().contains("memory replayed from 1 series of alibaba_genai_pods"), "{usage}");
}

#[test]
fn what_the_folder_has_not_is_generated_unless_it_was_asked_for() {
    let empty = tempfile::tempdir().unwrap();
    let usage = Usage::load(empty.path(), false).unwrap();
    assert_eq!(usage.json(), Usage::generated().json());
    assert_eq!(usage.json()["memory"]["from"], "generator");
    let refused = Usage::load(empty.path(), true).unwrap_err();
    assert!(refused.to_string().contains("bitbrains_rnd is no folder"), "{refused}");
}

#[test]
fn a_bad_file_is_named() {
    let fails = |file: &str, text: &str| {
        let root = fixture();
        let path = root.path().join(file);
        if file.ends_with("gz") {
            zipped(&path, text);
        } else {
            std::fs::write(&path, text).unwrap();
        }
        let error = format!("{:#}", Usage::load(root.path(), false).unwrap_err());
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        error
    };
    let usage = "bitbrains_rnd/usage_5min_14d.csv.gz";
    assert!(fails("bitbrains_rnd/vms.csv", "vm,cores\n1,1\n").contains("no column cap_mhz"));
    assert!(fails(usage, "vm,slot,cpu_mhz\n1,0,many\n").contains("line 2: \"many\" is no use"));
    assert!(fails(usage, "vm,slot,cpu_mhz\n2,0,1\n1,0,1\n").contains("line 3: machine 1 goes back"));
    assert!(fails(usage, "vm,slot,cpu_mhz\n").contains("no two full days"));
    let memory = "alibaba_genai_pods/pod_memory_util.csv.gz";
    assert!(fails(memory, "value,pod,t\n0.5,a,99999999\n").contains("more than a month"));
    let root = fixture();
    std::fs::write(root.path().join(memory), "no gzip").unwrap();
    assert!(format!("{:#}", Usage::load(root.path(), false).unwrap_err()).contains("pod_memory_util"));
}

#[test]
fn the_seed_draws_the_series_and_nothing_else_changes_with_them() {
    let usage = Usage {
        cpu: Source::replay(BITBRAINS, (1..=50).map(|at| vec![at as f32 / 50.0; 10]).collect()),
        memory: Source::replay(GENAI, vec![vec![0.5; 10]]),
    };
    let world = |seed, usage: &Usage| World::new(Scenario::FailingNodes, 20, 4.0, seed, usage);
    let shapes = |seed| world(seed, &usage).templates.iter().map(|one| one.behaviour.shape).collect::<Vec<_>>();
    assert_eq!(shapes(1), shapes(1));
    assert_ne!(shapes(1), shapes(2));
    let (replayed, generated) = (world(1, &usage), world(1, &Usage::generated()));
    assert_eq!((&replayed.spells, &replayed.arrivals), (&generated.spells, &generated.arrivals));
    let requests = |world: &World| world.templates.iter().map(|one| one.requests.clone()).collect::<Vec<_>>();
    assert_eq!(requests(&replayed), requests(&generated));
}

/// The same series as the generator was fitted to.
#[test]
fn the_traces_themselves_give_the_series_that_the_generator_was_fitted_to() {
    let Some(shared) = std::env::var_os("AUGUR_SHARED") else {
        eprintln!("skipped: AUGUR_SHARED is not set");
        return;
    };
    let usage = Usage::load(&Path::new(&shared).join("traces"), true).unwrap();
    assert_eq!((usage.cpu.curves.len(), usage.memory.curves.len()), (2_594, 165));
}
