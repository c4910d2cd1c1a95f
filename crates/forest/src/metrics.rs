//! How good probabilities are: ranking ([`auc`]). Weights are empty when all rows weigh the same.

fn weight(weights: &[f32], row: usize) -> f64 {
    weights.get(row).map_or(1.0, |w| f64::from(*w))
}

/// Rows by falling score, as (score, weight of label 1, weight of label 0), rows of equal score taken together.
fn by_score(labels: &[f32], scores: &[f32], weights: &[f32]) -> Vec<(f32, f64, f64)> {
    let mut rows: Vec<(f32, f64, f64)> = (labels.iter().zip(scores).enumerate())
        .map(|(row, (label, score))| {
            let weight = weight(weights, row);
            let positive = f64::from(*label) * weight;
            (*score, positive, weight - positive)
        })
        .collect();
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut ties: Vec<(f32, f64, f64)> = Vec::new();
    for row in rows {
        match ties.last_mut() {
            Some(last) if last.0 == row.0 => {
                last.1 += row.1;
                last.2 += row.2;
            }
            _ => ties.push(row),
        }
    }
    ties
}

/// The area under the receiver operating characteristic: the probability that a row of label 1 scores above one of label 0,
/// ties counting half. NaN when there is one class only.
#[must_use]
pub fn auc(labels: &[f32], scores: &[f32], weights: &[f32]) -> f64 {
    let (mut above, mut won, mut negative) = (0.0, 0.0, 0.0);
    for (_, one, zero) in by_score(labels, scores, weights) {
        won += zero * (above + one / 2.0);
        above += one;
        negative += zero;
    }
    won / (above * negative)
}
