//! The document at `/openapi.json` describes every route that there is, and every route that it describes answers as it
//! says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![allow(clippy::print_stderr, reason = "counts, for whoever reads the test's output")]

mod product;

use product::Product;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

type Routes = BTreeMap<String, BTreeSet<String>>;

/// Of the compatibility profile, which describes itself in docs/ecowatt.md.
const ON_ANOTHER_LISTENER: [&str; 1] = ["/aggregated/{id}"];
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn described(document: &Value) -> Routes {
    let methods = |path: &Value| path.as_object().unwrap().keys().cloned().collect();
    document["paths"].as_object().unwrap().iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

/// What the router is told: each `.route(PATH, get(..).post(..))` in the source, with the constants that spell paths.
fn routed() -> Routes {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = vec![std::fs::read_to_string(root.join("src/http.rs")).unwrap()];
    for file in std::fs::read_dir(root.join("src/http")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(std::fs::read_to_string(path).unwrap());
        }
    }
    let api = std::fs::read_to_string(root.join("../wire/src/api.rs")).unwrap();
    let constants: BTreeMap<&str, &str> = sources.iter().chain([&api]).flat_map(|source| constants(source)).collect();
    let mut routes = Routes::new();
    for source in &sources {
        let source = source.split("#[cfg(test)]").next().unwrap();
        for call in source.split(".route(").skip(1) {
            let (path, rest) = call.split_once(',').unwrap();
            let path = path.trim();
            let path = match path.strip_prefix('"') {
                Some(literal) => literal.trim_end_matches('"'),
                None => {
                    let name = path.rsplit("::").next().unwrap();
                    constants.get(name).unwrap()
                }
            };
            if ON_ANOTHER_LISTENER.contains(&path) {
                continue;
            }
            let arguments = arguments(rest);
            let methods = METHODS
                .iter()
                .filter(|method| arguments.split(['.', ' ']).any(|word| word.starts_with(&format!("{method}("))));
            routes.entry(path.to_owned()).or_default().extend(methods.map(|method| (*method).to_owned()));
        }
    }
    routes
}

/// Up to the parenthesis that closes the call.
fn arguments(text: &str) -> &str {
    let mut depth = 1;
    let end = text.find(|letter| {
        depth += match letter {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    });
    text[..end.unwrap()].trim()
}

/// `const NAME: &str = "/...";`
fn constants(source: &str) -> Vec<(&str, &str)> {
    let parse = |line: &'_ str| -> Option<(usize, usize)> {
        let at = line.find("const ")? + 6;
        line.contains(": &str = \"/").then_some((at, line.find(": &str")?))
    };
    let pair = |line| {
        let (from, to) = parse(line)?;
        let value = line.split('"').nth(1)?;
        Some((&line[from..to], value))
    };
    source.lines().filter_map(pair).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn describes_every_route_and_nothing_else() {
    let product = Product::new();
    let server = product.serve().await;
    let mut client = product.connect(server.address).await;
    let answer = client.ask("GET", "/openapi.json", &[], Vec::new()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(described(&answer.json()), routed());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_described_route_answers_as_it_says_and_takes_no_other_method() {
    let product = Product::new();
    let server = product.serve().await;
    let mut client = product.connect(server.address).await;
    let document = client.ask("GET", "/openapi.json", &[], Vec::new()).await.json();
    let administrator = format!("Bearer {}", product.admin_token);
    let mut asked = 0;
    for (path, methods) in described(&document) {
        let concrete = path
            .replace("{id}", "nobody")
            .replace("{release}", &"ab".repeat(32))
            .replace("{chunk}", "0")
            .replace("{name}", "nobody")
            .replace("{rollout}", "1")
            .replace("{act}", "start")
            .replace("{tag}", "beta");
        let concrete: String = concrete
            .split('/')
            .map(|part| if part.starts_with('{') { "1" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        for method in METHODS {
            for headers in [&[][..], &[("authorization", administrator.as_str())]] {
                let answer = client.ask(&method.to_uppercase(), &concrete, headers, Vec::new()).await;
                let said = (method, path.as_str(), answer.is());
                if !methods.contains(method) {
                    assert!([405, 401].contains(&answer.status), "{said:?}");
                    continue;
                }
                let operation = &document["paths"][&path][method];
                assert!(operation["responses"].get(answer.status.to_string()).is_some(), "{said:?}");
                assert_ne!(answer.status, 405, "{said:?}");
                let for_administrators = operation["security"][0].get("administrator").is_some();
                assert_eq!(path.starts_with("/admin/"), for_administrators, "{said:?}");
                if for_administrators && headers.is_empty() {
                    assert_eq!(answer.status, 401, "{said:?}");
                }
                asked += 1;
            }
        }
    }
    eprintln!("{asked} described requests answered as described");
    assert!(asked >= 40);
    server.stop().await;
}
