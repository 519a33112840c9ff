//! PgBouncer between a node and PostgreSQL: refused at the start, with what to do.

use services::PgBouncer;

use super::run;

/// What a start behind a pooler with these settings says.
fn start_behind(settings: &str, role: &str) -> String {
    let database = services::fresh_database().unwrap();
    let pooler = PgBouncer::start(&database, settings).unwrap();
    let pooler = pooler.expect("pgbouncer is missing: install the package pgbouncer");
    if !role.is_empty() {
        let mut client = postgres::Client::connect(&database, postgres::NoTls).unwrap();
        client.batch_execute(role).unwrap();
    }
    let ended = run(&["--listen", "127.0.0.1:0", "--store", pooler.database()]);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let last = ended.stderr.lines().last().unwrap_or_default().to_owned();
    assert!(
        last.starts_with("imserver: ") && last.contains("connect to PostgreSQL itself"),
        "{ended:?}"
    );
    last
}

#[test]
fn as_it_comes_it_refuses_the_settings() {
    for mode in ["transaction", "session"] {
        let said = start_behind(&format!("pool_mode = {mode}"), "");
        assert!(said.contains("unsupported startup parameter"), "{said}");
    }
}

#[test]
fn settings_that_it_drops_are_missed() {
    for mode in ["transaction", "statement", "session"] {
        let settings = format!("pool_mode = {mode}\nignore_startup_parameters = options, extra_float_digits");
        let said = start_behind(&settings, "");
        assert!(said.contains("asked for"), "{said}");
    }
}

/// The settings are in force because the database has them, and only that servers are shared gives it away.
#[test]
fn connections_that_share_the_servers_are_found_out() {
    let role = "
        DO $$ BEGIN
            EXECUTE format('ALTER DATABASE %I SET statement_timeout = 3000', current_database());
            EXECUTE format('ALTER DATABASE %I SET lock_timeout = 800', current_database());
            EXECUTE format('ALTER DATABASE %I SET idle_in_transaction_session_timeout = 10000', current_database());
            EXECUTE format('ALTER DATABASE %I SET client_min_messages = warning', current_database());
            EXECUTE format('ALTER DATABASE %I SET jit = off', current_database());
            EXECUTE format('ALTER DATABASE %I SET plan_cache_mode = force_generic_plan', current_database());
            EXECUTE format('ALTER DATABASE %I SET enable_seqscan = off', current_database());
            EXECUTE format('ALTER DATABASE %I SET enable_hashjoin = off', current_database());
            EXECUTE format('ALTER DATABASE %I SET enable_mergejoin = off', current_database());
        END $$";
    let settings = "pool_mode = transaction\nignore_startup_parameters = options, extra_float_digits";
    let said = start_behind(settings, role);
    assert!(said.contains("share the server's"), "{said}");
}
