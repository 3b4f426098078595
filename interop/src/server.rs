//! A server for a test: what `init` is asked for.

use cotter_server::init::InitOptions;

/// One administrator, one manifest key in `manifest.pem`, any free port of this host.
#[must_use]
pub fn server_options() -> InitOptions {
    InitOptions {
        admin: admin(),
        listen: ([127, 0, 0, 1], 0).into(),
        project: "app".into(),
        manifest_keys: vec!["manifest.pem".into()],
        manifest_required: 1,
        secure_boot_digests: vec![[0xab; 32]],
    }
}

fn admin() -> cotter_server::administrator::AdminName {
    match "admin".parse() {
        Ok(name) => name,
        Err(error) => panic!("a name: {error}"),
    }
}
