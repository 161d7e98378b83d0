//! Owns who wins: defaults, then file, then environment, then flags, by the `config` crate. What is layered
//! is the *number* of a candidate, never its text, so that nothing is retyped on the way (a password `0123`
//! stays one). Does not own the candidates.

use config::builder::DefaultState;
use config::{Config, ConfigBuilder, ConfigError, Map, Source as Layer, Value};

use crate::problem::Source;
use crate::schema::KEYS;

/// A candidate: index of its key, and who says it.
pub(crate) type Candidate<'a> = (usize, &'a Source);

/// For each key of the schema the number of the winning candidate, if there is one. Of two candidates of one
/// layer the later wins.
pub(crate) fn winners(candidates: &[Candidate<'_>]) -> Result<Vec<Option<usize>>, ConfigError> {
    let mut builder = Config::builder();
    let mut file = Map::new();
    let mut environment = Vec::new();
    let mut flags = Vec::new();
    for (number, (key, source)) in candidates.iter().enumerate() {
        let (path, number) = (KEYS[*key].path, i64::try_from(number).unwrap_or(i64::MAX));
        match source {
            Source::Default => builder = builder.set_default(path, number)?,
            Source::File { .. } => {
                file.insert(path.to_owned(), Value::from(number));
            }
            Source::Environment { .. } => environment.push((path, number)),
            Source::Flag { .. } => flags.push((path, number)),
        }
    }
    builder = builder.add_source(FileLayer(file));
    builder = overrides(builder, environment)?;
    builder = overrides(builder, flags)?;
    let config = builder.build()?;
    KEYS.iter()
        .map(|key| match config.get_int(key.path) {
            Ok(number) => Ok(usize::try_from(number).ok()),
            Err(ConfigError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        })
        .collect()
}

fn overrides(
    builder: ConfigBuilder<DefaultState>,
    layer: Vec<(&'static str, i64)>,
) -> Result<ConfigBuilder<DefaultState>, ConfigError> {
    layer.into_iter().try_fold(builder, |builder, (path, number)| builder.set_override(path, number))
}

/// The files' candidates by path.
#[derive(Clone, Debug)]
struct FileLayer(Map<String, Value>);

impl Layer for FileLayer {
    fn clone_into_box(&self) -> Box<dyn Layer + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_environment_over_file_over_defaults_in_any_order() {
        let file = Source::File { file: "f".to_owned(), line: 1, column: 1 };
        let environment = Source::Environment { name: "E".to_owned() };
        let flag = Source::Flag { name: "--f".to_owned() };
        let key = KEYS.iter().position(|key| key.path == "priority-queue.credits.low").unwrap();
        let all = [&flag, &environment, &file, &Source::Default];
        for skip in 0..all.len() {
            let candidates: Vec<_> = all[skip..].iter().map(|source| (key, *source)).collect();
            let winners = winners(&candidates).unwrap();
            assert_eq!(winners[key], Some(0), "of {candidates:?}");
            assert_eq!(winners.iter().flatten().count(), 1);
        }
    }

    #[test]
    fn the_later_of_two_flags_wins() {
        let flag = Source::Flag { name: "--f".to_owned() };
        assert_eq!(winners(&[(0, &flag), (0, &flag)]).unwrap()[0], Some(1));
    }
}
