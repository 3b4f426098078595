//! Many commands of one tool in one Python process, because starting one takes half a second.

use cotter_interop::{temp_dir, tools};

/// What the tool did with one command.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// It ended without an error.
    pub(crate) accepted: bool,
    /// What it printed.
    pub(crate) output: String,
}

/// Runs each argument list through the tool's own `main` ("esptool" or "espsecure").
pub(crate) fn batch(tool: &str, commands: &[Vec<String>]) -> Vec<Outcome> {
    let dir = temp_dir();
    let (list, results) = (dir.path().join("commands.json"), dir.path().join("results.json"));
    std::fs::write(&list, serde_json::to_vec(commands).unwrap()).unwrap();
    tools().python(["-c".as_ref(), SCRIPT.as_ref(), tool.as_ref(), list.as_os_str(), results.as_os_str()]).accepted();
    let results: Vec<(bool, String)> = serde_json::from_slice(&std::fs::read(&results).unwrap()).unwrap();
    assert_eq!(results.len(), commands.len());
    results.into_iter().map(|(accepted, output)| Outcome { accepted, output }).collect()
}

const SCRIPT: &str = r#"
import contextlib, importlib, io, json, sys
tool = importlib.import_module(sys.argv[1])
results = []
for arguments in json.load(open(sys.argv[2])):
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            tool.main(arguments)
            accepted = True
        except SystemExit as end:
            accepted = end.code in (0, None)
        except Exception as error:
            accepted = False
            output.write(repr(error))
    results.append([accepted, output.getvalue()])
json.dump(results, open(sys.argv[3], "w"))
"#;
