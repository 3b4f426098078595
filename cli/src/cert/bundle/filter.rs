//! The filter of ESP-IDF's build: which of the certificates in cacrt_all.pem are "common".
//!
//! Source: ESP-IDF 6.2-dev `gen_crt_bundle.py`, `add_with_filter`.

use crate::file::File;
use anyhow::Context;
use std::collections::BTreeSet;

/// The names that are wanted.
pub(super) struct Filter {
    names: BTreeSet<String>,
}

impl Filter {
    /// The second column of a CSV file, without its first row.
    pub(super) fn read(file: &File) -> anyhow::Result<Self> {
        let text = String::from_utf8(file.read()?).with_context(|| file.to_string())?;
        let mut names = BTreeSet::new();
        for (index, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()) {
            let number = index + 1;
            let name = second(line).with_context(|| format!("{file}: line {number} has no second column"))?;
            names.insert(name);
        }
        Ok(Self { names })
    }

    /// The PEM blocks under the headings that are wanted. A heading is a line above a line of `=`.
    pub(super) fn apply(&self, pem: &[u8], notes: &mut Vec<String>) -> Vec<u8> {
        let text = String::from_utf8_lossy(pem);
        let lines: Vec<&str> = text.lines().collect();
        let (mut taken, mut missing) = (String::new(), self.names.clone());
        for (index, pair) in lines.windows(2).enumerate() {
            let [name, underline] = *pair else { continue };
            let is_heading = !underline.is_empty() && underline.bytes().all(|byte| byte == b'=') && !name.is_empty();
            if !is_heading || !self.names.contains(name) {
                continue;
            }
            missing.remove(name);
            for line in &lines[index + 2..] {
                taken.push_str(line);
                taken.push('\n');
                if *line == "-----END CERTIFICATE-----" {
                    break;
                }
            }
        }
        notes.extend(missing.iter().map(|name| format!("the filter names what is not there: {name}")));
        taken.into_bytes()
    }
}

/// The second field of a line, quoted or not.
fn second(line: &str) -> Option<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                fields.last_mut()?.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => fields.last_mut()?.push(letter),
        }
    }
    fields.into_iter().nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_second_column_and_the_blocks_under_its_headings() {
        assert_eq!(second("Owner,\"A \"\"root\"\", x\",z").as_deref(), Some("A \"root\", x"));
        assert_eq!(second("alone"), None);
        let filter = Filter { names: ["B", "C"].map(str::to_owned).into() };
        let pem = "# all\n\nA\n=\n-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n\n\
                   B\n===\n-----BEGIN CERTIFICATE-----\nBB==\n-----END CERTIFICATE-----\nrest\n";
        let mut notes = Vec::new();
        let taken = filter.apply(pem.as_bytes(), &mut notes);
        assert_eq!(taken, b"-----BEGIN CERTIFICATE-----\nBB==\n-----END CERTIFICATE-----\n");
        assert_eq!(notes, ["the filter names what is not there: C"]);
    }
}
