-- Numbers of 64 bits are stored by their bits: those that SQL orders (positions, seqs, users, conversations)
-- stay below 2^63, the others may come out negative. Nothing here refers to another table by a foreign key, and
-- the keys of everything that belongs to a conversation begin with it, so that those tables can be partitioned by
-- it.

-- One row: who this store is.
CREATE TABLE store (
    id     integer PRIMARY KEY CHECK (id = 1),
    epoch  bigint  NOT NULL CHECK (epoch <> 0),
    log_id bigint  NOT NULL
);

-- One row, locked by whoever registers an account: ids without holes, in the order of registration.
CREATE TABLE registrations (
    id    integer PRIMARY KEY CHECK (id = 1),
    users bigint  NOT NULL
);
INSERT INTO registrations VALUES (1, 0);

-- People and devices -------------------------------------------------------------------------------------

CREATE TABLE users (
    id            bigint PRIMARY KEY,
    name          text   COLLATE "C" NOT NULL UNIQUE,
    display_name  text   NOT NULL,
    avatar        text   NOT NULL,
    status        text   NOT NULL,
    password_hash text   NOT NULL,
    version       bigint NOT NULL,
    created_at    bigint NOT NULL
);

CREATE TABLE sessions (
    id           bigint   PRIMARY KEY,
    user_id      bigint   NOT NULL,
    device_id    text     NOT NULL,
    class        smallint NOT NULL,
    device_name  text     NOT NULL,
    token_hash   bytea    NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    created_at   bigint   NOT NULL,
    last_seen_at bigint   NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id);

-- The log ------------------------------------------------------------------------------------------------

-- Bodies are erased in place; nothing else ever changes.
CREATE TABLE events (
    conversation bigint   NOT NULL,
    seq          bigint   NOT NULL,
    -- The transaction's number times 2^20, plus the write's place in its batch.
    position     bigint   NOT NULL,
    ordinal      bigint   NOT NULL,
    roster       bigint   NOT NULL,
    sender       bigint   NOT NULL,
    client_id    bytea    NOT NULL CHECK (length(client_id) = 16),
    fingerprint  bytea    NOT NULL CHECK (length(fingerprint) = 16),
    at           bigint   NOT NULL,
    kind         smallint NOT NULL,
    recalled     boolean  NOT NULL DEFAULT false,
    target       bigint   NOT NULL,
    expires_at   bigint   NOT NULL,
    -- Group events: whom it is about.
    users        bigint[],
    -- Group events: a role.
    role         smallint,
    -- Group events: a name. Reactions: the reaction.
    label        text,
    body         bytea    NOT NULL,
    PRIMARY KEY (conversation, seq),
    CONSTRAINT events_requests UNIQUE (conversation, sender, client_id)
);
CREATE INDEX events_by_position ON events (position);

CREATE TABLE conversations (
    id            bigint  PRIMARY KEY,
    name          text    NOT NULL,
    disbanded     boolean NOT NULL DEFAULT false,
    member_count  bigint  NOT NULL,
    -- Its newest event. 0 only within the transaction that makes it.
    head_seq      bigint  NOT NULL,
    head_ordinal  bigint  NOT NULL,
    head_position bigint  NOT NULL,
    head_at       bigint  NOT NULL,
    roster        bigint  NOT NULL
) WITH (fillfactor = 70);

-- How far members have got.
CREATE TABLE cursors (
    conversation bigint NOT NULL,
    user_id      bigint NOT NULL,
    delivered    bigint NOT NULL,
    read         bigint NOT NULL,
    -- Displayable messages up to `read`.
    read_ordinal bigint NOT NULL,
    -- When it was last moved by its user; 0: never, only by sending.
    position     bigint NOT NULL,
    PRIMARY KEY (conversation, user_id)
) WITH (fillfactor = 70);
CREATE INDEX cursors_of_conversation ON cursors (conversation, position) WHERE position > 0;
CREATE INDEX cursors_by_position ON cursors (position) WHERE position > 0;

-- Membership intervals. The event by which a member went is repeated here: it is their visible head.
CREATE TABLE members (
    conversation   bigint   NOT NULL,
    user_id        bigint   NOT NULL,
    joined_seq     bigint   NOT NULL,
    joined_ordinal bigint   NOT NULL,
    role           smallint NOT NULL,
    left_seq       bigint,
    left_ordinal   bigint,
    left_position  bigint,
    left_at        bigint,
    PRIMARY KEY (conversation, user_id, joined_seq)
);
CREATE INDEX members_by_user ON members (user_id, conversation, joined_seq);
CREATE UNIQUE INDEX members_now ON members (conversation, user_id) WHERE left_seq IS NULL;

