//! Encrypted connections: to the right server, or to none.

use std::path::Path;

use postgres::{Client, NoTls};
use storage::{
    Store,
    postgres::{PostgresOptions, PostgresStore},
};

use crate::{message, pair, register, until};

/// Has the server write its key itself, so that it is the server's own, and read by nobody else.
fn encrypt(server: &services::Postgres, certificate: &str, key: &str) {
    let mut admin = Client::connect(&server.url(), NoTls).unwrap();
    for (file, text) in [("server.crt", certificate), ("server.key", key)] {
        admin
            .batch_execute(&format!(
                "COPY (SELECT unnest(string_to_array('{}', E'\\n'))) TO PROGRAM 'umask 077; cat > {file}'",
                text.trim_end()
            ))
            .unwrap();
    }
    admin.batch_execute("ALTER SYSTEM SET ssl = on").unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").unwrap();
    until("the server to be encrypted", || {
        let row = Client::connect(&server.url(), NoTls)
            .ok()?
            .query_one("SHOW ssl", &[])
            .ok()?;
        (row.get::<_, &str>(0) == "on").then_some(())
    });
}

fn options(url: &str, roots: &Path) -> PostgresOptions {
    let mut options = PostgresOptions::new(format!("{url}&sslmode=verify-full"));
    options.root_certificates = Some(roots.to_owned());
    options
}

#[test]
fn only_the_right_server_is_talked_to() {
    let server = services::Postgres::start().unwrap();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (own_root, other_root) = (
        directory.path().join("own.pem"),
        directory.path().join("other.pem"),
    );
    std::fs::write(&own_root, own.cert.pem()).unwrap();
    std::fs::write(&other_root, other.cert.pem()).unwrap();
    let url = server.database().unwrap();
    let address = server.address().ip().to_string();
    let unnamed = format!("{url}?hostaddr={address}");
    let named = unnamed.replacen(&address, "localhost", 1);
    assert!(
        PostgresStore::open(options(&named, &own_root)).is_err(),
        "it is not encrypted yet"
    );
    encrypt(&server, &own.cert.pem(), &own.signing_key.serialize_pem());

    let store = PostgresStore::open(options(&named, &own_root)).unwrap();
    let mut writer = store.writer().unwrap();
    register(writer.as_mut(), 2);
    writer.commit(&[message(pair(1, 2), 1, 1, 0)]).unwrap();
    let mut admin = Client::connect(&url, NoTls).unwrap();
    let row = admin
        .query_one(
            "SELECT count(*), bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a ON a.pid = s.pid
             WHERE a.application_name = 'imserver'",
            &[],
        )
        .unwrap();
    // The writer's, and those that are kept for reading.
    assert!(row.get::<_, i64>(0) >= 1 && row.get::<_, bool>(1));

    // Another's certificate, and a certificate for another name.
    for (url, roots) in [(&named, &other_root), (&unnamed, &own_root)] {
        let refused = PostgresStore::open(options(url, roots)).unwrap_err();
        assert!(refused.to_string().contains("certificate"), "{refused}");
    }
    let refused = PostgresStore::open(options(&named, &directory.path().join("none.pem"))).unwrap_err();
    assert!(refused.to_string().contains("none.pem"), "{refused}");
}

#[test]
fn passwords_come_from_where_they_are_kept() {
    let setup = services::PostgresSetup {
        password: Some("opensesame".to_owned()),
        ..services::PostgresSetup::default()
    };
    let server = setup.start().unwrap();
    let url = server.database().unwrap();
    let without = url.replace(":opensesame", "");
    assert_ne!(url, without);
    PostgresStore::open(PostgresOptions::new(&url)).unwrap();
    let mut options = PostgresOptions::new(&without);
    assert!(PostgresStore::open(options.clone()).is_err());
    options.password = Some("opensesame".to_owned());
    assert!(!format!("{options:?}").contains("opensesame"));
    PostgresStore::open(options.clone()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "opensesame\n").unwrap();
    options.password = Some("wrong".to_owned());
    options.password_file = Some(file.clone());
    let store = PostgresStore::open(options).unwrap();
    std::fs::write(&file, "wrong").unwrap();
    let refused = store.writer().err().unwrap();
    assert!(
        !refused.to_string().contains("wrong") && refused.to_string().contains("password"),
        "{refused}"
    );
}
