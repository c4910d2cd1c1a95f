//! Temporary: evaluates `select` on a numeric CSV.
use augur_forest::*;
fn main() {
    for path in std::env::args().skip(1) {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        let head: Vec<String> = lines.next().unwrap().split(',').map(str::to_owned).collect();
        let skip = |n: &str| ["label", "split", "group", "user"].contains(&n);
        let cols: Vec<usize> = (0..head.len()).filter(|i| !skip(&head[*i])).collect();
        let names: Vec<String> = cols.iter().map(|i| head[*i].clone()).collect();
        let (li, si) =
            (head.iter().position(|n| n == "label").unwrap(), head.iter().position(|n| n == "split").unwrap());
        let mut parts = [(vec![vec![]; cols.len()], vec![]), (vec![vec![]; cols.len()], vec![])];
        for line in lines {
            let cells: Vec<&str> = line.split(',').collect();
            let p = &mut parts[usize::from(cells[si] == "test")];
            for (k, c) in cols.iter().enumerate() {
                p.0[k].push(cells[*c].parse::<f32>().unwrap_or(f32::NAN));
            }
            p.1.push(cells[li].parse::<f32>().unwrap());
        }
        let slices = |p: &Vec<Vec<f32>>| p.clone();
        let (tr, te) = (slices(&parts[0].0), slices(&parts[1].0));
        let trs: Vec<&[f32]> = tr.iter().map(Vec::as_slice).collect();
        let tes: Vec<&[f32]> = te.iter().map(Vec::as_slice).collect();
        let bins = Bins::fit(&names, &trs, MAX_BINS).unwrap();
        let rows = bins.encode(&trs).unwrap();
        let began = std::time::Instant::now();
        let s = select(&bins, &rows, &parts[0].1, &SelectParams { threads: 2, ..Default::default() }).unwrap();
        let took = began.elapsed().as_secs_f64();
        let p = s.model.predict_rows(&bins.encode(&tes).unwrap()).unwrap();
        let y = &parts[1].1;
        println!(
            "| {} | {}+{} | {:.4} | {:.4} | {:.4} | {:.4} | {:.4} | {took:.1} | {}, {}",
            path.rsplit('/').next().unwrap(),
            rows.len(),
            y.len(),
            auc(y, &p, &[]),
            average_precision(y, &p, &[]),
            brier(y, &p, &[]),
            log_loss(y, &p, &[]),
            expected_calibration_error(y, &p, &[], 15),
            s.chosen,
            s.calibration
        );
    }
}
