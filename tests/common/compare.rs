//! How far a result may be from the oracle, and what is said when it is further.

/// The most that a result may differ from the oracle.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// |got - want|_2 / |want|_2.
    pub relative_l2: f64,
    /// The largest |got - want|, in units of the largest |want|.
    pub max_abs: f64,
    /// The size of the terms that were summed: where they cancel, their rounding counts and not the sum's. Results
    /// below it are judged as if they were of this size; 0 if nothing cancels.
    pub terms: f64,
}

impl Limit {
    /// Single precision with sums of some thousand terms: an error of 1e-6 would show a lost digit.
    pub const F32: Self = Self { relative_l2: 1e-6, max_abs: 2e-6, terms: 0.0 };
    /// The same numbers moved elsewhere: no difference at all.
    pub const EXACT: Self = Self { relative_l2: 0.0, max_abs: 0.0, terms: 0.0 };

    /// A limit wider by `factor`, for a result whose condition is worse by as much.
    pub fn times(self, factor: f64) -> Self {
        Self { relative_l2: self.relative_l2 * factor, max_abs: self.max_abs * factor, ..self }
    }

    /// A limit for errors of two kinds at once, sums of terms of this one's size.
    pub fn with(self, other: Self) -> Self {
        let (relative_l2, max_abs) = (self.relative_l2 + other.relative_l2, self.max_abs + other.max_abs);
        Self { relative_l2, max_abs, ..self }
    }

    /// The limit for sums of terms of this size.
    pub fn of_terms(self, terms: f64) -> Self {
        Self { terms, ..self }
    }
}

/// |got - want|_2 / |want|_2, each |want| at least `terms`; 0 when nothing differs.
pub fn relative_l2(got: &[f32], want: &[f64], terms: f64) -> f64 {
    // Scaled by the largest value, so that squares neither overflow nor vanish.
    let unit = largest(want).max(terms);
    let unit = if unit > 0.0 { unit } else { 1.0 };
    let difference: f64 = got.iter().zip(want).map(|(&g, &w)| ((f64::from(g) - w) / unit).powi(2)).sum();
    let length: f64 = want.iter().map(|&w| (w.abs().max(terms) / unit).powi(2)).sum();
    if difference == 0.0 { 0.0 } else { (difference / length).sqrt() }
}

/// The largest |got - want| and where it is; a NaN counts as the largest.
pub fn max_abs(got: &[f32], want: &[f64]) -> (f64, usize) {
    let mut worst = (0.0, 0);
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let difference = (f64::from(g) - w).abs();
        if difference.is_nan() {
            return (f64::NAN, i);
        }
        if difference > worst.0 {
            worst = (difference, i);
        }
    }
    worst
}

/// The result and the oracle agree as a whole, or a message that says how far they are apart and where.
pub fn agree(got: &[f32], want: &[f64], limit: Limit) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{} values, the oracle has {}", got.len(), want.len()));
    }
    let (l2, (worst, at)) = (relative_l2(got, want, limit.terms), max_abs(got, want));
    let largest = largest(want).max(limit.terms);
    // Of few values the mean may be as far off as the worst.
    let most = if want.len() < 16 { limit.relative_l2.max(limit.max_abs) } else { limit.relative_l2 };
    // Both comparisons are false for a NaN.
    if l2 <= most && worst <= limit.max_abs * largest {
        return Ok(());
    }
    let right = got.iter().zip(want).filter(|&(&g, &w)| (f64::from(g) - w).abs() <= limit.max_abs * largest).count();
    let wrong = got.len() - right;
    Err(format!(
        "relative l2 {l2:.3e} (limit {most:.1e}), largest difference {worst:.3e} of {largest:.3e} (limit {:.1e}) at {at}: \
         got {:e}, want {:e}; {wrong} of {} values are beyond the limit",
        limit.max_abs,
        got[at],
        want[at],
        got.len()
    ))
}

/// [`agree`] for each row of `width`, so that a row of small numbers does not hide behind one of large numbers.
pub fn agree_by_row(got: &[f32], want: &[f64], width: usize, limit: Limit) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{} values, the oracle has {}", got.len(), want.len()));
    }
    let rows = got.chunks(width.max(1)).zip(want.chunks(width.max(1)));
    rows.enumerate().try_for_each(|(r, (g, w))| agree(g, w, limit).map_err(|why| format!("row {r}: {why}")))
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, v| v.abs().max(most))
}
