//! The chat site: page, conversations, and a client of the gateway.
//!
//! Why here: it is a role of the program beside the gateway, not a part of it; it reaches models over HTTP with a key of
//! its own, like any other client. Its wall is [`serve`].
//!
//! How a question travels: `questions` stores it with an empty answer, `drive` asks the gateway (`upstream`, `reply`), stores
//! every piece before telling it (`hub`), and any number of pages follow (`follow`). Closing a tab ends none of that.
//!
//! Never here: SQL, model servers, limits on use, anybody's account.

mod access;
mod api;
mod assets;
mod bounds;
mod chats;
mod clock;
mod drive;
mod failure;
mod follow;
mod headers;
mod hub;
mod image;
mod questions;
mod records;
mod refusal;
mod reply;
mod rim;
mod routes;
mod server;
#[cfg(test)]
mod tests;
mod upstream;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use gateway::config::Secret;
use store::{Conversations, SqliteOptions, SqliteStore, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use access::Access;
pub use api::Locale;
pub use assets::PageError;
pub(crate) use assets::{IMMUTABLE, all as assets};
pub(crate) use bounds::QUESTION_BODY_BYTES as BODY_BYTES_MAX;
pub use headers::CONTENT_SECURITY_POLICY;
pub(crate) use headers::fixed as security_headers;
pub(crate) use routes::paths;
pub use upstream::ApiBaseError;

use api::{Notice, NoticeCode, Setup};
use clock::now_ms;
use hub::Hub;
use upstream::Upstream;

/// Everything the site runs on.
#[derive(Clone, Debug)]
pub struct ChatConfig {
    pub listen: SocketAddr,
    pub title: String,
    pub description: String,
    /// Chosen on the page at first; `None`: the page takes the first of the list.
    pub model: Option<String>,
    /// Language of the page; `None`: the browser decides.
    pub locale: Option<Locale>,
    pub access: Access,
    pub gateway: GatewayAccess,
    /// SQLite file; made if it is not there, in a folder that is.
    pub database: PathBuf,
}

/// How the site reaches models.
#[derive(Clone, Debug)]
pub struct GatewayAccess {
    /// For example `http://127.0.0.1:18789/v1`.
    pub api_base: String,
    /// `None`: the page says that a key is missing, unless the gateway asks for none.
    pub key: Option<Secret>,
    /// The gateway is known to ask for no key.
    pub keyless: bool,
}

/// Why the site does not start.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    #[error("the chat page without accounts may only listen on this machine (127.0.0.1 or ::1), not on {0}")]
    NotLoopback(SocketAddr),
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("conversations in {}: {source}", path.display())]
    Store { path: PathBuf, source: StoreError },
    #[error(transparent)]
    ApiBase(#[from] ApiBaseError),
    #[error(transparent)]
    Page(#[from] PageError),
}

/// What every handler shares.
struct Site {
    setup: Setup,
    page: Bytes,
    access: Access,
    keyless: bool,
    store: Arc<dyn Conversations>,
    upstream: Upstream,
    hub: Arc<Hub>,
    /// True once the server is to end: event streams end, connections finish.
    closing: watch::Sender<bool>,
}

/// Serves the site until `shutdown` resolves, then ends runs, streams and connections in that order.
///
/// `on_bound` is told the address once the site answers there (port 0 is filled in).
pub async fn serve(
    config: ChatConfig,
    on_bound: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ChatError> {
    allowed(&config, config.listen)?;
    let listen = config.listen;
    let listen_error = |source| ChatError::Listen { address: listen, source };
    let listener = TcpListener::bind(listen).await.and_then(TcpListener::into_std);
    serve_on(config, listener.map_err(listen_error)?, on_bound, shutdown).await
}

/// A page without accounts is for this machine alone, whatever opened its socket.
fn allowed(config: &ChatConfig, address: SocketAddr) -> Result<(), ChatError> {
    if config.access != Access::OpenWithWarning && !address.ip().to_canonical().is_loopback() {
        return Err(ChatError::NotLoopback(address));
    }
    Ok(())
}

/// [`serve`] on a socket that is open already.
pub(crate) async fn serve_on(
    config: ChatConfig,
    listener: std::net::TcpListener,
    on_bound: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ChatError> {
    let listen = config.listen;
    let listen_error = |source| ChatError::Listen { address: listen, source };
    let address = listener.local_addr().map_err(listen_error)?;
    allowed(&config, address)?;
    // The port before the store: two servers on one database would end each other's runs as leftovers.
    listener.set_nonblocking(true).map_err(listen_error)?;
    let listener = TcpListener::from_std(listener).map_err(listen_error)?;
    let site = Arc::new(Site::open(config).await?);
    if site.access.is_open() {
        tracing::warn!(%address, "the chat page is open to everybody who can reach it, without accounts");
    }
    let server =
        tokio::spawn(server::run(listener, routes::router(Arc::clone(&site)), site.closing.subscribe()));
    on_bound(address);
    shutdown.await;
    // Runs first: their readers get an honest last event before the streams end.
    site.hub.stop_all().await;
    site.closing.send_replace(true);
    if let Err(error) = server.await {
        tracing::error!(%error, "the chat server's listener ended badly");
    }
    site.store.close().await;
    Ok(())
}

impl Site {
    async fn open(config: ChatConfig) -> Result<Self, ChatError> {
        let upstream = Upstream::new(&config.gateway.api_base, config.gateway.key.as_ref())?;
        let page = assets::page(&config.title, config.locale, "")?;
        let path = config.database.clone();
        let store_error = |source| ChatError::Store { path: path.clone(), source };
        let store = SqliteStore::open(&SqliteOptions::new(&config.database)).await.map_err(store_error)?;
        let interrupted = records::write_failure(&failure::interrupted());
        let ended = store.fail_interrupted(&interrupted, now_ms()).await.map_err(store_error)?;
        if ended > 0 {
            tracing::warn!(answers = ended, "answers that the last stop interrupted are marked as failed");
        }
        Ok(Self {
            setup: setup(&config, upstream.has_key()),
            page,
            access: config.access,
            keyless: config.gateway.keyless,
            store: Arc::new(store),
            upstream,
            hub: Arc::default(),
            closing: watch::Sender::new(false),
        })
    }
}

fn setup(config: &ChatConfig, has_key: bool) -> Setup {
    let notice = if !has_key && !config.gateway.keyless {
        Some(Notice { code: NoticeCode::NoKey, message: failure::no_key().message })
    } else if config.access.is_open() {
        Some(Notice {
            code: NoticeCode::OpenToNetwork,
            message: "This page asks nobody who they are: everybody who can reach it can use the models. \
                      Each browser sees its own chats only."
                .into(),
        })
    } else {
        None
    };
    Setup {
        title: config.title.clone(),
        description: config.description.clone(),
        locale: config.locale,
        default_model: config.model.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        notice,
    }
}
