//! What the demo carries: real files, cut into messages of many sizes.

use anyhow::{Context, Result, bail};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Lengths of the messages, in turn: what fits into a message in place, what does not, and, once
/// in a round, a body worth a buffer of its own. Chosen arbitrarily.
const LENGTHS: [usize; 12] = [12, 40, 300, 64, 33, 1_000, 120, 255, 256, 500, 80, 20_000];

/// Carried where neither files are named nor this repository is around: this program's sources.
const EMBEDDED: [&str; 6] = [
    include_str!("../main.rs"),
    include_str!("../parts.rs"),
    include_str!("mod.rs"),
    include_str!("input.rs"),
    include_str!("tally.rs"),
    include_str!("roles.rs"),
];

/// Files of the repository that are texts or sources.
const TEXTS: [&str; 3] = ["md", "rs", "toml"];

/// Never emptied of messages: it has at least one.
pub struct Input {
    bytes: Vec<u8>,
    cuts: Vec<Range<usize>>,
}

impl Input {
    /// Reads and cuts `files`, or what is compiled in if there are none.
    pub fn load(files: &[PathBuf]) -> Result<Self> {
        let mut bytes = Vec::new();
        if files.is_empty() {
            EMBEDDED.iter().for_each(|text| bytes.extend_from_slice(text.as_bytes()));
        }
        for file in files {
            bytes.extend(
                std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
            );
        }
        if bytes.is_empty() {
            bail!("the files named are all empty: nothing to carry");
        }
        let cuts = cut(bytes.len());
        Ok(Input { bytes, cuts })
    }

    pub fn messages(&self) -> usize {
        self.cuts.len()
    }

    /// The body of message `number`; the input repeats without end.
    pub fn body(&self, number: u64) -> &[u8] {
        let index = number % self.cuts.len() as u64;
        &self.bytes[self.cuts[index as usize].clone()]
    }
}

/// The texts and sources of the repository around the current directory, none outside of it.
pub fn repository_files() -> Result<Vec<PathBuf>> {
    let here = std::env::current_dir().context("where are we?")?;
    let Some(root) = here.ancestors().find(|dir| dir.join("crates/oxmq/Cargo.toml").is_file())
    else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    walk(root, &mut files)?;
    files.sort();
    Ok(files)
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type()?.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                walk(&path, files)?;
            }
        } else if path
            .extension()
            .is_some_and(|extension| TEXTS.iter().any(|text| extension == *text))
        {
            files.push(path);
        }
    }
    Ok(())
}

/// Cuts `0..len` into ranges of [`LENGTHS`], the last one as long as what is left.
fn cut(len: usize) -> Vec<Range<usize>> {
    let mut cuts = Vec::new();
    let mut start = 0;
    for length in LENGTHS.iter().cycle() {
        if start == len {
            break;
        }
        let end = len.min(start + length);
        cuts.push(start..end);
        start = end;
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_cover_everything_once() {
        for len in [0, 1, 12, 13, 100_000] {
            let cuts = cut(len);
            assert!(cuts.iter().all(|cut| !cut.is_empty()));
            assert_eq!(
                cuts.iter().flat_map(Clone::clone).collect::<Vec<_>>(),
                (0..len).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn the_input_repeats() {
        let input = Input::load(&[]).unwrap();
        assert_eq!(input.body(0), input.body(input.messages() as u64));
    }

    #[test]
    fn this_repository_is_found() {
        let files = repository_files().unwrap();
        assert!(files.iter().any(|file| file.ends_with("crates/cli/src/demo/input.rs")));
        assert!(
            !files.iter().any(|file| file.components().any(|part| part.as_os_str() == "target"))
        );
    }

    #[test]
    fn a_missing_or_empty_file_is_named() {
        let error = Input::load(&[PathBuf::from("no/such/file")]).err().unwrap();
        assert!(error.to_string().contains("no/such/file"));
        Input::load(&[PathBuf::from("/dev/null")]).err().unwrap();
    }
}
