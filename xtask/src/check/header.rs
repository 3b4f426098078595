//! The C header and the library behind it: the same functions, types and numbers. Written by hand, so that it can say what
//! a signature cannot; held against the Rust sources here, so that it says nothing else.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};

use crate::workspace::root;

/// How many declarations agree, and which do not.
///
/// # Errors
/// The files cannot be read.
pub(crate) fn problems() -> Result<(usize, Vec<String>)> {
    let folder = root().join("firmware/link-c");
    let header = fs::read_to_string(folder.join("include/cotter_link.h")).context("the header of firmware/link-c")?;
    let mut sources = String::new();
    for entry in fs::read_dir(folder.join("src"))? {
        sources.push_str(&fs::read_to_string(entry?.path())?);
    }
    Ok(compared(&header, &sources))
}

fn compared(header: &str, sources: &str) -> (usize, Vec<String>) {
    let (header, library) = (of_header(header), of_library(sources));
    let missing = library.difference(&header).map(|it| format!("cotter_link.h lacks, and the library has: {it}"));
    let extra = header.difference(&library).map(|it| format!("the library lacks, and cotter_link.h has: {it}"));
    (header.intersection(&library).count(), missing.chain(extra).collect())
}

/// Every declaration as C writes it, in one line without comments.
fn of_header(text: &str) -> BTreeSet<String> {
    let mut code = String::new();
    let mut rest = text;
    while let Some((before, comment)) = rest.split_once("/*") {
        code.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    code.push_str(rest);
    let mut found = BTreeSet::new();
    // 1. Numbers. Texts and the guard are C's own.
    for line in code.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["#define", name, value] = words[..]
            && !value.starts_with('"')
        {
            found.insert(format!("{name} = {}", value.trim_matches(['(', ')'])));
        }
    }
    // 2. Declarations: what is left between semicolons. Storage is only C's; the Rust side is its size.
    let lines = code.lines().filter(|line| !line.starts_with('#') && !line.contains("extern \"C\""));
    let mut declarations = lines.collect::<Vec<_>>().join(" ");
    while let Some(start) = declarations.find("typedef") {
        let open = declarations[start..].find(['{', ';']).map_or(declarations.len(), |at| start + at);
        let end = if declarations[open..].starts_with('{') {
            let close = declarations[open..].find('}').map_or(declarations.len(), |at| open + at);
            let name = declarations[start..open].split_whitespace().last().unwrap_or_default().to_owned();
            if declarations[start..].starts_with("typedef struct") {
                let fields = declarations[open + 1..close].split(';').map(one_line).filter(|field| !field.is_empty());
                found.insert(format!("struct {name} {{ {} }}", fields.collect::<Vec<_>>().join("; ")));
            }
            declarations[close..].find(';').map_or(declarations.len(), |at| close + at + 1)
        } else {
            let alias = one_line(&declarations[start..open]);
            if alias.contains('(') {
                found.insert(alias);
            }
            open + 1
        };
        declarations.replace_range(start..end.min(declarations.len()), "");
    }
    let functions = declarations.split(';').map(one_line).filter(|it| it.contains('(') && !it.contains("panicked"));
    found.extend(functions);
    found
}

/// Every exported function, `repr(C)` type and constant of the sources, as C would write it.
fn of_library(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let text = lines.collect::<Vec<_>>().join("\n");
    // 1. Numbers.
    for line in text.lines() {
        let Some((name, value)) = line.strip_prefix("pub(crate) const COTTER_").and_then(|it| it.split_once(": "))
        else {
            continue;
        };
        let value = value.split_once("= ").map_or("", |(_, value)| value.trim_end_matches(';'));
        found.insert(format!("COTTER_{name} = {value}"));
    }
    // 2. Types whose fields C sees, which are all public.
    for item in text.split("#[repr(C)]").skip(1) {
        let Some((before, body)) = item.split_once('{') else { continue };
        let name = before.split_whitespace().last().unwrap_or_default();
        let body = body.split_once("\n}").map_or("", |(body, _)| body);
        let fields: Vec<String> = body.split(',').map(one_line).filter(|field| !field.is_empty()).collect();
        if before.contains("pub struct") && fields.iter().all(|field| field.starts_with("pub ")) {
            let fields = fields.iter().filter_map(|field| field.strip_prefix("pub ").and_then(declared));
            found.insert(format!("struct {} {{ {} }}", snake(name), fields.collect::<Vec<_>>().join("; ")));
        }
    }
    // 3. Functions, and the one callback.
    for item in text.split("#[unsafe(no_mangle)]").skip(1) {
        let signature = item.split_once('{').map_or("", |(signature, _)| signature);
        let Some((name, arguments, result)) = parts(signature) else { continue };
        found.insert(format!("{}({arguments})", joined(&result, &name)));
    }
    if let Some((_, callback)) = text.split_once("pub type CotterLinkRandom = Option<")
        && let Some((_, arguments, result)) = parts(callback.split_once(";").map_or("", |(it, _)| it))
    {
        found.insert(format!("typedef {result} (*cotter_link_random)({arguments})"));
    }
    found
}

