//! The append of a message as axum and sqlx make it easy: `POST /v1/call/send`, which is answered once the message is
//! durable in SQLite, has its place in its conversation, and is stored once whatever is repeated. What imserver promises
//! beyond that (pushes, sync, receipts, groups) it does not have.
//!
//! `bench-axum ADDRESS FILE` makes the database, one user and one conversation, prints the token and the conversation,
//! and serves.
#![forbid(unsafe_code)]

use std::{
    error::Error,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::{
    Row, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use uuid::Uuid;

const SCHEMA: &str = "
    CREATE TABLE sessions (token BLOB PRIMARY KEY, user_id INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE conversations (conversation_id INTEGER PRIMARY KEY, head INTEGER NOT NULL);
    CREATE TABLE members (conversation_id INTEGER, user_id INTEGER, PRIMARY KEY (conversation_id, user_id)) WITHOUT ROWID;
    CREATE TABLE events (
        conversation_id INTEGER, seq INTEGER, sender_id INTEGER NOT NULL, client_id BLOB NOT NULL,
        sent_at_ms INTEGER NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (conversation_id, seq)
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX events_by_client_id ON events (sender_id, client_id);
";

/// Bytes of a text, at most.
const BODY_BYTES_MAX: usize = 4_096;
/// The one user and the one conversation.
const USER: i64 = 1;
const CONVERSATION: i64 = 1;
const TOKEN: &str = "the-token-of-the-one-user";

/// Readers, and the one connection that writes: with more of them SQLite would let them wait for each other.
#[derive(Clone)]
struct Store {
    readers: SqlitePool,
    writer: SqlitePool,
}

#[derive(Deserialize)]
struct Content {
    body: String,
}

#[derive(Deserialize)]
struct Send {
    conversation_id: String,
    client_msg_id: Uuid,
    kind: String,
    content: Content,
}

#[derive(Serialize)]
struct Sent {
    conversation_id: String,
    seq: String,
    sent_at_ms: String,
    duplicate: bool,
}

type Refused = (StatusCode, &'static str);

fn broken(_: sqlx::Error) -> Refused {
    (StatusCode::SERVICE_UNAVAILABLE, "the store failed")
}

async fn send(
    State(store): State<Store>,
    headers: HeaderMap,
    Json(send): Json<Send>,
) -> Result<Json<Sent>, Refused> {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
    let token = token.ok_or((StatusCode::UNAUTHORIZED, "no token"))?;
    let hash = Sha256::digest(token);
    let user: i64 = sqlx::query("SELECT user_id FROM sessions WHERE token = ?")
        .bind(&hash[..])
        .fetch_optional(&store.readers)
        .await
        .map_err(broken)?
        .ok_or((StatusCode::UNAUTHORIZED, "no such session"))?
        .get(0);
    let invalid = (StatusCode::BAD_REQUEST, "invalid");
    let conversation: i64 = send.conversation_id.parse().map_err(|_| invalid)?;
    let body = STANDARD.decode(&send.content.body).map_err(|_| invalid)?;
    if body.is_empty() || body.len() > BODY_BYTES_MAX || send.kind != "EVENT_KIND_TEXT" {
        return Err(invalid);
    }
    let kind = send.kind;
    // In a task of its own: a client that leaves would otherwise drop the transaction in the middle of its beginning, and
    // sqlx then gives out the one connection within a transaction for good.
    let append = tokio::spawn(append(
        store.writer,
        user,
        conversation,
        send.client_msg_id,
        kind,
        body,
    ));
    let gone = (StatusCode::INTERNAL_SERVER_ERROR, "the append ended");
    append.await.map_err(|_| gone)?
}

async fn append(
    writer: SqlitePool,
    user: i64,
    conversation: i64,
    client_id: Uuid,
    kind: String,
    body: Vec<u8>,
) -> Result<Json<Sent>, Refused> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);

    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(broken)?;
    let before = sqlx::query(
        "SELECT conversation_id, seq, sent_at_ms FROM events WHERE sender_id = ? AND client_id = ?",
    )
    .bind(user)
    .bind(&client_id.as_bytes()[..])
    .fetch_optional(&mut *transaction)
    .await
    .map_err(broken)?;
    if let Some(row) = before {
        return Ok(Json(sent(row.get(0), row.get(1), row.get(2), true)));
    }
    let head = sqlx::query(
        "UPDATE conversations SET head = head + 1 WHERE conversation_id = ?1 AND EXISTS
            (SELECT 1 FROM members WHERE conversation_id = ?1 AND user_id = ?2) RETURNING head",
    )
    .bind(conversation)
    .bind(user)
    .fetch_optional(&mut *transaction)
    .await
    .map_err(broken)?;
    let seq: i64 = head.ok_or((StatusCode::FORBIDDEN, "not a member"))?.get(0);
    sqlx::query("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(conversation)
        .bind(seq)
        .bind(user)
        .bind(&client_id.as_bytes()[..])
        .bind(now_ms)
        .bind(&kind)
        .bind(&body)
        .execute(&mut *transaction)
        .await
        .map_err(broken)?;
    transaction.commit().await.map_err(broken)?;
    Ok(Json(sent(conversation, seq, now_ms, false)))
}

fn sent(conversation: i64, seq: i64, at_ms: i64, duplicate: bool) -> Sent {
    Sent {
        conversation_id: conversation.to_string(),
        seq: seq.to_string(),
        sent_at_ms: at_ms.to_string(),
        duplicate,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("bench-axum ADDRESS FILE".into());
    };
    let options = SqliteConnectOptions::from_str(&format!("sqlite:{file}"))?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = |connections| SqlitePoolOptions::new().max_connections(connections);
    let writer = pool(1).connect_with(options.clone()).await?;
    sqlx::raw_sql(SCHEMA).execute(&writer).await?;
    let hash = Sha256::digest(TOKEN);
    sqlx::query("INSERT INTO sessions VALUES (?, ?)")
        .bind(&hash[..])
        .bind(USER)
        .execute(&writer)
        .await?;
    sqlx::query("INSERT INTO conversations VALUES (?, 0)")
        .bind(CONVERSATION)
        .execute(&writer)
        .await?;
    sqlx::query("INSERT INTO members VALUES (?, ?)")
        .bind(CONVERSATION)
        .bind(USER)
        .execute(&writer)
        .await?;
    let readers = pool(4).connect_with(options).await?;
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("{} {TOKEN} {CONVERSATION}", listener.local_addr()?);
    let router = Router::new()
        .route("/v1/call/send", post(send))
        .with_state(Store { readers, writer });
    axum::serve(listener, router).await?;
    Ok(())
}
