//! The verdict as one HTML page that needs nothing else: timeline, trials, orders, and the eFuse map in colours.

use super::Report;
use cotter_factory::rehearse::{Aftermath, Fate, FirstBoot};
use cotter_formats::efuse::{EfuseBlock, EfuseImage, Field};
use std::fmt::Write;

/// The page. Whatever comes from files is escaped.
pub(super) fn html(report: &Report) -> String {
    let Report { passed, story, verdict } = report;
    let mut page = String::from(HEAD);
    let (class, verdict_text) =
        if *passed { ("good", "Rehearsed: this plan can be burned") } else { ("bad", "Do not burn this plan") };
    add(&mut page, format_args!("<h1>{} <small>application {}</small></h1>", text(story.chip), text(&story.version)));
    add(&mut page, format_args!("<p class=\"verdict {class}\">{verdict_text}</p>"));
    summary(&mut page, report);
    if !story.made.is_empty() {
        add(&mut page, format_args!("<p>Made for this rehearsal only: {}</p>", text(&story.made.join(", "))));
    }

    page.push_str("<h2>The birth</h2><ol class=\"timeline\">");
    for step in &story.steps {
        let (class, kind) = if step.irreversible { ("burn", "for ever") } else { ("write", "can be repeated") };
        let place = step.place.as_deref().unwrap_or_default();
        add(
            &mut page,
            format_args!("<li class=\"{class}\"><b>{}</b> <i>{kind}</i> {}", text(&step.title), text(place)),
        );
        rows(
            &mut page,
            &["eFuse", "value", "meaning"],
            step.burns.iter().map(|row| (row.each_ref().map(|cell| text(cell)), "")),
        );
        page.push_str("</li>");
    }
    page.push_str("</ol><h2>What was tried</h2>");
    let trials = verdict.trials.iter().map(|trial| {
        let class = if trial.passed() { "good" } else { "bad" };
        ([text(&trial.name), text(&trial.expected), text(&trial.seen)], class)
    });
    rows(&mut page, &["attempt", "must be", "was"], trials);
    if !verdict.orders.is_empty() {
        page.push_str("<h2>Steps in a wrong order</h2>");
        // The worst first.
        let mut sorted: Vec<_> = verdict.orders.iter().collect();
        sorted.sort_by_key(|order| match order.fate {
            Fate::Bricked => 0,
            Fate::Unprotected => 1,
            Fate::Recovers => 2,
            Fate::Works => 3,
        });
        let orders = sorted.into_iter().map(|order| {
            let class = match order.fate {
                Fate::Bricked => "bad",
                Fate::Unprotected => "warn",
                Fate::Works | Fate::Recovers => "good",
            };
            let refused = order.refused.as_deref().unwrap_or("nothing was refused");
            ([text(&order.steps.join(" → ")), text(refused), text(order.fate.as_str())], class)
        });
        rows(&mut page, &["order", "refused", "fate"], orders);
    }
    let cuts = &verdict.cuts;
    if cuts.operations == 0 {
        page.push_str("<h2>Not tried</h2><p>Steps in a wrong order; power cuts.</p>");
    } else {
        let total = cuts.burns + cuts.writes;
        add(
            &mut page,
            format_args!(
                "<h2>Power cuts</h2><p>At each of {} operations, before, torn and after: {} during burns, {} during \
                 writes. {} of {total} births came right when they were repeated.</p><ul>",
                cuts.operations, cuts.burns, cuts.writes, cuts.finished
            ),
        );
        for (line, times) in counted(&cuts.unprotected) {
            let what = "locked before the last protection was burned";
            add(&mut page, format_args!("<li class=\"warn\">{what}: {}, {times} times</li>", text(line)));
        }
        for line in &cuts.lost {
            add(&mut page, format_args!("<li class=\"bad\">{}</li>", text(line)));
        }
        page.push_str("</ul>");
    }
    if let Some(FirstBoot { operations, cuts, comes_back, incomplete, stays }) = &verdict.first_boot {
        add(
            &mut page,
            format_args!(
                "<h2>Power cuts at the first boot</h2><p>The device burns and encrypts by itself. At each of \
                 {operations} operations, before, torn and after: {comes_back} of {cuts} times it came back by \
                 itself.</p><ul>"
            ),
        );
        for Aftermath { what, times } in incomplete {
            add(&mut page, format_args!("<li class=\"warn\">{times} times it runs, but without {}</li>", text(what)));
        }
        for Aftermath { what, times } in stays {
            add(&mut page, format_args!("<li class=\"bad\">{times} times not: {}</li>", text(what)));
        }
        page.push_str("</ul>");
    }
    page.push_str("<h2>First boot</h2><pre>");
    verdict.boot.lines.iter().for_each(|line| add(&mut page, format_args!("{}\n", text(line))));
    page.push_str("</pre>");
    map(&mut page, &verdict.efuses);
    if !story.open.is_empty() {
        page.push_str("<h2>Stays open</h2><ul>");
        story.open.iter().for_each(|line| add(&mut page, format_args!("<li>{}</li>", text(line))));
        page.push_str("</ul>");
    }
    page.push_str("</html>\n");
    page
}

