/// How noisy the transformer is told that its tokens are: one timestep for all, or one for each run of rows of tokens along
/// time, as a model that is given clean frames needs (`expand_timesteps` of diffusers' pipelines).
#[derive(Clone, Debug, PartialEq)]
pub struct Times(Rows);

#[derive(Clone, Debug, PartialEq)]
enum Rows {
    All(f32),
    Runs(Vec<(usize, f32)>),
}

impl From<f32> for Times {
    /// One timestep (1000 sigma) for all tokens.
    fn from(timestep: f32) -> Self {
        Self(Rows::All(timestep))
    }
}

impl Times {
    /// Runs of rows of tokens along time, each with its timestep: of `[T, H, W]` tokens, `n` of the `T`. Runs of no rows are
    /// left out, and neighbours of one timestep are one run.
    pub fn of_rows(runs: impl IntoIterator<Item = (usize, f32)>) -> Self {
        let mut joined: Vec<(usize, f32)> = Vec::new();
        for (rows, timestep) in runs.into_iter().filter(|(rows, _)| *rows > 0) {
            match joined.last_mut().filter(|(_, last)| *last == timestep) {
                Some((before, _)) => *before += rows,
                None => joined.push((rows, timestep)),
            }
        }
        Self(Rows::Runs(joined))
    }

    /// The runs of `rows` rows; `None` if they are not so many.
    pub(super) fn runs(&self, rows: usize) -> Option<Vec<(usize, f32)>> {
        match &self.0 {
            Rows::All(timestep) => Some(vec![(rows, *timestep)]),
            Rows::Runs(runs) => (runs.iter().map(|(rows, _)| rows).sum::<usize>() == rows).then(|| runs.clone()),
        }
    }
}
