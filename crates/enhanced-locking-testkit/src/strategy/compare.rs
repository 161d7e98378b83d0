//! Compares what two stores made of one script. Owns the first difference and its wording.

use std::fmt;

use super::{Step, Trace};

/// The first step at which two stores differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which step, counted from 0.
    pub index: usize,
    /// The steps up to and with the one in question.
    pub steps: Vec<Step>,
    /// What differs: the outcome, the events, the state or the figures.
    pub what: &'static str,
    /// What the first store says.
    pub left: Vec<String>,
    /// What the second store says.
    pub right: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the {} of step {} differ:", self.what, self.index)?;
        for line in 0..self.left.len().max(self.right.len()) {
            let (left, right) = (self.left.get(line), self.right.get(line));
            if left == right {
                writeln!(f, "    {}", left.map_or("", String::as_str))?;
                continue;
            }
            for (sign, side) in [("  - ", left), ("  + ", right)] {
                if let Some(side) = side {
                    writeln!(f, "{sign}{side}")?;
                }
            }
        }
        writeln!(f, "after these steps:")?;
        for (index, step) in self.steps.iter().enumerate() {
            writeln!(f, "  {index:3} {step:?}")?;
        }
        Ok(())
    }
}

/// Compares two traces of one script: outcomes, events, state and figures after every step.
///
/// # Errors
/// The first [`Difference`].
pub fn compare(left: &Trace, right: &Trace) -> Result<(), Box<Difference>> {
    let steps = |index: usize| left.steps.iter().take(index + 1).map(|step| step.step.clone()).collect();
    for (index, (a, b)) in left.steps.iter().zip(&right.steps).enumerate() {
        let views = |step: &super::TraceStep| step.view_words.clone();
        let pairs = [
            ("outcomes", vec![a.outcome.clone()], vec![b.outcome.clone()]),
            ("events", a.event_words.clone(), b.event_words.clone()),
            ("states", views(a), views(b)),
            ("figures", vec![a.stats_words.clone()], vec![b.stats_words.clone()]),
        ];
        for (what, left, right) in pairs {
            if left != right {
                return Err(Box::new(Difference { index, steps: steps(index), what, left, right }));
            }
        }
    }
    if left.steps.len() != right.steps.len() {
        let index = left.steps.len().min(right.steps.len());
        let words = |trace: &Trace| vec![format!("{} steps", trace.steps.len())];
        return Err(Box::new(Difference {
            index,
            steps: steps(index),
            what: "lengths",
            left: words(left),
            right: words(right),
        }));
    }
    Ok(())
}
