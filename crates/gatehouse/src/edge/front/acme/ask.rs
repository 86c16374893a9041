//! One conversation with the CA: account, order, challenges, certificate.
//!
//! Why here: the order of its steps, and what each failure means to the operator.
//!
//! Never here: when, and how often.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};

use super::call::Caller;
use super::keep::Folder;
use crate::config::edge::{Acme, Name};
use crate::edge::front::pair::{Pair, PairError};
use crate::edge::front::plain::Challenges;

/// For the CA to look at the challenges, and to write the certificate.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(90));

const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";
const RATE_LIMITED: &str = "urn:ietf:params:acme:error:rateLimited";

/// A CA and how it finds our answers.
pub(super) struct Ca {
    directory: String,
    email: Option<String>,
    caller: Caller,
    challenges: Arc<Challenges>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("the CA refused: {0}")]
    Refused(Box<Problem>),
    #[error(
        "the CA could not check {name}: {why}; see that the name leads to this machine and that port 80 is \
         reached from outside"
    )]
    Unproved { name: String, why: String },
    #[error("the CA offers no check over HTTP for {0}")]
    NoHttp(String),
    #[error("the conversation with the CA broke off: {0}")]
    Broken(String),
    #[error("the CA took too long")]
    Late,
    #[error("the CA's certificate is not used: {0}")]
    Useless(#[from] PairError),
    #[error("{0:#}; free the disk, or give this user the folder")]
    Folder(anyhow::Error),
}

impl From<Error> for AskError {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::Refused(Box::new(problem)),
            Error::Timeout(_) => Self::Late,
            other => Self::Broken(chain(&other)),
        }
    }
}

/// An error with what lies behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(error) = inner {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        inner = error.source();
    }
    text
}

impl AskError {
    pub(super) fn is_rate_limit(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.r#type.as_deref() == Some(RATE_LIMITED))
    }

    /// For a terminal: what a CA says is somebody else's text.
    pub(super) fn words(&self) -> String {
        self.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).take(600).collect()
    }
}

impl Ca {
    pub(super) fn new(acme: &Acme, challenges: Arc<Challenges>) -> anyhow::Result<Self> {
        let caller = Caller::new(acme.ca_file.as_deref())?;
        Ok(Self { directory: acme.directory.clone(), email: acme.email.clone(), caller, challenges })
    }

    pub(super) fn directory(&self) -> &str {
        &self.directory
    }

    /// Key and chain as one text. `previous`: what it replaces, which some CAs like to know.
    pub(super) async fn ask(
        &self,
        folder: &Folder,
        names: &[Name],
        previous: Option<&Pair>,
    ) -> Result<String, AskError> {
        let outcome = match folder.account(&self.directory) {
            None => self.order(&self.new_account(folder).await?, names, previous).await,
            Some(known) => {
                let account = self.account(known).await?;
                match self.order(&account, names, previous).await {
                    // The CA has forgotten it: a test CA at every start, others never.
                    Err(AskError::Refused(problem)) if problem.r#type.as_deref() == Some(NO_ACCOUNT) => {
                        self.order(&self.new_account(folder).await?, names, None).await
                    }
                    outcome => outcome,
                }
            }
        };
        self.challenges.clear();
        outcome
    }

    async fn account(&self, credentials: AccountCredentials) -> Result<Account, Error> {
        let builder = Account::builder_with_http(Box::new(self.caller.clone()));
        builder.from_credentials(credentials).await
    }

    async fn new_account(&self, folder: &Folder) -> Result<Account, AskError> {
        let contact = self.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let wanted =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let builder = Account::builder_with_http(Box::new(self.caller.clone()));
        let (account, credentials) = builder.create(&wanted, self.directory.clone(), None).await?;
        folder.put_account(&self.directory, credentials).map_err(AskError::Folder)?;
        Ok(account)
    }

    async fn order(
        &self,
        account: &Account,
        names: &[Name],
        previous: Option<&Pair>,
    ) -> Result<String, AskError> {
        let identifiers: Vec<_> =
            names.iter().map(|name| Identifier::Dns(name.as_str().to_owned())).collect();
        let mut wanted = NewOrder::new(&identifiers);
        if let Some(id) = previous.and_then(identifier)
            && account.renewal_info(&id).await.is_ok()
        {
            wanted = wanted.replaces(id);
        }
        let mut order = account.new_order(&wanted).await?;
        self.prove(&mut order).await?;
        match order.poll_ready(&PATIENCE).await {
            Ok(OrderStatus::Ready) => {}
            Ok(_) | Err(Error::Api(_)) => return Err(reason(&mut order).await),
            Err(error) => return Err(error.into()),
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        Ok(format!("{key}{chain}"))
    }

    /// Lays out the answers and tells the CA to look.
    async fn prove(&self, order: &mut Order) -> Result<(), AskError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let http = authorization.challenge(ChallengeType::Http01);
            let mut challenge = http.ok_or_else(|| AskError::NoHttp(name.clone()))?;
            let answer = challenge.key_authorization().as_str().to_owned();
            if !self.challenges.lay(&challenge.token, answer) {
                return Err(AskError::Broken("the CA's token is none".to_owned()));
            }
            challenge.set_ready().await?;
        }
        Ok(())
    }

    /// The window in which the CA would like the renewal.
    pub(super) async fn suggestion(
        &self,
        credentials: AccountCredentials,
        pair: &Pair,
    ) -> Option<(SystemTime, SystemTime)> {
        let account = self.account(credentials).await.ok()?;
        let (info, _) = account.renewal_info(&identifier(pair)?).await.ok()?;
        let window = info.suggested_window;
        Some((window.start.into(), window.end.into()))
    }
}

