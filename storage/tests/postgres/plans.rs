//! Ways into the log that the planner must not miss, whatever the statistics say.

use postgres::{Client, NoTls};
use storage::{Store, postgres::PostgresStore};

use crate::database;

/// Most conversations have one event: this is when an index by conversation and something else looks as good as the key.
#[test]
fn events_are_found_by_their_key_while_conversations_are_young() {
    let options = database::fresh();
    let url = options.url.clone();
    let store = PostgresStore::open(options).unwrap();
    let mut client = Client::connect(&url, NoTls).unwrap();
    client
        .batch_execute(
            "INSERT INTO events (conversation, seq, position, ordinal, roster, sender, client_id, fingerprint, at, kind,
                                 target, expires_at, body)
             SELECT number, 1, number, 1, 0, 1, uuid_send(gen_random_uuid()), uuid_send(gen_random_uuid()), 1, 1, 0, 0, ''
             FROM generate_series(1, 5000) number;
             ANALYZE events;
             SET plan_cache_mode = force_generic_plan;
             PREPARE single (bigint, bigint) AS SELECT ordinal FROM events WHERE conversation = $1 AND seq = $2;
             PREPARE several (bigint, bigint, bigint) AS
                SELECT ordinal FROM events WHERE conversation = $1 AND seq BETWEEN $2 AND $3;
             PREPARE requested (bigint, bigint, bytea) AS
                SELECT seq FROM events WHERE conversation = $1 AND sender = $2 AND client_id = $3",
        )
        .unwrap();
    let mut plan = |question: &str| -> String {
        let rows = client.query(&format!("EXPLAIN EXECUTE {question}"), &[]).unwrap();
        rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect()
    };
    for (question, index) in [
        ("single (7, 1)", "events_pkey"),
        ("several (7, 1, 9)", "events_pkey"),
        ("requested (7, 1, '')", "events_requests"),
    ] {
        let plan = plan(question);
        assert!(plan.contains(index) && !plan.contains("Filter"), "{plan}");
    }
    store.close().unwrap();
}
