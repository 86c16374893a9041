//! The doors of this crate: each takes a format, or a cell of the lane table, and asks the code of that format.
//!
//! Why apart from the neutral types: formats import those, and the doors import the formats; nothing runs backwards. A new
//! format adds its arm here and nowhere else.
//!
//! Never here: what a format means by its bytes.

mod answer;
mod encoder;
mod error;
mod manage;
mod models;
mod outlet;
mod request;
mod stream;
mod translation;
mod vectors;

pub use answer::{read_answer, write_loaded};
pub use encoder::Opening;
pub use error::{read_refusal, write_error};
pub use manage::{read_manage, read_manage_answer, write_manage};
pub use models::{
    load_path, read_capabilities, read_model, read_models, read_resident, read_show, read_show_request,
    write_load, write_model, write_models, write_resident, write_show, write_version,
};
pub use request::{read_request, unloads, write_request};
pub use stream::AnswerStream;