-- Groups that have not ended, by member now. Changed only under the lock of the user's row.
CREATE TABLE group_counts (
    user_id bigint PRIMARY KEY,
    groups  bigint NOT NULL
);

CREATE TABLE edits (
    conversation bigint NOT NULL,
    target       bigint NOT NULL,
    seq          bigint NOT NULL,
    PRIMARY KEY (conversation, target, seq)
);

CREATE TABLE reactions (
    conversation bigint NOT NULL,
    target       bigint NOT NULL,
    user_id      bigint NOT NULL,
    seq          bigint NOT NULL,
    reaction     text   NOT NULL,
    PRIMARY KEY (conversation, target, user_id)
);

-- What other processes have to hear of beside the log; kept for an hour.
CREATE TABLE notices (
    position   bigint      NOT NULL,
    -- 1: a profile changed. 2, 3, 4: a session was revoked, replaced, displaced.
    kind       smallint    NOT NULL,
    user_id    bigint      NOT NULL,
    session_id bigint      NOT NULL,
    made_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX notices_by_position ON notices (position);
CREATE INDEX notices_by_age ON notices (made_at);

-- The append -------------------------------------------------------------------------------------------------

-- Appends messages, as one statement: every lock, look-up, check and row of a batch in one round trip.
--
-- The arrays are columns, a row a message, in the order of the batch. No two rows have the same client id in one
-- conversation, and where a row replies to something, no other row is of its conversation: so none depends on what
-- another one does.
--   low, high the two of a 1:1 conversation (both the same for a user's own log), the sender among them; 0, 0 for a
--             group; -1, -1 where the sender can never write
-- A row comes back for each: its verdict (0 appended, 1 appended before, 2 conflict, 3 not found, 4 forbidden,
-- 5 gone) and, for the first two, the event. What is new comes back without what the caller knows.
CREATE FUNCTION append_messages(
    indexes bigint[], conversations_ bigint[], senders bigint[], lows bigint[], highs bigint[], client_ids bytea[],
    fingerprints bytea[], times bigint[], kinds smallint[], replies bigint[], expiries bigint[], bodies bytea[]
) RETURNS TABLE (
    at_index bigint, verdict integer, e_position bigint, e_seq bigint, e_ordinal bigint, e_roster bigint, e_at bigint,
    e_kind smallint, e_target bigint, e_expires_at bigint, e_recalled boolean, e_users bigint[], e_role smallint,
    e_label text, e_body bytea
) LANGUAGE plpgsql
-- Planned once, every look-up by an index, whatever the statistics of a young table say: nothing here joins a batch
-- with itself, so what is looped over is looked up.
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $function$
#variable_conflict use_column
DECLARE
    -- Times are ordered without their sign.
    sign_bit CONSTANT bigint := (-9223372036854775807) - 1;
    base bigint;
BEGIN
    -- The locks, in the order of ids. What two people, or one, say for the first time makes the conversation.
    INSERT INTO conversations (id, name, member_count, head_seq, head_ordinal, head_position, head_at, roster)
    SELECT DISTINCT i.conversation, '', CASE WHEN i.low = i.high THEN 1 ELSE 2 END, 0, 0, 0, 0, 0
    FROM unnest(conversations_, lows, highs, replies) AS i (conversation, low, high, reply)
    WHERE i.low > 0 AND i.reply = 0
      AND NOT EXISTS (SELECT 1 FROM conversations c WHERE c.id = i.conversation)
      AND EXISTS (SELECT 1 FROM users u WHERE u.id = i.low)
      AND EXISTS (SELECT 1 FROM users u WHERE u.id = i.high)
    ORDER BY 1
    ON CONFLICT DO NOTHING;
    PERFORM 1 FROM conversations c WHERE c.id = ANY (conversations_) ORDER BY c.id FOR NO KEY UPDATE;
    base := pg_current_xact_id()::text::bigint << 20;

    -- A statement of its own: its snapshot has whatever the lock was waited for.
    RETURN QUERY
    WITH input AS MATERIALIZED (
        SELECT *
        FROM unnest(indexes, conversations_, senders, lows, highs, client_ids, fingerprints, times, kinds, replies,
                    expiries, bodies)
             AS i (index, conversation, sender, low, high, client_id, fingerprint, at, kind, reply, expires_at, body)
    ), judged AS MATERIALIZED (
        SELECT i.*, c.head_seq, c.head_ordinal, c.head_at, c.roster, e.seq AS known_seq,
            CASE
                WHEN e.seq IS NOT NULL THEN CASE WHEN e.fingerprint = i.fingerprint THEN 1 ELSE 2 END
                WHEN i.low < 0 OR c.id IS NULL THEN 3
                WHEN i.low = 0 AND m.joined_seq IS NULL THEN 3
                WHEN i.low = 0 AND m.left_seq IS NOT NULL THEN 4
                WHEN i.low = 0 AND c.disbanded THEN 5
                WHEN i.reply <> 0 AND NOT EXISTS (
                    SELECT 1 FROM events t, members s
                    WHERE t.conversation = i.conversation AND t.seq = i.reply AND t.kind BETWEEN 1 AND 31
                      AND s.conversation = i.conversation AND s.user_id = i.sender
                      AND s.joined_seq <= i.reply AND (s.left_seq IS NULL OR s.left_seq >= i.reply)) THEN 3
                ELSE 0
            END AS verdict
        FROM input i
            LEFT JOIN conversations c ON c.id = i.conversation
            LEFT JOIN events e ON e.conversation = i.conversation AND e.sender = i.sender
                              AND e.client_id = i.client_id
            LEFT JOIN LATERAL (
                SELECT s.joined_seq, s.left_seq FROM members s
                WHERE i.low = 0 AND s.conversation = i.conversation AND s.user_id = i.sender
                ORDER BY s.joined_seq DESC LIMIT 1
            ) m ON true
    ), placed AS MATERIALIZED (
        -- Only what is new takes a seq.
        SELECT j.*, j.head_seq + count(*) FILTER (WHERE j.verdict = 0) OVER earlier AS seq,
            j.head_ordinal + count(*) FILTER (WHERE j.verdict = 0) OVER earlier AS ordinal,
            greatest(j.head_at # sign_bit, max(j.at # sign_bit) FILTER (WHERE j.verdict = 0) OVER earlier) # sign_bit
                AS placed_at
        FROM judged j
        WINDOW earlier AS (PARTITION BY j.conversation ORDER BY j.index)
    ), logged AS (
        INSERT INTO events (conversation, seq, position, ordinal, roster, sender, client_id, fingerprint, at, kind,
                            target, expires_at, body)
        SELECT p.conversation, p.seq, base + p.index, p.ordinal, p.roster, p.sender, p.client_id, p.fingerprint,
            p.placed_at, p.kind, 0, p.expires_at, p.body
        FROM placed p WHERE p.verdict = 0 ORDER BY p.index
    ), newest AS MATERIALIZED (
        SELECT DISTINCT ON (p.conversation) p.conversation, p.seq, p.ordinal, p.index, p.placed_at
        FROM placed p WHERE p.verdict = 0 ORDER BY p.conversation, p.seq DESC
    ), headed AS (
        UPDATE conversations c
        SET head_seq = n.seq, head_ordinal = n.ordinal, head_position = base + n.index, head_at = n.placed_at
        FROM newest n WHERE c.id = n.conversation
    ), joined AS (
        INSERT INTO members (conversation, user_id, joined_seq, joined_ordinal, role)
        SELECT DISTINCT p.conversation, u.id, 1, 0, 0
        FROM placed p CROSS JOIN LATERAL (VALUES (p.low), (p.high)) AS u (id)
        WHERE p.verdict = 0 AND p.head_seq = 0
    ), moved AS (
        -- Who sends has read, and has, what was there.
        INSERT INTO cursors AS k (conversation, user_id, delivered, read, read_ordinal, position)
        SELECT p.conversation, p.sender, max(p.seq), max(p.seq), max(p.ordinal), 0
        FROM placed p WHERE p.verdict = 0 GROUP BY p.conversation, p.sender ORDER BY p.conversation, p.sender
        ON CONFLICT (conversation, user_id) DO UPDATE
        SET delivered = greatest(k.delivered, excluded.delivered), read = greatest(k.read, excluded.read),
            read_ordinal = greatest(k.read_ordinal, excluded.read_ordinal)
    )
    SELECT p.index, p.verdict, coalesce(e.position, base + p.index), coalesce(e.seq, p.seq),
        coalesce(e.ordinal, p.ordinal), coalesce(e.roster, p.roster), coalesce(e.at, p.placed_at), e.kind, e.target,
        e.expires_at, e.recalled, e.users, e.role, e.label, e.body
    FROM placed p
        LEFT JOIN events e ON p.verdict = 1 AND e.conversation = p.conversation AND e.seq = p.known_seq
    ORDER BY p.index;
END
$function$;
