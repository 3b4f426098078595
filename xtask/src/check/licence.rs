//! SPDX licence expressions: can one be satisfied from an allow-list?

/// Can `expression` be satisfied using only `allowed` licences? An unreadable expression cannot.
/// Old crates write `MIT/Apache-2.0` for `MIT OR Apache-2.0`.
pub(crate) fn satisfied(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens = Tokens { rest: spaced.split_whitespace().collect(), allowed };
    tokens.rest.reverse();
    tokens.any_of() == Some(true) && tokens.rest.is_empty()
}

/// The tokens not yet read, last one first.
struct Tokens<'a> {
    rest: Vec<&'a str>,
    allowed: &'a [String],
}

impl Tokens<'_> {
    /// `a OR b OR ...`
    fn any_of(&mut self) -> Option<bool> {
        let mut value = self.all_of()?;
        while self.skip("OR") {
            value |= self.all_of()?;
        }
        Some(value)
    }

    /// `a AND b AND ...`, which binds tighter than OR.
    fn all_of(&mut self) -> Option<bool> {
        let mut value = self.one()?;
        while self.skip("AND") {
            value &= self.one()?;
        }
        Some(value)
    }

    /// A licence, perhaps with an exception, or something in parentheses.
    fn one(&mut self) -> Option<bool> {
        if self.skip("(") {
            let value = self.any_of()?;
            return self.skip(")").then_some(value);
        }
        let mut licence = self.rest.pop()?.to_owned();
        if matches!(licence.as_str(), ")" | "AND" | "OR" | "WITH") {
            return None;
        }
        if self.skip("WITH") {
            licence = format!("{licence} WITH {}", self.rest.pop()?);
        }
        Some(self.allowed.contains(&licence))
    }

    fn skip(&mut self, token: &str) -> bool {
        let next = self.rest.last() == Some(&token);
        if next {
            self.rest.pop();
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_mit_and_isc(expression: &str) -> bool {
        satisfied(expression, &["MIT".to_owned(), "ISC".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()])
    }

    #[test]
    fn one_allowed_alternative_is_enough() {
        assert!(with_mit_and_isc("MIT"));
        assert!(with_mit_and_isc("GPL-3.0-only OR MIT"));
        assert!(with_mit_and_isc("GPL-3.0/MIT"));
        assert!(with_mit_and_isc("Apache-2.0 WITH LLVM-exception OR Apache-2.0"));
    }

    #[test]
    fn every_part_of_a_conjunction_is_needed() {
        assert!(with_mit_and_isc("MIT AND ISC"));
        assert!(with_mit_and_isc("ISC AND (Apache-2.0 OR ISC)"));
        assert!(!with_mit_and_isc("MIT AND GPL-3.0-only"));
        assert!(!with_mit_and_isc("(MIT OR ISC) AND Apache-2.0"));
        assert!(!with_mit_and_isc("GPL-3.0-only OR MIT AND Apache-2.0"));
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        for broken in ["", "MIT OR", "OR MIT", "(MIT", "MIT)", "MIT ISC", "MIT WITH", "AND"] {
            assert!(!with_mit_and_isc(broken), "{broken}");
        }
    }
}