/// Name, arguments and result of a Rust signature, in C.
fn parts(signature: &str) -> Option<(String, String, String)> {
    let (_, rest) = signature.split_once("extern \"C\" fn")?;
    let (name, rest) = rest.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(')')?;
    let arguments = arguments.split(',').map(one_line).filter(|argument| !argument.is_empty());
    let arguments = arguments.filter_map(|argument| declared(&argument)).collect::<Vec<_>>().join(", ");
    let result = in_c(result.trim().strip_prefix("->")?.trim().trim_end_matches('>'));
    Some((name.trim().to_owned(), arguments, result))
}

/// `name: type` in C.
fn declared(field: &str) -> Option<String> {
    let (name, kind) = field.split_once(": ")?;
    // A pointer to an array is an array argument.
    for (pointer, constant) in [("*const [u8; ", "const "), ("*mut [u8; ", "")] {
        if let Some(length) = kind.strip_prefix(pointer) {
            return Some(format!("{constant}uint8_t {name}[{}]", length.trim_end_matches(']')));
        }
    }
    Some(joined(&in_c(kind), name))
}

fn joined(kind: &str, name: &str) -> String {
    if kind.ends_with('*') { format!("{kind}{name}") } else { format!("{kind} {name}") }
}

fn in_c(kind: &str) -> String {
    if let Some(inner) = kind.strip_prefix("*mut ") {
        let inner = in_c(inner);
        return if inner.ends_with('*') { format!("{inner}*") } else { format!("{inner} *") };
    }
    if let Some(inner) = kind.strip_prefix("*const ") {
        return format!("const {} *", in_c(inner));
    }
    match kind {
        "u8" | "u16" | "u32" | "u64" => format!("uint{}_t", &kind[1..]),
        "i32" => "int32_t".to_owned(),
        "usize" => "size_t".to_owned(),
        "c_void" => "void".to_owned(),
        "c_char" => "char".to_owned(),
        ours => snake(ours),
    }
}

/// `CotterLinkEvent` as `cotter_link_event`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"
#ifndef GUARD
#define GUARD
/* What it is. */
#define COTTER_LINK_NULL (-1)
#define COTTER_TEXT "text"
typedef union storage { uint8_t bytes[3]; } storage;
typedef struct cotter_link cotter_link;
typedef int32_t (*cotter_link_random)(void *context, uint8_t *out, size_t len);
typedef struct cotter_link_event {
    /* Bytes. */
    const uint8_t *data;
    size_t len;
} cotter_link_event;
int32_t cotter_link_open(cotter_link *link, const uint8_t key[COTTER_LINK_KEY],
                         cotter_link_random random, cotter_link **out);
const char *cotter_link_text(int32_t code);
#endif
"#;

    const LIBRARY: &str = r#"
pub(crate) const COTTER_LINK_NULL: i32 = -1;
pub type CotterLinkRandom = Option<unsafe extern "C" fn(context: *mut c_void, out: *mut u8, len: usize) -> i32>;
#[repr(C)]
pub struct CotterLinkEvent {
    pub data: *const u8,
    pub len: usize,
}
#[repr(C)]
pub struct CotterLink {
    mark: u32,
}
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_link_open(
    link: *mut CotterLink,
    key: *const [u8; COTTER_LINK_KEY],
    random: CotterLinkRandom,
    out: *mut *mut CotterLink,
) -> i32 {
}
#[unsafe(no_mangle)]
pub extern "C" fn cotter_link_text(code: i32) -> *const c_char {
}
"#;

    #[test]
    fn the_header_of_the_link_and_its_library_agree() {
        let (count, problems) = problems().unwrap();
        assert_eq!(problems, Vec::<String>::new());
        assert!(count > 90, "{count}");
    }

    #[test]
    fn agrees_where_both_say_the_same() {
        assert_eq!(compared(HEADER, LIBRARY), (5, vec![]));
    }

    #[test]
    fn finds_each_difference() {
        let changes = [
            ("(-1)", "(-2)"),
            ("size_t len;", "uint32_t len;"),
            ("const uint8_t *data;", ""),
            ("cotter_link **out", "cotter_link *out"),
            ("const uint8_t key", "uint8_t key"),
            ("uint8_t *out, size_t len", "uint8_t *out, uint32_t len"),
            ("const char *cotter_link_text(int32_t code);", ""),
            ("int32_t code", "int16_t code"),
        ];
        for (right, wrong) in changes {
            let changed = HEADER.replacen(right, wrong, 1);
            assert_ne!(changed, HEADER);
            assert!(!compared(&changed, LIBRARY).1.is_empty(), "{wrong}");
        }
    }
}
