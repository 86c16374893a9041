//! The model, run by llama.cpp.
//!
//! Why here: this is the only file that knows the native library. It is kept to what the two traits of `model` ask, so that
//! another release, or another library, is one file's work.
//!
//! Never here: who is served when, HTTP. One context for the whole process; a second would not be sound in this binding.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Instant;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::{LogOptions, json_schema_to_grammar, send_logs_to_tracing};

use crate::api::{Api, Card, FileFacts};
use crate::model::{Decoder, Facts, Fault, Feed, Reader, Sampling, Token, Turn};
use crate::options::{EngineError, ServeOptions};
use crate::schedule::{self, Job, largest_step, queue};
use crate::template::Template;
use crate::weights::sha256_of;

/// Loads the model, starts its thread and returns the interface over it.
pub(crate) fn load(options: &ServeOptions) -> Result<Api, EngineError> {
    let begun = Instant::now();
    send_logs_to_tracing(LogOptions::default().with_logs_enabled(tracing::enabled!(tracing::Level::DEBUG)));
    let file = options.model_file.clone();
    // Beside the loading: both read the same pages.
    let hashing = std::thread::spawn(move || file_facts(&file));
    let failed = |text: String| EngineError::Load(options.model_file.clone(), text);
    let backend = LlamaBackend::init().map_err(|e| failed(e.to_string()))?;
    if !options.model_file.is_file() {
        return Err(EngineError::File(options.model_file.clone(), std::io::ErrorKind::NotFound.into()));
    }
    let params = LlamaModelParams::default().with_n_gpu_layers(0);
    let model = LlamaModel::load_from_file(&backend, &options.model_file, &params)
        .map_err(|e| failed(e.to_string()))?;
    let model = Arc::new(model);
    let reader = Text::new(Arc::clone(&model)).map_err(failed)?;
    let trained = usize::try_from(reader.facts.trained_context).unwrap_or(usize::MAX);
    let context = options.context_per_slot.min(trained);
    let (queue, jobs) = queue(options.slots, options.queue_max);
    start_thread(backend, model, options, context, jobs).map_err(failed)?;
    let facts = hashing
        .join()
        .map_err(|_| EngineError::RunnerStopped)?
        .map_err(|e| EngineError::File(options.model_file.clone(), e))?;
    let card = Card::new(&options.model_name, context, facts, begun.elapsed());
    Ok(Api { reader: Arc::new(reader), queue, card })
}

fn file_facts(file: &Path) -> std::io::Result<FileFacts> {
    let metadata = std::fs::metadata(file)?;
    Ok(FileFacts { bytes: metadata.len(), sha256: sha256_of(file)?, modified: metadata.modified()? })
}

/// The thread owns the context, which borrows the model; it says once whether the context could be made.
fn start_thread(
    backend: LlamaBackend,
    model: Arc<LlamaModel>,
    options: &ServeOptions,
    context: usize,
    jobs: tokio::sync::mpsc::Receiver<Job>,
) -> Result<(), String> {
    let (slots, threads) = (options.slots, options.threads);
    let (tell, told) = sync_channel(1);
    let body = move || own(&backend, &model, slots, threads, context, jobs, &tell);
    std::thread::Builder::new().name("model".into()).spawn(body).map_err(|e| e.to_string())?;
    told.recv().map_err(|_| "the model's thread ended at once".to_owned())?
}

fn own(
    backend: &LlamaBackend,
    model: &LlamaModel,
    slots: usize,
    threads: usize,
    context: usize,
    jobs: tokio::sync::mpsc::Receiver<Job>,
    tell: &SyncSender<Result<(), String>>,
) {
    match Native::new(backend, model, slots, threads, context) {
        Ok(native) => {
            let _ = tell.send(Ok(()));
            schedule::run(native, slots, jobs);
        }
        Err(text) => {
            let _ = tell.send(Err(text));
        }
    }
}

/// Tokenizer, template and header.
struct Text {
    model: Arc<LlamaModel>,
    template: Template,
    facts: Facts,
}

