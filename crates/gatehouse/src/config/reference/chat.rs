//! The keys of the `chat` section.
//!
//! Why here: see [`super`].

use crate::config::setting::{Setting, choice, number, table, text, texts};

pub(super) const ROWS: &[Setting] = &[
    table("chat.server", "Where the page is served."),
    text(
        "chat.server.host",
        "127.0.0.1",
        "IP address or `localhost`",
        "Only loopback addresses are accepted, because the page has no accounts: whoever reaches it can use the models.",
    ),
    number("chat.server.port", 8_080, (1, 65_535), "port", "Port of the page."),
    texts(
        "chat.server.names",
        "`edge.domain`",
        "list of host names",
        "Names under which a proxy on this machine serves the page; it answers to no others. Each browser then has chats of its own.",
    ),
    table("chat.ui", "What the page says of itself."),
    text("chat.ui.title", "Gatehouse", "text", "Title of the page."),
    text("chat.ui.description", "", "text", "One line under the title of an empty chat."),
    choice(
        "chat.ui.locale",
        "auto",
        &["auto", "en", "zh"],
        "Language of the page; `auto` follows the browser.",
    ),
    table("chat.backend", "The gateway that answers."),
    text(
        "chat.backend.api_base",
        "http://127.0.0.1:18789/v1",
        "`http://host:port/v1`",
        "Base URL of the OpenAI format at the gateway.",
    ),
    text(
        "chat.backend.model",
        "",
        "model name",
        "Model of a new chat. Absent: the first that the gateway lists.",
    ),
    text(
        "chat.backend.api_key",
        "",
        "key",
        "Key of the chat site in plain text, accepted with a warning. It should be allowed to speak for users.",
    ),
    text(
        "chat.backend.api_key_file",
        "",
        "file path, or `credential:NAME`",
        "File that holds the key; a unit that passes a credential of the file's name has it read from there. Without either key the environment variable `GATEHOUSE_API_KEY` is read, then the credential `chat.key`, which the package's unit passes.",
    ),
    text(
        "chat.data_dir",
        "",
        "folder path",
        "Where conversations are kept, relative to the configuration file. Absent: `$STATE_DIRECTORY`, which a unit's `StateDirectory=` sets, else `$XDG_DATA_HOME/gatehouse`, else `~/.local/share/gatehouse`.",
    ),
    choice(
        "chat.log_level",
        "info",
        &["error", "warn", "info", "debug", "trace"],
        "Least severity that is logged. No level logs questions, answers or keys.",
    ),
    choice("chat.log_format", "plain", &["plain", "json"], "`plain` for people, `json` for collectors."),
];
