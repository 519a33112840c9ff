-- Numbers of 64 bits are stored by their bits: those that SQL orders (positions, seqs, users, conversations)
-- stay below 2^63, the others may come out negative. Nothing here refers to another table by a foreign key, and
-- the keys of everything that belongs to a conversation begin with it, so that those tables can be partitioned by
-- it.

-- Whose past this is --------------------------------------------------------------------------------------

-- One row: who this store is, and in which server and when that was last confirmed. NULL where the server does not say.
CREATE TABLE store (
    id           integer PRIMARY KEY CHECK (id = 1),
    epoch        bigint  NOT NULL CHECK (epoch <> 0),
    log_id       bigint  NOT NULL,
    -- Signs the tokens of this past.
    token_key    bytea   NOT NULL CHECK (length(token_key) = 32),
    -- The present one of `generations`.
    generation   bigint  NOT NULL,
    -- Positions are made of the numbers of transactions plus this.
    past_offset  bigint  NOT NULL DEFAULT 0 CHECK (past_offset >= 0),
    -- Of the files of the server; of the database within it.
    system_id    bigint,
    database_id  bigint,
    timeline     text,
    -- When the server was started.
    started      timestamptz,
    -- The number of the transaction that wrote this row. Whoever writes it sets it, so that only a copy of the row was
    -- written by another one than it says.
    written_by   bigint  NOT NULL,
    -- True from before the first row of a copied store comes until the whole of it was compared with its source:
    -- nothing may be served from what is between.
    filling      boolean NOT NULL DEFAULT false
);

-- Stretches of the past during which nothing can have happened behind the store's back: one start of the server each.
CREATE TABLE generations (
    -- In their order.
    number bigint PRIMARY KEY,
    id     bigint NOT NULL UNIQUE,
    -- The past that it belongs to.
    log_id bigint NOT NULL,
    -- The newest position when it began, and when the next one of the same past did.
    begins bigint NOT NULL,
    ends   bigint,
    -- Milliseconds since 1970.
    at     bigint NOT NULL,
    why    text   NOT NULL
);