impl Text {
    fn new(model: Arc<LlamaModel>) -> Result<Self, String> {
        let source = model.chat_template(None).map_err(|_| "the file holds no chat template".to_owned())?;
        let source = source.to_string().map_err(|e| e.to_string())?;
        let vocab = model.vocab();
        let word = |token| String::from_utf8_lossy(&vocab.token_to_piece(token, true, None)).into_owned();
        let bos = if vocab.bos().0 < 0 { String::new() } else { word(vocab.bos()) };
        let template = Template::new(source.clone(), bos, word(vocab.eos()))?;
        let facts = facts(&model, source);
        Ok(Self { model, template, facts })
    }
}

impl Reader for Text {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn prompt(&self, turns: &[Turn]) -> Result<String, Fault> {
        self.template.prompt(turns)
    }

    fn tokens(&self, prompt: &str) -> Vec<Token> {
        self.model.vocab().tokenize(prompt.as_bytes(), false, true).into_iter().map(|t| t.0).collect()
    }

    fn grammar(&self, schema: &str) -> Result<String, Fault> {
        let refused = || Fault::caller("invalid format: this JSON Schema cannot be made into a grammar");
        let grammar = json_schema_to_grammar(schema).map_err(|_| refused())?;
        // Parsed once here, so that a refusal comes before the queue.
        LlamaSampler::grammar(&self.model, &grammar, "root").map_err(|_| refused())?;
        Ok(grammar)
    }
}

fn facts(model: &LlamaModel, template: String) -> Facts {
    let text = |key: &str| model.meta_val_str(key).ok();
    let family = text("general.architecture").unwrap_or_default();
    let names = [
        "block_count",
        "embedding_length",
        "feed_forward_length",
        "attention.head_count",
        "attention.head_count_kv",
    ];
    let header = names
        .into_iter()
        .map(|name| format!("{family}.{name}"))
        .filter_map(|key| text(&key)?.parse().ok().map(|value| (key, value)))
        .collect();
    Facts {
        parameters: model.n_params(),
        quantization: text("general.file_type").map_or("unknown", |t| quantization(&t)).to_owned(),
        trained_context: model.n_ctx_train(),
        template,
        header,
        family,
    }
}

/// The file types of the GGUF format that small models come in.
fn quantization(file_type: &str) -> &'static str {
    match file_type {
        "0" => "F32",
        "1" => "F16",
        "2" => "Q4_0",
        "3" => "Q4_1",
        "7" => "Q8_0",
        "8" => "Q5_0",
        "9" => "Q5_1",
        "14" => "Q4_K_S",
        "15" => "Q4_K_M",
        "16" => "Q5_K_S",
        "17" => "Q5_K_M",
        "18" => "Q6_K",
        "32" => "BF16",
        _ => "unknown",
    }
}

/// The context and its one batch.
struct Native<'a> {
    model: &'a LlamaModel,
    context: LlamaContext<'a>,
    batch: LlamaBatch<'static>,
}

impl<'a> Native<'a> {
    fn new(
        backend: &LlamaBackend,
        model: &'a LlamaModel,
        slots: usize,
        threads: usize,
        context: usize,
    ) -> Result<Self, String> {
        let number = |n: usize| u32::try_from(n).map_err(|_| format!("{n} is too large"));
        let threads = i32::try_from(threads).map_err(|_| format!("{threads} threads are too many"))?;
        let step = largest_step(slots);
        let params = LlamaContextParams::default()
            .with_n_ctx(std::num::NonZeroU32::new(number(context.saturating_mul(slots))?))
            .with_n_batch(number(step)?)
            .with_n_ubatch(number(step)?)
            .with_n_seq_max(number(slots)?)
            // Each slot has its own share, so that one long chat cannot take another's place.
            .with_kv_unified(false)
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_no_perf(true);
        let context = model.new_context(backend, params).map_err(|e| e.to_string())?;
        Ok(Self { model, context, batch: LlamaBatch::new(step, 1) })
    }
}

