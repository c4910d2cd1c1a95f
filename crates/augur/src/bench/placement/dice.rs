//! Draws for the making of a world, by the usual distributions. Entry point: [`Dice`].

use augur_sandbox::sim::{Purpose, Rng};

/// Draws one after the other; equal seeds give equal draws.
#[derive(Debug, Clone)]
pub struct Dice {
    rng: Rng,
    stream: u64,
    count: u64,
}

impl Dice {
    /// Dice of their own for a purpose, so that more draws for one thing do not change another.
    pub fn new(seed: u64, stream: u64) -> Dice {
        Dice { rng: Rng::new(seed), stream, count: 0 }
    }

    /// From 0 up to, but not including, 1.
    pub fn unit(&mut self) -> f64 {
        self.count += 1;
        self.rng.unit(self.stream, Purpose::Load, self.count)
    }

    /// A place in a list of weights.
    pub fn pick(&mut self, weights: &[f64]) -> usize {
        let mut left = self.unit() * weights.iter().sum::<f64>();
        let found = weights.iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        found.unwrap_or(weights.len().saturating_sub(1))
    }

    /// Of mean 0 and standard deviation 1 (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Of this median; `sigma` is the standard deviation of its logarithm.
    pub fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// Of mean `mean`.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Of this shape and mean. `gamma` of [`weibull_scale`] is the mean of shape and scale 1.
    pub fn weibull(&mut self, shape: f64, mean: f64) -> f64 {
        weibull_scale(shape, mean) * (-(1.0 - self.unit()).ln()).powf(1.0 / shape)
    }

    /// Of this shape and scale 1 (Marsaglia and Tsang; shapes below 1 by the power of one draw more).
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let power = (1.0 - self.unit()).powf(1.0 / shape);
            return self.gamma(shape + 1.0) * power;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && (1.0 - self.unit()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// Beta distribution.
    pub fn beta(&mut self, a: f64, b: f64) -> f64 {
        let (x, y) = (self.gamma(a), self.gamma(b));
        if x + y > 0.0 { x / (x + y) } else { a / (a + b) }
    }
}

/// The scale of a Weibull distribution of this shape and mean.
pub fn weibull_scale(shape: f64, mean: f64) -> f64 {
    mean / gamma_function(1.0 + 1.0 / shape)
}

/// Euler's gamma function for arguments of at least 1 (Lanczos' approximation with g = 5 and six terms).
fn gamma_function(x: f64) -> f64 {
    const TERMS: [f64; 6] = [
        76.180_091_729_471_46,
        -86.505_320_329_416_77,
        24.014_098_240_830_91,
        -1.231_739_572_450_155,
        0.001_208_650_973_866_179,
        -0.000_005_395_239_384_953,
    ];
    let t = x + 5.5;
    let series = TERMS.iter().zip(1..).fold(1.000_000_000_190_015, |sum, (term, n)| sum + term / (x + f64::from(n)));
    ((x + 0.5) * t.ln() - t).exp() * 2.506_628_274_631_000_5 * series / x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distributions_have_their_moments() {
        let mut dice = Dice::new(1, 2);
        let mut mean =
            |draw: &mut dyn FnMut(&mut Dice) -> f64| (0..20_000).map(|_| draw(&mut dice)).sum::<f64>() / 20_000.0;
        let near =
            |got: f64, expected: f64| assert!((got - expected).abs() < 0.05 * expected.max(1.0), "{got} {expected}");
        near(mean(&mut |d| d.unit()), 0.5);
        near(mean(&mut |d| d.normal().powi(2)), 1.0);
        near(mean(&mut |d| d.exponential(3.0)), 3.0);
        near(mean(&mut |d| d.weibull(0.67, 2.0)), 2.0);
        near(mean(&mut |d| d.gamma(0.8)), 0.8);
        near(mean(&mut |d| d.gamma(3.0)), 3.0);
        near(mean(&mut |d| d.beta(0.38, 1.13)), 0.252);
        near(mean(&mut |d| d.lognormal(2.0, 0.5).ln()), 2f64.ln());
        near(gamma_function(5.0), 24.0);
        assert_eq!((0..4).map(|_| dice.pick(&[0.0, 1.0, 0.0])).max(), Some(1));
    }
}