-- A row for each writer: which batch of other than messages was the last that it committed. It proves that batch to a
-- writer that has lost the answer: only the transaction of the batch can have written it.
CREATE TABLE writers (
    id      bigint      PRIMARY KEY,
    batch   bigint      NOT NULL,
    used_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Raises IM001 unless the store is in this generation and the server was started then (NULL: it does not say). Returns
-- what is added to the numbers of transactions. It sees what its caller's statement sees.
CREATE FUNCTION offset_in(generation_ bigint, started_ timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE AS $function$
DECLARE
    found_generation bigint;
    found_offset bigint;
BEGIN
    SELECT s.generation, s.past_offset INTO found_generation, found_offset FROM store s WHERE s.id = 1;
    IF found_generation IS DISTINCT FROM generation_ THEN
        RAISE EXCEPTION 'the store is in another generation' USING ERRCODE = 'IM001';
    END IF;
    -- Apart, because who may not call it may not even run a statement that has it.
    IF started_ IS NOT NULL THEN
        IF pg_postmaster_start_time() <> started_ THEN
            RAISE EXCEPTION 'the server was started anew' USING ERRCODE = 'IM001';
        END IF;
    END IF;
    RETURN found_offset;
END
$function$;

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

-- The words of people's names, see `words.rs`, in the order of their bytes.
CREATE TABLE user_words (
    user_id bigint           NOT NULL,
    word    text COLLATE "C" NOT NULL,
    PRIMARY KEY (user_id, word)
);

CREATE INDEX user_words_by_word ON user_words (word, user_id);

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
    -- The transaction's number and the store's offset, times 2^20, plus the write's place in its batch.
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
    -- Group events: the settings that it changes, as an object in JSON. Reactions: the reaction. Entries: the class and
    -- the key, see `entry.rs`.
    label        text,
    body         bytea    NOT NULL,
    PRIMARY KEY (conversation, seq),
    CONSTRAINT events_requests UNIQUE (conversation, sender, client_id)
);
CREATE INDEX events_by_position ON events (position);
-- How many events a conversation has, on average, for the planner: 20. Statistics that were taken while most had one say
-- that a look-up by the conversation alone finds one row, so any index that begins with it seems as good as the key;
-- then a look-up or a page by seq reads the whole of a conversation that has grown since, until statistics are taken
-- again. Takes effect with the next ANALYZE; before the first one the planner assumes more.
ALTER TABLE events ALTER COLUMN conversation SET (n_distinct = -0.05);

CREATE TABLE conversations (
    id            bigint  PRIMARY KEY,
    -- Groups: name and the like, as an object in JSON; empty if there are none, see `setting.rs`.
    settings      text    NOT NULL,
    disbanded     boolean NOT NULL DEFAULT false,
    member_count  bigint  NOT NULL,
    -- 1:1 conversations: why nobody may write there, see `entry.rs`. 0: it is open.
    closed        smallint NOT NULL DEFAULT 0,
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

-- Membership intervals. The event by which a member went is repeated here, it is their visible head, and so is the
-- group as that event left it: they see nothing of what it became.
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
    left_settings  text,
    left_count     bigint,
    -- No later interval of the same user: users may come and go any number of times, their lists have the newest.
    newest         boolean  NOT NULL DEFAULT true,
    PRIMARY KEY (conversation, user_id, joined_seq)
);
CREATE UNIQUE INDEX members_newest ON members (user_id, conversation) WHERE newest;
CREATE UNIQUE INDEX members_now ON members (conversation, user_id) WHERE left_seq IS NULL;
CREATE INDEX members_left ON members (conversation, left_seq) WHERE left_seq IS NOT NULL;

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
CREATE INDEX reactions_by_seq ON reactions (conversation, target, seq);

-- Reactions that were replaced or taken back by the event `until`, where somebody came or went between the two: whoever
-- sees the first event and not the second sees them still.
CREATE TABLE past_reactions (
    conversation bigint NOT NULL,
    target       bigint NOT NULL,
    user_id      bigint NOT NULL,
    seq          bigint NOT NULL,
    reaction     text   NOT NULL,
    until        bigint NOT NULL,
    PRIMARY KEY (conversation, target, user_id, seq)
);

-- How many rows the three above have for a message. A message without any has no row.
CREATE TABLE message_counts (
    conversation bigint NOT NULL,
    message      bigint NOT NULL,
    edits        bigint NOT NULL,
    reactions    bigint NOT NULL,
    past         bigint NOT NULL,
    PRIMARY KEY (conversation, message)
) WITH (fillfactor = 70);

-- The present entries of users' own logs, see `entry.rs`. Changed only under the lock of the conversation.
CREATE TABLE entries (
    conversation bigint   NOT NULL,
    key          text     COLLATE "C" NOT NULL,
    -- The newest event of the key, which has the value.
    seq          bigint   NOT NULL,
    at           bigint   NOT NULL,
    class        smallint NOT NULL,
    PRIMARY KEY (conversation, key)
);
-- What rules count.
CREATE INDEX entries_by_class ON entries (conversation, class, at, seq);

-- Recalled messages whose edits still have bodies. Whoever reads an edit looks here: it has none then.
CREATE TABLE erasures (
    conversation bigint NOT NULL,
    target       bigint NOT NULL,
    -- The newest edit that is not erased.
    next         bigint NOT NULL,
    PRIMARY KEY (conversation, target)
);

-- Messages and edits that expire, or have and still have their bodies.
CREATE TABLE expirations (
    conversation bigint NOT NULL,
    seq          bigint NOT NULL,
    expires_at   bigint NOT NULL,
    PRIMARY KEY (conversation, seq)
);
CREATE INDEX expirations_by_time ON expirations (expires_at);

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

-- What the caller's statement sees of the log: its snapshot, what is added to the numbers of transactions, and the
-- horizon, which is the newest position of a row that it sees. Raises IM001 as `offset_in` does.
--
-- The horizon never falls: events stay, cursors only move up, and the newest notice is never deleted.
CREATE FUNCTION present_in(generation_ bigint, started_ timestamptz)
RETURNS TABLE (snapshot text, past_offset bigint, horizon bigint)
LANGUAGE plpgsql STABLE
-- Each from the end of its index, however small a table was when this was planned.
SET enable_seqscan = off
AS $function$
BEGIN
    past_offset := offset_in(generation_, started_);
    snapshot := pg_current_snapshot()::text;
    SELECT greatest(
        (SELECT max(e.position) FROM events e),
        (SELECT max(k.position) FROM cursors k WHERE k.position > 0),
        (SELECT max(n.position) FROM notices n), 0)
    INTO horizon;
    RETURN NEXT;
END
$function$;

-- Whether a user may not say the first word to a person: one of them blocks the other one (class 4), or the person wants
-- messages of friends alone (class 5) and they are none (class 3).
CREATE FUNCTION may_not_begin(sender_ bigint, peer_ bigint) RETURNS boolean
LANGUAGE sql STABLE AS $function$
    SELECT EXISTS (SELECT 1 FROM entries e
                   WHERE e.conversation = sender_ AND e.key = 'block/' || peer_ AND e.class = 4)
        OR EXISTS (SELECT 1 FROM entries e
                   WHERE e.conversation = peer_ AND e.key = 'block/' || sender_ AND e.class = 4)
        OR EXISTS (SELECT 1 FROM entries e
                   WHERE e.conversation = peer_ AND e.key = 'setting/message_me' AND e.class = 5)
            AND NOT EXISTS (SELECT 1 FROM entries e
                            WHERE e.conversation = peer_ AND e.key = 'friend/' || sender_ AND e.class = 3)
$function$;

-- The append -------------------------------------------------------------------------------------------------

-- What costs in such a function is not what it looks up but how often a row is copied from one step to the next, and
-- how much is set up before the first row. So its statements are few and small, they loop over the numbers of the
-- rows and take what they need out of the arrays, and what is seldom is a statement that is seldom run.
--
-- Appends messages: every lock, look-up, check and row of a batch in one round trip. No two rows have the same client
-- id in one conversation, and where a row replies to something, no other row is of its conversation: so none depends
-- on what another one does.
--
-- For each conversation, in the order of ids:
--   ids       itself
--   ends      its last row
-- For each row; they are sorted by conversation, those of one conversation by their place in the batch:
--   groups    the number of its conversation in `ids`
--   ranks     its number among those of its conversation
--   indexes   its place in the batch
--   lows, highs   the two of a 1:1 conversation (both the same for a user's own log), the sender among them; 0, 0 for
--             a group; -1, -1 where the sender can never write
-- For each pair of a conversation and a sender, in their order:
--   lasts     the pair's last row
--
-- And `generation_`, `started_`: see `offset_in`, which raises IM001 where nothing may be written.
--
-- One row comes back for all, because a row for each would cost more than its look-ups:
--   base      the position of the batch's first place, if something was appended
--   appended  how many events were written
--   verdicts  of each row: 0 appended, 1 appended before, 2 conflict, 3 not found, 4 forbidden, 5 gone
--   head_seqs, head_ordinals, rosters   of each conversation, before the batch
--   new_ranks   if not all rows were appended: `ranks` among those that were
-- After it, for each row that was appended before, in their order, one with its number and the event as it is stored.
CREATE FUNCTION append_in_order(
    ids bigint[], ends integer[], groups integer[], ranks bigint[], lasts integer[],
    indexes bigint[], conversations_ bigint[], senders bigint[], lows bigint[], highs bigint[], client_ids bytea[],
    fingerprints bytea[], times bigint[], kinds smallint[], replies bigint[], expiries bigint[], bodies bytea[],
    generation_ bigint, started_ timestamptz
) RETURNS TABLE (
    base bigint, appended bigint, verdicts integer[], head_seqs bigint[], head_ordinals bigint[],
    rosters bigint[], new_ranks bigint[], known_row integer, e_position bigint,
    e_conversation bigint, e_seq bigint, e_ordinal bigint, e_roster bigint, e_sender bigint, e_client_id bytea,
    e_at bigint, e_kind smallint, e_target bigint, e_expires_at bigint, e_recalled boolean, e_users bigint[],
    e_role smallint, e_label text, e_body bytea
) LANGUAGE plpgsql
-- Planned once, every look-up by an index, whatever the statistics of a young table say. A batch is always what is
-- looped over: either the look-up can only be made row by row (LATERAL with LIMIT, a sub-select as a value), or
-- `verdicts[n] = 0` makes the batch look small. Events are looked up by the whole of a request's key, or by the order
-- of the other key: where conversations are short on average, the planner would as soon read a whole one.
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $function$
#variable_conflict use_column
DECLARE
    total CONSTANT integer := cardinality(indexes);
    all_found boolean;
    -- Somebody may not write in one of them.
    any_closed boolean;
    -- Some verdict is not 0.
    mixed boolean := false;
    -- The rows just judged to be something else than new.
    others integer[];
    others_verdicts integer[];
    rank bigint;
    moved bigint;
    past_offset bigint;
BEGIN
    -- Before the offset is read: whoever changes it keeps writers out with a lock that this one waits for.
    LOCK TABLE events IN ROW EXCLUSIVE MODE;
    past_offset := offset_in(generation_, started_);
    -- The locks, in the order of ids. What two people, or one, say for the first time makes the conversation: before
    -- anything is locked, as everywhere.
    IF (SELECT count(*) FROM conversations c WHERE c.id = ANY (ids)) < cardinality(ids) THEN
        INSERT INTO conversations (id, settings, member_count, head_seq, head_ordinal, head_position, head_at, roster)
        SELECT DISTINCT i.conversation, '', CASE WHEN i.low = i.high THEN 1 ELSE 2 END, 0, 0, 0, 0, 0
        FROM unnest(conversations_, lows, highs, replies) AS i (conversation, low, high, reply)
        WHERE i.low > 0 AND i.reply = 0
          AND NOT EXISTS (SELECT 1 FROM conversations c WHERE c.id = i.conversation)
          AND EXISTS (SELECT 1 FROM users u WHERE u.id = i.low)
          AND EXISTS (SELECT 1 FROM users u WHERE u.id = i.high)
        ORDER BY 1
        ON CONFLICT DO NOTHING;
    END IF;
    -- What is locked comes back as it is now, not as it was before the lock was waited for.
    SELECT array_agg(c.head_seq), array_agg(c.head_ordinal), array_agg(c.roster), bool_or(c.closed <> 0)
    INTO head_seqs, head_ordinals, rosters, any_closed
    FROM (SELECT c.head_seq, c.head_ordinal, c.roster, c.closed FROM conversations c
          WHERE c.id = ANY (ids) ORDER BY c.id FOR NO KEY UPDATE) c;
    all_found := coalesce(cardinality(head_seqs), 0) = cardinality(ids);
    IF NOT all_found THEN
        -- Again with a gap for each that there is not: these are numbered like `ids`.
        SELECT array_agg(c.head_seq ORDER BY i.place), array_agg(c.head_ordinal ORDER BY i.place),
            array_agg(c.roster ORDER BY i.place)
        INTO head_seqs, head_ordinals, rosters
        FROM unnest(ids) WITH ORDINALITY AS i (id, place)
            LEFT JOIN LATERAL (SELECT * FROM conversations c WHERE c.id = i.id LIMIT 1) c ON true;
    END IF;
    verdicts := array_fill(0, ARRAY[total]);

    -- Statements of their own from here: their snapshots have whatever the locks were waited for.
    SELECT array_agg(n), array_agg(CASE WHEN e.fingerprint = fingerprints[n] THEN 1 ELSE 2 END)
    INTO others, others_verdicts
    FROM generate_series(1, total) AS n CROSS JOIN LATERAL (
        SELECT e.fingerprint FROM events e
        WHERE e.conversation = conversations_[n] AND e.sender = senders[n] AND e.client_id = client_ids[n]
        LIMIT 1
    ) e;
    FOR i IN 1 .. coalesce(cardinality(others), 0) LOOP
        verdicts[others[i]] := others_verdicts[i];
        mixed := true;
    END LOOP;
    -- In a 1:1 conversation or a log that there is, and that is open, who is of it may write.
    IF NOT (all_found AND 0 < ALL (lows) AND 0 = ALL (replies)) OR any_closed OR 0 = ANY (head_seqs) THEN
        SELECT array_agg(r.n), array_agg(r.verdict)
        INTO others, others_verdicts
        FROM (
            SELECT n, CASE
                WHEN lows[n] < 0 OR head_seqs[groups[n]] IS NULL THEN 3
                WHEN lows[n] > 0 AND head_seqs[groups[n]] > 0
                    AND (SELECT c.closed FROM conversations c WHERE c.id = conversations_[n]) <> 0 THEN 4
                -- The first message: what both say about one another. After the lock, so nothing is missed.
                WHEN lows[n] < highs[n] AND head_seqs[groups[n]] = 0
                    AND may_not_begin(senders[n], lows[n] + highs[n] - senders[n]) THEN 4
                WHEN lows[n] = 0 AND m.joined_seq IS NULL THEN 3
                WHEN lows[n] = 0 AND m.left_seq IS NOT NULL THEN 4
                WHEN lows[n] = 0
                    AND (SELECT c.disbanded FROM conversations c WHERE c.id = conversations_[n]) THEN 5
                WHEN replies[n] <> 0 AND NOT EXISTS (
                    SELECT 1
                    -- By the key's order, so that it is never taken for a good idea to read the conversation.
                    FROM (SELECT t.conversation, t.seq, t.kind FROM events t
                          WHERE (t.conversation, t.seq) >= (conversations_[n], replies[n])
                          ORDER BY t.conversation, t.seq LIMIT 1) t,
                        (SELECT s.left_seq FROM members s
                         WHERE s.conversation = conversations_[n] AND s.user_id = senders[n]
                           AND s.joined_seq <= replies[n] ORDER BY s.joined_seq DESC LIMIT 1) s
                    WHERE t.conversation = conversations_[n] AND t.seq = replies[n] AND t.kind BETWEEN 1 AND 31
                      AND (s.left_seq IS NULL OR s.left_seq >= replies[n])) THEN 3
                ELSE 0
                END AS verdict
            FROM generate_series(1, total) AS n
                LEFT JOIN LATERAL (
                    SELECT s.joined_seq, s.left_seq FROM members s
                    WHERE lows[n] = 0 AND s.conversation = conversations_[n] AND s.user_id = senders[n]
                    ORDER BY s.joined_seq DESC LIMIT 1
                ) m ON true
            WHERE verdicts[n] = 0
        ) r
        WHERE r.verdict <> 0;
        FOR i IN 1 .. coalesce(cardinality(others), 0) LOOP
            verdicts[others[i]] := others_verdicts[i];
            mixed := true;
        END LOOP;
    END IF;
    -- Behind the first word that was allowed, the conversation is there and open.
    IF mixed AND 0 = ANY (head_seqs) THEN
        FOR n IN 2 .. total LOOP
            IF verdicts[n] = 4 AND head_seqs[groups[n]] = 0 AND groups[n] = groups[n - 1] AND verdicts[n - 1] = 0 THEN
                verdicts[n] := 0;
            END IF;
        END LOOP;
    END IF;
    -- Only what is new takes a seq: what was said about the rows is said again about those that are left.
    IF mixed THEN
        FOR n IN 1 .. total LOOP
            IF groups[n] IS DISTINCT FROM groups[n - 1] THEN
                rank := 0;
                ends[groups[n]] := NULL;
            END IF;
            IF verdicts[n] = 0 THEN
                rank := rank + 1;
                ranks[n] := rank;
                ends[groups[n]] := n;
            END IF;
        END LOOP;
        lasts := ARRAY(
            SELECT max(n) FROM generate_series(1, total) AS n WHERE verdicts[n] = 0
            GROUP BY conversations_[n], senders[n] ORDER BY conversations_[n], senders[n]);
        new_ranks := ranks;
    END IF;

    -- What is refused takes no number.
    IF 0 = ANY (verdicts) THEN
        base := (pg_current_xact_id()::text::bigint + past_offset) << 20;
    END IF;
    INSERT INTO events (conversation, seq, position, ordinal, roster, sender, client_id, fingerprint, at, kind,
                        target, expires_at, body)
    SELECT conversations_[n], head_seqs[groups[n]] + ranks[n], base + indexes[n], head_ordinals[groups[n]] + ranks[n],
        rosters[groups[n]], senders[n], client_ids[n], fingerprints[n],
        times[n], kinds[n], 0, expiries[n], bodies[n]
    FROM generate_series(1, total) AS n WHERE verdicts[n] = 0;
    GET DIAGNOSTICS appended = ROW_COUNT;
    IF 0 < ANY (expiries) THEN
        INSERT INTO expirations (conversation, seq, expires_at)
        SELECT conversations_[n], head_seqs[groups[n]] + ranks[n], expiries[n]
        FROM generate_series(1, total) AS n WHERE verdicts[n] = 0 AND expiries[n] > 0 AND length(bodies[n]) > 0;
    END IF;

    UPDATE conversations c
    SET head_seq = c.head_seq + ranks[n], head_ordinal = c.head_ordinal + ranks[n], head_position = base + indexes[n],
        head_at = times[n]
    FROM unnest(ends) AS n WHERE verdicts[n] = 0 AND c.id = conversations_[n];

    IF 0 = ANY (head_seqs) THEN
        INSERT INTO members (conversation, user_id, joined_seq, joined_ordinal, role)
        SELECT conversations_[n], u.id, 1, 0, 0
        FROM unnest(ends) AS n CROSS JOIN LATERAL (SELECT lows[n] UNION SELECT highs[n]) AS u (id)
        WHERE verdicts[n] = 0 AND head_seqs[groups[n]] = 0;
    END IF;

    -- Who sends has read, and has, what was there. First the cursors that there are, in the order of keys, then those
    -- that are missing, in the same order: as a transaction does that moves cursors.
    UPDATE cursors k
    SET delivered = greatest(k.delivered, head_seqs[groups[n]] + ranks[n]),
        read = greatest(k.read, head_seqs[groups[n]] + ranks[n]),
        read_ordinal = greatest(k.read_ordinal, head_ordinals[groups[n]] + ranks[n])
    FROM unnest(lasts) AS n WHERE verdicts[n] = 0 AND k.conversation = conversations_[n] AND k.user_id = senders[n];
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved < cardinality(lasts) THEN
        INSERT INTO cursors AS k (conversation, user_id, delivered, read, read_ordinal, position)
        SELECT conversations_[n], senders[n], head_seqs[groups[n]] + ranks[n], head_seqs[groups[n]] + ranks[n],
            head_ordinals[groups[n]] + ranks[n], 0
        FROM unnest(lasts) WITH ORDINALITY AS l (n, place)
        WHERE (SELECT true FROM cursors k
               WHERE k.conversation = conversations_[n] AND k.user_id = senders[n]) IS NULL
        ORDER BY place
        ON CONFLICT (conversation, user_id) DO UPDATE
        SET delivered = greatest(k.delivered, excluded.delivered), read = greatest(k.read, excluded.read),
            read_ordinal = greatest(k.read_ordinal, excluded.read_ordinal);
    END IF;

    -- What did not begin is not there.
    IF mixed AND 0 = ANY (head_seqs) THEN
        DELETE FROM conversations c WHERE c.id = ANY (ids) AND c.head_seq = 0;
    END IF;

    RETURN NEXT;
    IF mixed THEN
        RETURN QUERY
        SELECT NULL::bigint, NULL::bigint, NULL::integer[], NULL::bigint[], NULL::bigint[], NULL::bigint[],
            NULL::bigint[], n, e.position, e.conversation, e.seq, e.ordinal, e.roster,
            e.sender, e.client_id, e.at, e.kind, e.target, e.expires_at, e.recalled, e.users, e.role, e.label, e.body
        FROM generate_series(1, total) AS n CROSS JOIN LATERAL (
            SELECT * FROM events e
            WHERE verdicts[n] = 1 AND e.conversation = conversations_[n] AND e.sender = senders[n]
              AND e.client_id = client_ids[n]
            LIMIT 1
        ) e
        ORDER BY n;
    END IF;
END
$function$;
