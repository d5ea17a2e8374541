//! Figures of samples, and whether two sets of them differ.

use serde::{Deserialize, Serialize};

/// What is shown of samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many.
    pub n: usize,
    /// The least.
    pub min: f64,
    /// The middle.
    pub median: f64,
    /// What one in twenty exceeds.
    pub p95: f64,
    /// The median distance from the median.
    pub mad: f64,
}

impl Summary {
    /// The figures of some samples; zeros if there are none.
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = quantile(&sorted, 0.5);
        let mut distances: Vec<f64> = sorted.iter().map(|sample| (sample - median).abs()).collect();
        distances.sort_by(f64::total_cmp);
        let min = sorted.first().copied().unwrap_or(0.0);
        Self { n: samples.len(), min, median, p95: quantile(&sorted, 0.95), mad: quantile(&distances, 0.5) }
    }

    /// The spread as a share of the median.
    pub fn noise(&self) -> f64 {
        if self.median > 0.0 { self.mad / self.median } else { 0.0 }
    }
}

/// The median of samples in any order.
pub fn median(samples: &[f64]) -> f64 {
    Summary::of(samples).median
}

/// Between the two nearest samples.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = share * last as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * at.fract()
}

/// How likely samples as different as these are if both come from one distribution: the two-sided test of Mann and
/// Whitney (Ann. Math. Stat. 18, 1947) in its normal approximation, ties counted.
pub fn mann_whitney(a: &[f64], b: &[f64]) -> f64 {
    let (n, m) = (a.len() as f64, b.len() as f64);
    if a.is_empty() || b.is_empty() {
        return 1.0;
    }
    let mut all: Vec<(f64, bool)> = a.iter().map(|&x| (x, true)).chain(b.iter().map(|&x| (x, false))).collect();
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (mut ranks_of_a, mut ties, mut first) = (0.0, 0.0, 0);
    for run in all.chunk_by(|x, y| x.0 == y.0) {
        let count = run.len() as f64;
        // Ranks count from 1; those of equal samples are shared out evenly.
        let rank = first as f64 + (count + 1.0) / 2.0;
        ranks_of_a += rank * run.iter().filter(|(_, of_a)| *of_a).count() as f64;
        ties += count.powi(3) - count;
        first += run.len();
    }
    let u = ranks_of_a - n * (n + 1.0) / 2.0;
    let total = n + m;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    // Half a rank for going from whole numbers to a curve.
    let z = ((u - n * m / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    erfc(z / std::f64::consts::SQRT_2)
}

/// The complementary error function at `x >= 0`, to 1.2e-7 of its value (Press et al., Numerical Recipes, 6.2).
fn erfc(x: f64) -> f64 {
    const TERMS: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let t = 1.0 / (1.0 + 0.5 * x);
    let sum = TERMS.iter().rev().fold(0.0, |sum, term| sum * t + term);
    t * (sum - x * x).exp()
}

/// The geometric mean; 1 of nothing.
pub fn geometric_mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value.ln();
        count += 1.0;
    }
    if count > 0.0 { (sum / count).exp() } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_few_numbers() {
        let summary = Summary::of(&[5.0, 1.0, 2.0, 4.0, 3.0]);
        assert_eq!(summary, Summary { n: 5, min: 1.0, median: 3.0, p95: 4.8, mad: 1.0 });
        assert_eq!(Summary::of(&[]).median, 0.0);
        assert_eq!(geometric_mean([2.0, 8.0]), 4.0);
    }

    /// scipy.stats.mannwhitneyu(range(10), [x + 4 for x in range(10)], method="asymptotic").pvalue
    #[test]
    fn the_test_is_mann_and_whitneys() {
        let a: Vec<f64> = (0..10).map(f64::from).collect();
        let b: Vec<f64> = a.iter().map(|x| x + 4.0).collect();
        let p = mann_whitney(&a, &b);
        assert!((p - 0.017_006_578).abs() < 1e-7, "{p}");
        assert_eq!(p, mann_whitney(&b, &a));
        assert_eq!(mann_whitney(&a, &[]), 1.0);
        assert_eq!(mann_whitney(&[1.0; 5], &[1.0; 5]), 1.0);
    }

    #[test]
    fn the_error_function_has_known_values() {
        for (x, value) in [(0.0, 1.0), (0.5, 0.479_500_122), (1.0, 0.157_299_207), (3.0, 2.209_05e-5)] {
            assert!((erfc(x) / value - 1.0).abs() < 2e-6, "{x}");
        }
    }
}
