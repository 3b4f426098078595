//! NVS partitions from CSV files, one or many.
//!
//! | file | noun |
//! |---|---|
//! | `table` | the rows of a CSV file, put into an image |
//! | `encoding` | the text of a row as a typed value |
//! | `wifi` | what Espressif's generator adds to Wi-Fi credentials |
//! | `batch` | one table per device, from a template and the devices' values |
//! | `keys` | fresh keys, and keys by the HMAC scheme |

pub mod batch;
pub mod encoding;
pub mod keys;
pub mod table;
pub mod wifi;

pub use batch::Batch;
pub use table::Table;