/// The whole verdict in four boxes.
fn summary(page: &mut String, report: &Report) {
    let Report { story, verdict, .. } = report;
    let right = verdict.trials.iter().filter(|trial| trial.passed()).count();
    let fates = |fate| verdict.orders.iter().filter(|order| order.fate == fate).count();
    let burned: usize = story.steps.iter().map(|step| step.burns.len()).sum();
    let (cuts, bricks) = (&verdict.cuts, fates(Fate::Bricked));
    page.push_str("<div class=\"tiles\">");
    let mut tile = |class: &str, number: String, what: &str| {
        add(page, format_args!("<div class=\"tile {class}\"><b>{number}</b>{what}</div>"));
    };
    let good = |is_good| if is_good { "good" } else { "bad" };
    let all = verdict.trials.len();
    tile(good(right == all), format!("{right} of {all}"), "attempts ended as they must");
    tile("burn", burned.to_string(), "burns that nothing undoes");
    if cuts.operations > 0 {
        let total = cuts.burns + cuts.writes;
        let what = format!("births came right after a power cut, at each of {} operations", cuts.operations);
        tile(good(cuts.lost.is_empty()), format!("{} of {total}", cuts.finished), &what);
    }
    if !verdict.orders.is_empty() {
        let what = format!("of {} wrong orders would brick the chip", verdict.orders.len());
        tile(if bricks > 0 { "warn" } else { "good" }, bricks.to_string(), &what);
    }
    if let Some(first) = &verdict.first_boot {
        let class = if first.stays.is_empty() { "good" } else { "warn" };
        let FirstBoot { comes_back, cuts, .. } = first;
        tile(class, format!("{comes_back} of {cuts}"), "came back by themselves after a power cut at the first boot");
    }
    page.push_str("</div>");
}

/// Each line once, and how often it came.
pub(super) fn counted(lines: &[String]) -> Vec<(&str, usize)> {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for line in lines {
        match counted.iter_mut().find(|(other, _)| other == line) {
            Some((_, times)) => *times += 1,
            None => counted.push((line, 1)),
        }
    }
    counted
}

