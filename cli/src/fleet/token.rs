//! `cotter fleet token`: who may do what.

use crate::file::File;
use crate::moment::Moment;
use crate::output::{self, Format};
use crate::remote::{Body, Remote, escaped, plain};
use cotter_factory::output::Visibility;
use cotter_server::administrator::{AdminName, Role};
use hyper::Method;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroizing;

/// Make, list and revoke the tokens of those who operate the server. Needs the role admin.
#[derive(clap::Subcommand)]
pub(super) enum Verb {
    Add(Add),
    List,
    Revoke(Revoke),
}

/// Make a token for somebody and write it into a file that only its owner may read.
///
/// The server keeps a hash of it only. The roles: a viewer reads; an operator also takes devices in and tags them; a
/// release-manager also brings releases in and rolls them out; an admin may do all of that, and make tokens.
///
/// Example: cotter fleet token add ci --role release-manager --days 90 -o ci.token
#[derive(clap::Args)]
pub(super) struct Add {
    /// Whose it is; unique.
    name: AdminName,
    /// viewer, operator, release-manager or admin.
    #[arg(long)]
    role: Role,
    /// For how long; without it, until it is revoked.
    #[arg(long)]
    days: Option<u32>,
    /// Where to write it, `-` for stdout.
    #[arg(short, long, value_name = "FILE")]
    output: File,
    /// Replace a file that exists.
    #[arg(long)]
    force: bool,
}

/// Make a token void at once.
///
/// Example: cotter fleet token revoke ci
#[derive(clap::Args)]
pub(super) struct Revoke {
    /// Whose.
    name: AdminName,
}

pub(super) fn run(verb: &Verb, server: &mut Remote, format: Format) -> anyhow::Result<bool> {
    match verb {
        Verb::Add(args) => add(args, server, format)?,
        Verb::List => output::value(&server.get::<Tokens>(TOKENS)?, format)?,
        Verb::Revoke(Revoke { name }) => {
            server.ask(Method::DELETE, &format!("{TOKENS}/{}", escaped(name.as_str())), Body::None)?;
            output::value(&Revoked { revoked: name.to_string() }, format)?;
        }
    }
    Ok(true)
}

fn add(args: &Add, server: &mut Remote, format: Format) -> anyhow::Result<()> {
    args.output.refuse_existing(args.force)?;
    let wish = serde_json::json!({ "name": args.name.as_str(), "role": args.role.as_str(), "days": args.days });
    let Made { token, name, role, expires_at } = server.post(TOKENS, Body::json(&wish)?)?;
    let token = Zeroizing::new(token);
    let line = Zeroizing::new(format!("{}\n", *token));
    args.output.write_new(line.as_bytes(), Visibility::Secret, args.force)?;
    if args.output != File::Standard {
        output::value(&Added { name, role, expires_at, file: args.output.to_string() }, format)?;
    }
    Ok(())
}

/// Where tokens are.
const TOKENS: &str = "/admin/v1/tokens";

#[derive(Deserialize)]
struct Made {
    token: String,
    name: String,
    role: String,
    expires_at: Option<Moment>,
}

#[derive(Serialize)]
struct Added {
    name: String,
    role: String,
    expires_at: Option<Moment>,
    file: String,
}

#[derive(Serialize, Deserialize)]
struct Tokens {
    tokens: Vec<Token>,
}

#[derive(Serialize, Deserialize)]
struct Token {
    name: String,
    role: String,
    added_at: Moment,
    expires_at: Option<Moment>,
}

#[derive(Serialize)]
struct Revoked {
    revoked: String,
}

fn end(expires_at: Option<Moment>) -> String {
    expires_at.map_or_else(|| "until it is revoked".to_owned(), |at| format!("until {at}"))
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, role, expires_at, file } = self;
        write!(f, "{file}: the token of {}, {}, valid {}", plain(name), plain(role), end(*expires_at))
    }
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = output::table(["name", "role", "added", "valid"]);
        for Token { name, role, added_at, expires_at } in &self.tokens {
            table.add_row([plain(name), plain(role), added_at.to_string(), end(*expires_at)]);
        }
        write!(f, "{}", table.trim_fmt())
    }
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the token of {} is void", self.revoked)
    }
}
