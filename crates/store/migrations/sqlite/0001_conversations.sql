-- Conversations: chats, their message trees, and the runs that write answers.
-- Times are unix milliseconds. Ids are made by the caller. A published migration never changes: a new file follows.

CREATE TABLE chat (
    id         TEXT    NOT NULL PRIMARY KEY,
    owner      TEXT    NOT NULL,
    title      TEXT    NOT NULL,
    head_id    TEXT,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    rev        INTEGER NOT NULL
) STRICT;
CREATE INDEX chat_by_owner ON chat (owner, updated_ms, id);

-- The pair (chat_id, parent_id) is the foreign key: a parent in another chat cannot be written at all.
-- No cascade along parents: SQLite bounds the depth of cascades, and a long chat is deeper. The check is deferred instead.
CREATE TABLE message (
    id                TEXT    NOT NULL PRIMARY KEY,
    chat_id           TEXT    NOT NULL REFERENCES chat (id) ON DELETE CASCADE,
    position          INTEGER NOT NULL,
    parent_id         TEXT,
    client_id         TEXT,
    role              TEXT    NOT NULL CHECK (role IN ('user', 'assistant')),
    model             TEXT,
    status            TEXT    NOT NULL CHECK (status IN ('running', 'done', 'stopped', 'cut', 'failed')),
    failure           TEXT,
    prompt_tokens     INTEGER,
    output_tokens     INTEGER,
    seconds           REAL,
    tokens_per_second REAL,
    created_ms        INTEGER NOT NULL,
    UNIQUE (chat_id, id),
    UNIQUE (chat_id, position),
    FOREIGN KEY (chat_id, parent_id) REFERENCES message (chat_id, id) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE INDEX message_by_parent ON message (chat_id, parent_id);
CREATE UNIQUE INDEX message_by_client ON message (chat_id, client_id) WHERE client_id IS NOT NULL;

-- Large values live beside the tree, so that walking it reads no text.
CREATE TABLE message_text (
    message_id TEXT NOT NULL PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
    text       TEXT NOT NULL,
    thinking   TEXT NOT NULL
) STRICT;

CREATE TABLE message_image (
    message_id TEXT    NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    media_type TEXT    NOT NULL,
    bytes      BLOB    NOT NULL,
    PRIMARY KEY (message_id, position)
) STRICT;

CREATE TABLE run (
    id         TEXT    NOT NULL PRIMARY KEY,
    chat_id    TEXT    NOT NULL REFERENCES chat (id) ON DELETE CASCADE,
    message_id TEXT    NOT NULL UNIQUE REFERENCES message (id) ON DELETE CASCADE,
    state      TEXT    NOT NULL CHECK (state IN ('running', 'ended')),
    seq        INTEGER NOT NULL
) STRICT;
CREATE INDEX run_by_chat ON run (chat_id);
-- Two answers at once in one chat cannot be written, whatever the program does.
CREATE UNIQUE INDEX run_alone ON run (chat_id) WHERE state = 'running';

-- The pieces of an answer while it is written; folded into message_text when the run ends.
CREATE TABLE run_event (
    run_id TEXT    NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    seq    INTEGER NOT NULL,
    kind   TEXT    NOT NULL CHECK (kind IN ('text', 'thinking')),
    body   TEXT    NOT NULL,
    PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;
