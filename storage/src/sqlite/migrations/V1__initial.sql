-- Nearly every row has a sum, see `sum.rs`: who reads a row proves it. A row that is not found proves nothing by that, so
-- where its absence would be an answer it is looked for in a second b-tree, or counted elsewhere.
--
-- Numbers of 64 bits are stored by their bits: those that SQL orders (positions, seqs, users, conversations)
-- stay below 2^63, the others may come out negative.

-- One row: who this store is and how far it has got.
CREATE TABLE store (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    epoch      INTEGER NOT NULL CHECK (epoch <> 0),
    log_id     INTEGER NOT NULL,
    -- Signs the tokens of this past.
    token_key  BLOB    NOT NULL CHECK (length(token_key) = 32),
    -- The one that is in `generations` last.
    generation INTEGER NOT NULL,
    -- Transactions so far, also those that give no position.
    commits    INTEGER NOT NULL,
    -- The newest position given, to an event or to a batch of cursors.
    position   INTEGER NOT NULL,
    -- Over all events, see `sum.rs`.
    chain      INTEGER NOT NULL,
    -- Of log id, generation, commits, position and chain, see `sum.rs`.
    sum        INTEGER NOT NULL,
    -- Everything up to this position is in the derived tables. It may be below the newest event's: see `behind.rs`.
    -- 0 has them made anew.
    watermark  INTEGER NOT NULL,
    -- Of the watermark, unless that is 0.
    watermark_sum INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The starts of the writer, in their order. Those of one log id are one past.
CREATE TABLE generations (
    number      INTEGER PRIMARY KEY,
    id          INTEGER NOT NULL UNIQUE,
    epoch       INTEGER NOT NULL,
    log_id      INTEGER NOT NULL,
    -- The sum of its past's key, which is in `store`.
    key_sum     INTEGER NOT NULL,
    -- The newest position when it began, and when the next one of the same past began.
    begins      INTEGER NOT NULL,
    ends        INTEGER,
    -- For people: milliseconds since 1970.
    at          INTEGER NOT NULL,
    why         TEXT    NOT NULL,
    -- The file that the store was in: a copy is another one. Nanoseconds since 1970, where the file system knows.
    inode       INTEGER NOT NULL,
    born        INTEGER,
    -- An operator has not said yet that `why` is known.
    unconfirmed INTEGER NOT NULL
) STRICT;

-- People and devices -------------------------------------------------------------------------------------

CREATE TABLE users (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    display_name  TEXT    NOT NULL,
    avatar        TEXT    NOT NULL,
    status        TEXT    NOT NULL,
    password_hash TEXT    NOT NULL,
    version       INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    sum           INTEGER NOT NULL
) STRICT;

-- Each is the second one of its key: what one does not find, the other one must not find either.
CREATE INDEX users_again_by_id ON users (id);
CREATE INDEX users_again_by_name ON users (name);

-- The words of people's names, see `words.rs`. A row that is not found proves nothing by that, so a damaged one can hide
-- somebody from a search; it shows nobody whom the search does not fit.
CREATE TABLE user_words (
    user INTEGER NOT NULL,
    word TEXT    NOT NULL,
    PRIMARY KEY (user, word)
) STRICT, WITHOUT ROWID;

CREATE INDEX user_words_by_word ON user_words (word, user);

CREATE TABLE sessions (
    id           INTEGER PRIMARY KEY,
    user         INTEGER NOT NULL REFERENCES users (id),
    device_id    TEXT    NOT NULL,
    class        INTEGER NOT NULL,
    device_name  TEXT    NOT NULL,
    token_hash   BLOB    NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    created_at   INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    sum          INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX sessions_by_device ON sessions (user, device_id);
-- As those of users.
CREATE INDEX sessions_again_by_user ON sessions (user);
CREATE INDEX sessions_again_by_token ON sessions (token_hash);

-- The log ------------------------------------------------------------------------------------------------

-- Appended by position, the commit order. Bodies are erased in place; nothing else ever changes.
CREATE TABLE events (
    position     INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    ordinal      INTEGER NOT NULL,
    roster       INTEGER NOT NULL,
    sender       INTEGER NOT NULL,
    client_id    BLOB    NOT NULL CHECK (length(client_id) = 16),
    -- The request's fingerprint, 16 bytes, then the sum of the row as it is, 8 bytes, little-endian.
    proof        BLOB    NOT NULL CHECK (length(proof) = 24),
    at           INTEGER NOT NULL,
    kind         INTEGER NOT NULL,
    target       INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    recalled     INTEGER NOT NULL,
    -- Group events: whom it is about, four bytes each, little-endian.
    users        BLOB,
    -- Group events: a role.
    role         INTEGER,
    -- Group events: the settings that it changes, as an object in JSON. Reactions: the reaction. Entries: the class and
    -- the key, see `entry.rs`.
    text         TEXT,
    body         BLOB    NOT NULL
) STRICT;

-- How far members have got. What sending implies is derived, the rest is only here. Whoever ever was a member has a row.
CREATE TABLE cursors (
    conversation INTEGER NOT NULL,
    user         INTEGER NOT NULL,
    delivered    INTEGER NOT NULL,
    read         INTEGER NOT NULL,
    -- Displayable messages up to `read`.
    read_ordinal INTEGER NOT NULL,
    -- When it was last moved by its user; 0: never, only by sending.
    position     INTEGER NOT NULL,
    sum          INTEGER NOT NULL,
    PRIMARY KEY (conversation, user)
) STRICT, WITHOUT ROWID;

CREATE INDEX cursors_by_position ON cursors (conversation, position) WHERE position > 0;
-- What moved at all since a position, where that is less than what one user is a member of.
CREATE INDEX cursors_moved ON cursors (position) WHERE position > 0;

-- What is to be erased -------------------------------------------------------------------------------------

-- Recalled messages whose edits still have bodies. Whoever reads an edit looks here: it has none then.
CREATE TABLE erasures (
    conversation INTEGER NOT NULL,
    target       INTEGER NOT NULL,
    -- The newest edit that is not erased.
    next         INTEGER NOT NULL,
    sum          INTEGER NOT NULL,
    PRIMARY KEY (conversation, target)
) STRICT, WITHOUT ROWID;

-- As those of users.
CREATE INDEX erasures_again ON erasures (conversation, target);

-- Messages and edits that expire, or have and still have their bodies. A time that is not the event's tells damage.
CREATE TABLE expirations (
    conversation INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    PRIMARY KEY (conversation, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX expirations_by_time ON expirations (expires_at);

-- Derived from the log: can be deleted and made again from it --------------------------------------------

CREATE TABLE event_seqs (
    conversation INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    PRIMARY KEY (conversation, seq)
) STRICT, WITHOUT ROWID;

-- The client id comes first: ids that are ordered by time are appended.
CREATE TABLE requests (
    client_id    BLOB    NOT NULL,
    conversation INTEGER NOT NULL,
    sender       INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    PRIMARY KEY (client_id, conversation, sender)
) STRICT, WITHOUT ROWID;

CREATE TABLE conversations (
    id            INTEGER PRIMARY KEY,
    -- Groups: name and the like, as an object in JSON; empty if there are none, see `setting.rs`.
    settings      TEXT    NOT NULL,
    disbanded     INTEGER NOT NULL,
    member_count  INTEGER NOT NULL,
    -- Rows that `members` has for it.
    stays         INTEGER NOT NULL,
    -- 1:1 conversations: why nobody may write there, see `entry.rs`. 0: it is open.
    closed        INTEGER NOT NULL,
    -- Of all above.
    sum           INTEGER NOT NULL,
    -- Its newest event.
    head_seq      INTEGER NOT NULL,
    head_ordinal  INTEGER NOT NULL,
    head_position INTEGER NOT NULL,
    head_at       INTEGER NOT NULL,
    roster        INTEGER NOT NULL,
    -- Of the id and the newest event.
    head_sum      INTEGER NOT NULL
) STRICT;

-- As `cursors_moved`.
CREATE INDEX conversations_by_head ON conversations (head_position);

-- Membership intervals. The event by which a member went is repeated here, it is their visible head, and so is the
-- group as that event left it: they see nothing of what it became.
CREATE TABLE members (
    conversation   INTEGER NOT NULL,
    user           INTEGER NOT NULL REFERENCES users (id),
    joined_seq     INTEGER NOT NULL,
    joined_ordinal INTEGER NOT NULL,
    role           INTEGER NOT NULL,
    left_seq       INTEGER,
    left_ordinal   INTEGER,
    left_position  INTEGER,
    left_at        INTEGER,
    left_settings  TEXT,
    left_count     INTEGER,
    -- No later interval of the same user: users may come and go any number of times, their lists have the newest.
    newest         INTEGER NOT NULL,
    -- Where the user's earlier interval begins; 0: there is none.
    previous       INTEGER NOT NULL,
    sum            INTEGER NOT NULL,
    PRIMARY KEY (conversation, user, joined_seq)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX members_newest ON members (user, conversation) WHERE newest = 1;
CREATE UNIQUE INDEX members_now ON members (conversation, user) WHERE left_seq IS NULL;
CREATE INDEX members_left ON members (conversation, left_seq) WHERE left_seq IS NOT NULL;

-- By user: groups that have not ended of which they are a member now, and conversations of which they ever were one.
CREATE TABLE group_counts (
    user          INTEGER PRIMARY KEY,
    groups        INTEGER NOT NULL,
    conversations INTEGER NOT NULL,
    sum           INTEGER NOT NULL
) STRICT;

CREATE TABLE edits (
    conversation INTEGER NOT NULL,
    target       INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    -- Of the row and of the seq of the edit before it.
    sum          INTEGER NOT NULL,
    PRIMARY KEY (conversation, target, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE reactions (
    conversation INTEGER NOT NULL,
    target       INTEGER NOT NULL,
    user         INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    reaction     TEXT    NOT NULL,
    sum          INTEGER NOT NULL,
    PRIMARY KEY (conversation, target, seq)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX reactions_by_user ON reactions (conversation, target, user);

-- Reactions that were replaced or taken back by the event `until`, where somebody came or went between the two: whoever
-- sees the first event and not the second sees them still.
CREATE TABLE past_reactions (
    conversation INTEGER NOT NULL,
    target       INTEGER NOT NULL,
    user         INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    reaction     TEXT    NOT NULL,
    until        INTEGER NOT NULL,
    sum          INTEGER NOT NULL,
    PRIMARY KEY (conversation, target, seq)
) STRICT, WITHOUT ROWID;

-- How many rows the three above have for a message. A message without any has no row.
CREATE TABLE message_counts (
    conversation INTEGER NOT NULL,
    message      INTEGER NOT NULL,
    edits        INTEGER NOT NULL,
    reactions    INTEGER NOT NULL,
    past         INTEGER NOT NULL,
    -- The seq of the newest edit, 0 without one.
    last_edit    INTEGER NOT NULL,
    sum          INTEGER NOT NULL,
    PRIMARY KEY (conversation, message)
) STRICT, WITHOUT ROWID;

-- As those of users.
CREATE INDEX message_counts_again ON message_counts (conversation, message);

-- The present entries of users' own logs, see `entry.rs`.
CREATE TABLE entries (
    conversation INTEGER NOT NULL,
    key          TEXT    NOT NULL,
    -- The newest event of the key, which has the value.
    seq          INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    class        INTEGER NOT NULL,
    sum          INTEGER NOT NULL,
    PRIMARY KEY (conversation, key)
) STRICT, WITHOUT ROWID;

-- What rules count; and as those of users, for one key of one class.
CREATE INDEX entries_by_class ON entries (conversation, class, at, seq);
CREATE INDEX entries_again ON entries (conversation, key);
