//! Who operates the server, and what each role may do. Nobody is there by default: `init` makes the first one.

use std::fmt;
use std::str::FromStr;

/// A person or a program with a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administrator {
    /// The token's name.
    pub name: AdminName,
    /// What it may do.
    pub role: Role,
}

/// What a token may do. Every role may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads: devices, readings, releases, the audit log.
    Viewer,
    /// Takes devices in and looks after them.
    Operator,
    /// Brings firmware in and offers it to the fleet.
    ReleaseManager,
    /// Everything, and who else may do what.
    Admin,
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Looks.
    Read,
    /// Changes devices.
    Devices,
    /// Changes releases.
    Releases,
    /// Changes tokens.
    Tokens,
    /// Rotates the keys of devices.
    Keys,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::ReleaseManager, Self::Admin];

    /// Least privilege: operators ship no firmware, release managers touch no device.
    #[must_use]
    pub const fn may(self, permission: Permission) -> bool {
        matches!(
            (self, permission),
            (Self::Admin, _)
                | (_, Permission::Read)
                | (Self::Operator, Permission::Devices)
                | (Self::ReleaseManager, Permission::Releases)
        )
    }

    /// Its kebab-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::ReleaseManager => "release-manager",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = AdministratorError;

    fn from_str(text: &str) -> Result<Self, AdministratorError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(AdministratorError::Role)
    }
}

/// 1 to 64 lower-case letters, digits and `.`, `_`, `@`, `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AdminName(String);

impl AdminName {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AdminName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AdminName {
    type Err = AdministratorError;

    fn from_str(text: &str) -> Result<Self, AdministratorError> {
        let is_legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._@-".contains(&byte);
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(is_legal);
        fits.then(|| Self(text.to_owned())).ok_or(AdministratorError::Name)
    }
}

/// Why a text is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdministratorError {
    /// No such role.
    #[error("expected viewer, operator, release-manager or admin")]
    Role,
    /// Not a name.
    #[error("expected 1 to 64 lower-case letters, digits and . _ @ -")]
    Name,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_its_own_and_read() {
        use Permission::{Devices, Keys, Read, Releases, Tokens};
        let allowed = |role: Role| [Read, Devices, Releases, Tokens, Keys].map(|permission| role.may(permission));
        assert_eq!(allowed(Role::Viewer), [true, false, false, false, false]);
        assert_eq!(allowed(Role::Operator), [true, true, false, false, false]);
        assert_eq!(allowed(Role::ReleaseManager), [true, false, true, false, false]);
        assert_eq!(allowed(Role::Admin), [true, true, true, true, true]);
    }

    #[test]
    fn names_and_roles_have_one_spelling() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert_eq!("Admin".parse::<Role>(), Err(AdministratorError::Role));
        assert_eq!(
            "ci@line-3.example".parse::<AdminName>().map(|name| name.to_string()),
            Ok("ci@line-3.example".into())
        );
        for text in ["", "A", "a b", "ü", &"a".repeat(65), "a\n"] {
            assert_eq!(text.parse::<AdminName>(), Err(AdministratorError::Name), "{text}");
        }
    }
}
