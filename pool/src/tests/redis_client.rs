//! A real driver with a manager of its own: the client of `redis` with its `r2d2` feature, as it is.

use super::*;

#[test]
fn a_redis_client_is_carried_unchanged() {
    let client = redis::Client::open(services::shared_redis().expect("a server")).expect("a URL");
    let settings = PoolSettings {
        validate_after_idle: Duration::ZERO,
        ..settings(2)
    };
    let pool = Pool::builder(client)
        .settings(settings)
        .init(Init::One { within: PATIENCE })
        .build()
        .expect("a pool");
    let name = |lease: &mut redis::Connection| -> u64 {
        redis::cmd("CLIENT").arg("ID").query(lease).expect("an answer")
    };
    let mut lease = pool.get().expect("a connection");
    let first = name(&mut lease);
    drop(lease);
    // Tested by its own manager, which is content.
    let mut lease = pool.get().expect("a connection");
    assert_eq!(name(&mut lease), first);
    let ended: u64 = redis::cmd("CLIENT")
        .arg(&["KILL", "SKIPME", "no", "ID"])
        .arg(first)
        .query(&mut lease)
        .expect("its own end is said to it");
    assert_eq!(ended, 1);
    let lost: redis::RedisResult<String> = redis::cmd("PING").query(&mut lease);
    assert!(lost.is_err());
    drop(lease);
    // It is seen to be broken, by its manager or by its test.
    let mut lease = pool.get().expect("a connection");
    assert_ne!(name(&mut lease), first);
    assert!(pool.statistics().checks >= 1);
}
