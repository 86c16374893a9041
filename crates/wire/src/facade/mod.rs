//! The doors of this crate: each takes a format and asks the code of that format.
//!
//! Why apart from the neutral types: formats import those, and the doors import the formats; nothing runs backwards. A new
//! format adds its arm here and nowhere else.
//!
//! Never here: what a format means by its bytes.

mod answer;
mod chat;
mod comment;
mod error;
mod models;
mod stream;
mod translation;

pub use answer::read_answer;
pub use chat::{read_chat, write_chat};
pub use comment::{write_comment, write_heartbeat};
pub use error::{read_refusal, write_error, write_error_event};
pub use models::{
    load_path, read_capabilities, read_model, read_models, read_resident, write_load, write_model,
    write_models,
};
pub use stream::ChatStream;