/// The eFuses: a box for each field of block 0 and for each key block.
fn map(page: &mut String, image: &EfuseImage) {
    page.push_str(
        "<h2>The eFuses afterwards</h2><p class=\"legend\"><span class=\"cell burned\">burned</span> <span class=\"cell frozen\">frozen \
         at zero</span> <span class=\"cell hidden\">hidden</span> <span class=\"cell open\">can still be burned</span></p>\
         <div class=\"map\">",
    );
    for field in image.map().fields.iter().filter(|field| field.block == EfuseBlock::SETTINGS && !field.reserved) {
        let value = image.bytes(field).iter().rev().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"));
        let class = class(image, field);
        let frozen = if image.is_writable(field) { "" } else { ", frozen" };
        add(
            page,
            format_args!(
                "<span class=\"cell {class}\" title=\"{}\">{} <b>{:#x}</b>{frozen}</span>",
                text(field.description()),
                text(field.name),
                u128::from_str_radix(&value, 16).unwrap_or(0)
            ),
        );
    }
    page.push_str("</div><h3>Key blocks</h3><div class=\"map\">");
    for block in image.map().key_blocks() {
        let name = image.map().block(block).map_or("", |layout| layout.name);
        let purpose = image.key_purpose(block).map_or(String::new(), |purpose| purpose.to_string());
        let is_burned = image.block(block).is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0));
        let class = match (image.is_block_readable(block), is_burned, image.is_block_writable(block)) {
            (false, ..) => "hidden",
            (true, true, _) => "burned",
            (true, false, false) => "frozen",
            (true, false, true) => "open",
        };
        let frozen = if image.is_block_writable(block) { "" } else { ", frozen" };
        add(page, format_args!("<span class=\"cell {class}\">{} <b>{}</b>{frozen}</span>", text(name), text(&purpose)));
    }
    page.push_str("</div>");
}

fn class(image: &EfuseImage, field: &Field) -> &'static str {
    match (image.is_readable(field), image.is_set(field), image.is_writable(field)) {
        (false, ..) => "hidden",
        (true, true, _) => "burned",
        (true, false, false) => "frozen",
        (true, false, true) => "open",
    }
}

/// A table; each row has its class. Nothing if there are no rows. Cells are escaped already.
fn rows<'a>(page: &mut String, heads: &[&str; 3], rows: impl Iterator<Item = ([String; 3], &'a str)>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    let [a, b, c] = heads;
    add(page, format_args!("<table><tr><th>{a}<th>{b}<th>{c}</tr>"));
    for ([a, b, c], class) in rows {
        add(page, format_args!("<tr class=\"{class}\"><td>{a}<td>{b}<td>{c}</tr>"));
    }
    page.push_str("</table>");
}

fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a string does not fail.
    let _ = page.write_fmt(text);
}

/// Escaped for HTML.
fn text(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, character| {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
        escaped
    })
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Rehearsal</title><style>\
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1c2430}\
small{color:#667;font-weight:400}table{border-collapse:collapse;margin:.5rem 0;width:100%}\
th,td{text-align:left;padding:.2rem .6rem;border-bottom:1px solid #dde3ea;vertical-align:top}th{color:#667;font-weight:500}\
.verdict{font-size:1.2rem;font-weight:600;padding:.6rem 1rem;border-radius:.4rem}\
p.good{background:#dff3e4}p.bad{background:#fbdcdc}tr.good td:last-child{color:#177a37}\
tr.bad td:last-child,li.bad{color:#b3261e;font-weight:600}tr.warn td:last-child,li.warn{color:#9a6700}\
.timeline li{margin:.6rem 0;padding-left:.6rem;border-left:.3rem solid #9db4cc}.timeline li.burn{border-color:#d98324}\
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:.6rem;margin:1rem 0}\
.tile{padding:.6rem 1rem;border-radius:.4rem;background:#eef2f6;font-size:.9rem}.tile b{display:block;font-size:1.4rem}\
.tile.good{background:#dff3e4}.tile.bad{background:#fbdcdc}.tile.warn{background:#fdf0cf}.tile.burn{background:#f6c9a0}\
@media print{body{max-width:none;margin:0}pre{white-space:pre-wrap}h2{break-after:avoid}}\
pre{background:#10151c;color:#d7e0ea;padding:1rem;border-radius:.4rem;overflow-x:auto}\
.map{display:flex;flex-wrap:wrap;gap:.3rem}.cell{padding:.15rem .5rem;border-radius:.3rem;font-size:.85rem}\
.burned{background:#f6c9a0}.frozen{background:#d5dbe3}.hidden{background:#2d3642;color:#fff}.open{background:#dff3e4}\
</style>";
