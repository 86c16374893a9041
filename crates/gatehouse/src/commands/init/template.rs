//! The one text that a first configuration is made from.
//!
//! Why here: whatever was answered, the same keys stand in the same order, loopback is what is listened on, and nothing
//! that can be left to a default is fixed.
//!
//! Never here: key texts. Digests come in, digests go out.

use super::answers::{Answers, CHAT_KEY, Certificate, Front, Page};
use super::yaml::{Hints, Item, Value, render};

/// Requests of one key, or of one person in the chat, within a minute.
const REQUESTS_MAX: u64 = 30;
const WINDOW_SECONDS: u64 = 60;

/// What the text is made from, beside the answers.
#[derive(Clone, Debug)]
pub(super) struct Sheet<'a> {
    pub(super) answers: &'a Answers,
    /// How the head calls the file.
    pub(super) file: &'a str,
    /// Digest of the chat page's key.
    pub(super) chat_digest: &'a str,
    /// Digests of the other keys, in the order of their names.
    pub(super) digests: &'a [String],
    /// `None` in a draft: there is no such file yet.
    pub(super) chat_key_file: Option<&'a str>,
    pub(super) password_file: &'a str,
    pub(super) audit_file: &'a str,
    pub(super) data_dir: &'a str,
}

impl Sheet<'_> {
    pub(super) fn text(&self, hints: Hints) -> String {
        let mut sections = vec![self.gateway(), self.chat()];
        sections.push(if self.answers.serves_others() { self.edge() } else { nobody_else() });
        render(&self.head(), &sections, hints)
    }

    fn head(&self) -> String {
        let after = match self.answers.front {
            Front::Nginx => {
                "reload `gatehouse-gateway`, restart `gatehouse-chat`, and `gatehouse edge apply` for the site"
            }
            Front::Program => "start `gatehouse up --https` anew",
        };
        format!(
            "Gatehouse. `gatehouse init` wrote this file; it is yours to change.\n\
             Every key: `gatehouse reference`. After a change: `gatehouse check {}`, then {after}.\n\
             No secret stands here: keys are listed by their digests. `gatehouse keys new --id NAME` makes another one.",
            self.file
        )
    }

    fn gateway(&self) -> Item {
        let mut items = vec![
            Item::set("gateway.listen", "127.0.0.1:18789")
                .because("Others come through what stands in front of it, never to this port."),
            Item::set("gateway.trusted_proxies", vec!["127.0.0.1".to_owned()]),
            Item::Tables {
                path: "gateway.upstreams",
                more: "Further machines are further entries.".to_owned(),
                rows: vec![vec![
                    Item::set("gateway.upstreams[].name", "ollama"),
                    Item::set("gateway.upstreams[].url", self.answers.ollama.as_str()),
                    Item::hint("gateway.upstreams[].slots", 4),
                ]],
            },
            self.models(),
            self.auth(),
        ];
        if !self.answers.allow.is_empty() {
            let ips = Item::set("gateway.whitelist.ips", self.answers.networks())
                .because("`127.0.0.1` stays: the chat page asks from this machine.");
            items.push(Item::table("gateway.whitelist", vec![ips]));
        }
        items.push(Item::table(
            "gateway.rate_limit",
            vec![
                Item::set("gateway.rate_limit.max_requests", REQUESTS_MAX),
                Item::set("gateway.rate_limit.window_seconds", WINDOW_SECONDS),
            ],
        ));
        items.push(Item::table("gateway.audit", vec![Item::set("gateway.audit.file", self.audit_file)]));
        Item::table("gateway", items)
            .because("The gateway: who may call which model, how often, and what comes back.")
    }

    fn models(&self) -> Item {
        let models = &self.answers.models;
        if models.is_empty() {
            let words = "Every model that Ollama has is served, under its own name. To serve a choice, list them under `models`.";
            return Item::Note(words.to_owned());
        }
        let rows = models.iter().map(|model| {
            let mut row = vec![Item::set("gateway.models[].name", model.name.as_str())];
            row.extend(model.internal.as_deref().map(|name| Item::set("gateway.models[].internal", name)));
            row.extend([
                Item::hint("gateway.models[].context_tokens", 16_384),
                Item::hint("gateway.models[].keep_alive", "30m"),
            ]);
            row
        });
        let rows = rows.collect();
        Item::Tables { path: "gateway.models", more: String::new(), rows }
    }

    fn auth(&self) -> Item {
        let chat = vec![
            Item::set("gateway.auth.keys[].id", CHAT_KEY),
            Item::set("gateway.auth.keys[].digest", self.chat_digest),
            Item::set("gateway.auth.keys[].speaks_for_users", true),
            Item::table(
                "gateway.auth.keys[].rate_limit",
                vec![
                    Item::set("gateway.auth.keys[].rate_limit.enabled", false)
                        .because("The page as a whole is not limited; each person who uses it is."),
                ],
            ),
        ];
        let others = self.answers.keys.iter().zip(self.digests).map(|(id, digest)| {
            vec![
                Item::set("gateway.auth.keys[].id", id.as_str()),
                Item::set("gateway.auth.keys[].digest", digest.as_str()),
            ]
        });
        let rows = std::iter::once(chat).chain(others).collect();
        let more = "The first is the chat page's own. Take a key away by removing its lines and reloading."
            .to_owned();
        Item::table("gateway.auth", vec![Item::Tables { path: "gateway.auth.keys", more, rows }])
    }

    fn chat(&self) -> Item {
        let first = self.answers.models.first();
        let mut backend = vec![Item::set("chat.backend.api_base", "http://127.0.0.1:18789/v1")];
        backend.extend(first.map(|model| Item::set("chat.backend.model", model.name.as_str())));
        backend.extend(self.chat_key_file.map(|file| Item::set("chat.backend.api_key_file", file)));
        Item::table(
            "chat",
            vec![
                Item::table(
                    "chat.server",
                    vec![Item::set("chat.server.host", "127.0.0.1"), Item::set("chat.server.port", 8_080)],
                ),
                Item::table(
                    "chat.ui",
                    vec![Item::set("chat.ui.title", "Gatehouse"), Item::hint("chat.ui.locale", "en")],
                ),
                Item::table("chat.backend", backend),
                Item::set("chat.data_dir", self.data_dir),
            ],
        )
        .because("The chat page: a client of the gateway, with a key of its own.")
    }

    fn edge(&self) -> Item {
        let answers = self.answers;
        let domain = match answers.names.as_slice() {
            [only] => Value::Text(only.clone()),
            several => Value::Texts(several.to_vec()),
        };
        let mut items = vec![Item::Set { path: "edge.domain", value: domain, more: String::new() }];
        items.extend(tls(&answers.certificate));
        if answers.certificate != Certificate::Off {
            items.push(Item::hint("edge.hsts_seconds", 300));
        }
        items.extend(self.page());
        if let Some(email) = &answers.email {
            items.push(Item::table("edge.acme", vec![Item::set("edge.acme.email", email.as_str())]));
        }
        let words = match answers.front {
            Front::Nginx => "What stands in front: nginx, HTTPS and certificates, the firewall.",
            Front::Program => "What stands in front: `gatehouse up --https` itself, without nginx.",
        };
        Item::table("edge", items).because(words)
    }

    fn page(&self) -> Option<Item> {
        let answers = self.answers;
        let mut items = Vec::new();
        if answers.page == Page::Off {
            items.push(Item::set("edge.page.address", "off"));
        } else if !answers.allow.is_empty() {
            items.push(
                Item::set("edge.page.allow", answers.networks()).because("The same list as the gateway's."),
            );
        }
        if answers.asks_for_passwords() {
            let reason = "The name is the id of a key, the password the key itself.";
            items.push(Item::set("edge.page.password_file", self.password_file).because(reason));
        }
        (!items.is_empty()).then(|| Item::table("edge.page", items))
    }
}

fn tls(certificate: &Certificate) -> Vec<Item> {
    match certificate {
        Certificate::Asked => vec![Item::set("edge.tls", "certbot")],
        Certificate::Off => vec![Item::set("edge.tls", "off")],
        Certificate::Own(files) => vec![
            Item::set("edge.tls", "files"),
            Item::set("edge.certificate", &*files.chain.to_string_lossy()),
            Item::set("edge.certificate_key", &*files.key.to_string_lossy()),
        ],
    }
}

fn nobody_else() -> Item {
    let words = "There is no section `edge`: gateway and page serve this machine alone. To let others in, write\n  \
                 edge:\n    domain: \"ai.example.com\"\nand run `gatehouse edge cert` and `gatehouse edge apply`.";
    Item::Note(words.to_owned())
}
