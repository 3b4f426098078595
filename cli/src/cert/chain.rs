//! `cotter cert chain`: leaf, intermediates, root, and which link does not hold.

use super::For;
use super::show::key;
use crate::file::File;
use crate::output::{self, Format};
use anyhow::Context;
use comfy_table::{ContentArrangement, Table, presets};
use cotter_factory::pki::chain::{Chain, End, Question};
use cotter_factory::pki::{Certificate, DateTime};
use serde::Serialize;
use std::fmt;

/// Verify a chain: the first certificate is the leaf, the others may come in any order.
///
/// Says of every link whether it holds and why not, whether the chain is complete, and whether it is in the order that
/// TLS wants. Only a certificate given with --root is trusted: the exit code is 1 unless the chain ends at one and every
/// link holds. Revocation is not looked at.
///
/// Example: cotter cert chain --root ca.pem device.pem
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Trust the certificates in this file.
    #[arg(long, value_name = "FILE")]
    root: Vec<File>,
    /// Verify for this moment instead of now: 2030-01-01 or 2030-01-01T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<DateTime>,
    /// What the leaf must be good for.
    #[arg(long, value_name = "PURPOSE", default_value = "any")]
    purpose: For,
    /// The host that the leaf must name.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Certificates, PEM or DER.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<File>,
}

fn moment(text: &str) -> Result<DateTime, String> {
    let full = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    full.parse().map_err(|_| "2030-01-01 or 2030-01-01T12:00:00Z".to_owned())
}

pub(super) fn run(args: &Args, format: Format) -> anyhow::Result<bool> {
    let read = |files: &[File]| -> anyhow::Result<Vec<Certificate>> {
        Ok(files.iter().map(super::read_certificates).collect::<anyhow::Result<Vec<_>>>()?.concat())
    };
    let (presented, trusted) = (read(&args.files)?, read(&args.root)?);
    let question = Question {
        at: args.at.map_or_else(cotter_factory::pki::now, Ok)?,
        purpose: args.purpose.purpose(),
        host: args.host.as_deref(),
    };
    let chain = Chain::find(&presented, &trusted, &question).context("no certificate")?;
    let report = Report::of(&chain, !trusted.is_empty());
    output::value(&report, format)?;
    Ok(report.holds)
}

/// A chain, told.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) holds: bool,
    end: &'static str,
    in_order: bool,
    unused: Vec<usize>,
    links: Vec<Row>,
    verdict: String,
}

#[derive(Serialize)]
struct Row {
    role: &'static str,
    subject: String,
    issuer: String,
    key: String,
    not_after: String,
    presented: Option<usize>,
    faults: Vec<String>,
}

impl Report {
    pub(super) fn of(chain: &Chain, roots_given: bool) -> Self {
        let last = chain.links.len() - 1;
        let role = |index: usize, certificate: &Certificate| match index {
            0 => "leaf",
            _ if index == last && chain.end == End::Trusted => "trusted",
            _ if certificate.is_self_issued() => "root",
            _ => "intermediate",
        };
        let links = chain.links.iter().enumerate().map(|(index, link)| Row {
            role: role(index, &link.certificate),
            subject: link.certificate.subject().to_string(),
            issuer: link.certificate.issuer().to_string(),
            key: key(link.certificate.spki()),
            not_after: super::day(link.certificate.not_after()),
            presented: link.presented.map(|place| place + 1),
            faults: link.faults.iter().map(ToString::to_string).collect(),
        });
        let links: Vec<Row> = links.collect();
        let verdict = verdict(chain, &links, roots_given);
        Self {
            holds: chain.holds(),
            end: match chain.end {
                End::Trusted => "trusted",
                End::Untrusted => "untrusted root",
                End::Incomplete => "incomplete",
                End::Endless => "endless",
            },
            in_order: chain.in_order,
            unused: chain.unused.iter().map(|place| place + 1).collect(),
            links,
            verdict,
        }
    }
}

fn verdict(chain: &Chain, links: &[Row], roots_given: bool) -> String {
    if let Some((index, row)) = links.iter().enumerate().find(|(_, row)| !row.faults.is_empty()) {
        return format!("refused: certificate {} ({}): {}", index + 1, row.subject, row.faults.join("; "));
    }
    let last = &links[links.len() - 1];
    match chain.end {
        End::Trusted => "holds: every link is good, up to a trusted certificate".to_owned(),
        End::Untrusted if roots_given => {
            format!("refused: every link is good, but its root {} is none of the trusted ones", last.subject)
        }
        End::Untrusted => {
            format!(
                "not trusted: every link is good up to the root {}; name it with --root if you trust it",
                last.subject
            )
        }
        End::Incomplete => format!("refused: incomplete, the certificate of {} is missing", last.issuer),
        End::Endless => "refused: the chain goes in a circle, or on for too long".to_owned(),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(["", "role", "subject", "key", "until", "link to its issuer"]);
        for (index, row) in self.links.iter().enumerate() {
            let holds = match (row.faults.is_empty(), index + 1 == self.links.len(), self.end) {
                (false, ..) => row.faults.join("; "),
                (true, true, "trusted") => "trusted".to_owned(),
                (true, true, "untrusted root") => "signed by itself".to_owned(),
                (true, true, _) => format!("missing: {}", row.issuer),
                _ => "holds".to_owned(),
            };
            table.add_row([(index + 1).to_string().as_str(), row.role, &row.subject, &row.key, &row.not_after, &holds]);
        }
        writeln!(f, "{}", table.trim_fmt())?;
        if !self.in_order {
            writeln!(
                f,
                "note: the certificates are not in the order of the chain; TLS wants the leaf first, then its issuer"
            )?;
        }
        if !self.unused.is_empty() {
            let unused: Vec<String> = self.unused.iter().map(ToString::to_string).collect();
            writeln!(f, "note: not part of the chain: given certificate {}", unused.join(", "))?;
        }
        f.write_str(&self.verdict)
    }
}