/// The grammar is kept apart from the rest: its errors can be caught only when it is asked alone.
struct Chooser {
    grammar: Option<LlamaSampler>,
    chain: LlamaSampler,
}

impl Decoder for Native<'_> {
    type Sampler = Chooser;

    fn sampler(&self, s: &Sampling) -> Result<Chooser, Fault> {
        let grammar = match &s.grammar {
            Some(text) => Some(
                LlamaSampler::grammar(self.model, text, "root")
                    .map_err(|_| Fault::caller("invalid format: the grammar was refused"))?,
            ),
            None => None,
        };
        Ok(Chooser { grammar, chain: chain(self.model.n_vocab(), s) })
    }

    fn decode(&mut self, feed: &[Feed]) -> Result<(), Fault> {
        self.batch.clear();
        for fed in feed {
            let position = i32::try_from(fed.position).map_err(|_| Fault::ours("a position is too large"))?;
            let slot = i32::try_from(fed.slot).map_err(|_| Fault::ours("a slot is too large"))?;
            self.batch
                .add(LlamaToken(fed.token), position, &[slot], fed.choose)
                .map_err(|e| Fault::ours(e.to_string()))?;
        }
        self.context
            .decode(&mut self.batch)
            .map_err(|e| Fault::ours(format!("an error was encountered while running the model: {e}")))
    }

    fn choose(&mut self, chooser: &mut Chooser, index: usize) -> Result<Token, Fault> {
        let index = i32::try_from(index).map_err(|_| Fault::ours("a step is too large"))?;
        let Some(grammar) = &mut chooser.grammar else {
            return Ok(chooser.chain.sample(&self.context, index).0);
        };
        let stuck = || Fault::ours("no word fits the format that was asked for");
        let mut candidates = self.context.token_data_array_ith(index);
        candidates.apply_sampler(grammar);
        candidates.data.retain(|c| c.logit() > f32::NEG_INFINITY);
        if candidates.data.is_empty() {
            return Err(stuck());
        }
        candidates.apply_sampler(&mut chooser.chain);
        let token = candidates.selected_token().ok_or_else(stuck)?;
        grammar.try_accept(token).map_err(|_| stuck())?;
        chooser.chain.accept(token);
        Ok(token.0)
    }

    fn forget(&mut self, slot: usize, keep: usize) -> bool {
        let slot = u32::try_from(slot).ok();
        let part = self.context.clear_kv_cache_seq(slot, u32::try_from(keep).ok(), None).unwrap_or(false);
        if !part {
            // Forgetting a whole sequence cannot fail.
            let _ = self.context.clear_kv_cache_seq(slot, None, None);
        }
        part
    }

    fn is_end(&self, token: Token) -> bool {
        self.model.vocab().is_eog(LlamaToken(token))
    }

    fn bytes(&self, token: Token) -> Vec<u8> {
        // Control words are not text: they are left out.
        self.model.vocab().token_to_piece(LlamaToken(token), false, None)
    }
}

/// Penalties, then the cuts, then the draw: the order of llama.cpp and of Ollama.
fn chain(vocabulary: i32, s: &Sampling) -> LlamaSampler {
    let mut steps = Vec::with_capacity(6);
    if s.repeat_penalty != 1.0 || s.frequency_penalty != 0.0 || s.presence_penalty != 0.0 {
        let last = if s.repeat_last_n < 0 { i32::from(i16::MAX) } else { s.repeat_last_n };
        steps.push(LlamaSampler::penalties(
            vocabulary,
            last,
            s.repeat_penalty,
            s.frequency_penalty,
            s.presence_penalty,
        ));
    }
    if s.temperature <= 0.0 {
        steps.push(LlamaSampler::greedy());
        return LlamaSampler::chain(steps, true);
    }
    steps.push(LlamaSampler::top_k(s.top_k));
    steps.push(LlamaSampler::top_p(s.top_p, 1));
    steps.push(LlamaSampler::min_p(s.min_p, 1));
    steps.push(LlamaSampler::temp(s.temperature));
    steps.push(LlamaSampler::dist(s.seed));
    LlamaSampler::chain(steps, true)
}
