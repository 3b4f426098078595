//! A product's policy file, as `cotter rehearse` reads it.

use cotter_factory::policy::ProductPolicy;
use std::path::Path;

/// Whatever a policy asks for, its birth from a folder without files ends with a refusal that says something.
pub fn product_policy(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match ProductPolicy::from_toml(text) {
        Ok(policy) => {
            // Absolute paths would leave the folder, and paths upwards too.
            let paths = [&policy.boot_image, &policy.partition_table];
            let images = policy.images.iter().map(|image| &image.file);
            let mut paths = paths.into_iter().chain(images).chain(policy.keys.values());
            if paths.any(|path| path.is_absolute() || path.components().any(|part| part.as_os_str() == "..")) {
                return;
            }
            let refused = policy.birth(Path::new("/nonexistent")).expect_err("there are no files");
            assert!(!refused.to_string().is_empty());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