fn identifier(pair: &Pair) -> Option<CertificateIdentifier<'static>> {
    let leaf = pair.key.cert.first()?;
    CertificateIdentifier::try_from(leaf).ok().map(CertificateIdentifier::into_owned)
}

/// What the CA did not like about an order: the first challenge that failed says it best.
async fn reason(order: &mut Order) -> AskError {
    let fallback = order.state().error.clone();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() || authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let name = authorization.identifier().to_string();
        let why = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(why) = why {
            return AskError::Unproved { name, why: why.to_string() };
        }
    }
    match fallback {
        Some(problem) => AskError::Refused(Box::new(problem)),
        None => AskError::Broken("the order is invalid, and the CA does not say why".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, detail: &str) -> Error {
        let text = format!(r#"{{"type":"{kind}","detail":"{detail}","status":429}}"#);
        Error::Api(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn failures_are_told_in_words_that_stay_on_their_line() {
        let error = AskError::from(problem(RATE_LIMITED, "too many\\u001b[31m\\n"));
        assert!(error.is_rate_limit());
        let words = error.words();
        assert!(words.starts_with("the CA refused") && words.contains("too many"), "{words}");
        assert!(!words.contains(['\x1b', '\n']));
        assert!(!AskError::from(problem("urn:x", "no")).is_rate_limit());
        assert_eq!(AskError::from(Error::Timeout(None)).words(), "the CA took too long");
        let inner =
            anyhow::anyhow!("connection refused").context("cannot reach the CA at ca.example.com:443");
        let words = AskError::from(Error::Other(inner.into())).words();
        assert!(words.contains("cannot reach") && words.contains("connection refused"), "{words}");
    }

    /// A CA that only knows when it would like a renewal; answers by path.
    async fn suggesting(dir: &std::path::Path, window: &'static str) -> (Acme, Pair) {
        use rustls::pki_types::pem::PemObject;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.use_authority_key_identifier_extension = true;
        let (chain, key) = (params.self_signed(&key).unwrap().pem(), key.serialize_pem());
        std::fs::write(dir.join("root.pem"), &chain).unwrap();
        let name = Name::parse("localhost").unwrap();
        let text = format!("{key}{chain}");
        let pair = crate::edge::front::pair::from_text(text.as_bytes(), &[name], SystemTime::now()).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let directory = format!(
            r#"{{"newNonce":"{base}/n","newAccount":"{base}/a","newOrder":"{base}/o","revokeCert":"{base}/r","keyChange":"{base}/k","renewalInfo":"{base}/info"}}"#
        );
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap_or(0) > 0 {}
                let body = if head.starts_with(b"GET /dir ") { directory.as_str() } else { window };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nretry-after: 21600\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        let acme = Acme {
            email: None,
            directory: format!("{base}/dir"),
            ca_file: Some(dir.join("root.pem")),
            ..crate::config::edge::EdgeSettings::default().acme
        };
        (acme, pair)
    }

    #[tokio::test]
    async fn a_ca_says_when_it_would_like_a_renewal() {
        use base64::Engine as _;
        let window = r#"{"suggestedWindow":{"start":"2030-01-01T00:00:00Z","end":"2030-01-02T00:00:00Z"}}"#;
        for (window, wanted) in
            [(window, Some(86_400)), (r#"{"suggestedWindow":{}}"#, None), ("no JSON", None)]
        {
            let dir = tempfile::tempdir().unwrap();
            let (acme, pair) = suggesting(dir.path(), window).await;
            let key = rcgen::KeyPair::generate().unwrap().serialize_der();
            let key = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(key);
            let text =
                format!(r#"{{"id":"https://ca/1","key_pkcs8":"{key}","directory":"{}"}}"#, acme.directory);
            let ca = Ca::new(&acme, Arc::default()).unwrap();
            let suggested = ca.suggestion(serde_json::from_str(&text).unwrap(), &pair).await;
            let length = suggested.map(|(from, until)| until.duration_since(from).unwrap().as_secs());
            assert_eq!(length, wanted, "{window}");
        }
    }
}
