//! Friends and blocks: `im friend`, `im block`, `im unblock`, `im blocked`.

use std::time::Duration;

use bytes::Bytes;
use clap::Subcommand;
use client::{Client, new_client_id};
use protocol::{
    Call,
    v1::{self, FriendState},
};
use serde_json::json;

use crate::{
    context::{CALL_TIMEOUT, Context},
    failure::Failure,
    target::Resolver,
    text,
    time::{date_and_clock, local_zone},
};

/// Changes are repeated under their client id this long.
const TIMEOUT: Duration = Duration::from_secs(30);
/// People asked for at once.
const PAGE: u32 = 200;

#[derive(Debug, Subcommand)]
pub(crate) enum Friend {
    /// List friends and open requests
    List,
    /// Ask somebody, or say yes to who asked
    Ask {
        user: String,
        /// Words for them
        greeting: Vec<String>,
    },
    /// Say yes to a request
    Accept { user: String },
    /// Say no to a request; they are not told
    Reject { user: String },
    /// Take your own request back
    Withdraw { user: String },
    /// End a friendship, on both sides
    Remove { user: String },
    /// Keep a private name and private tags for a friend
    Note {
        user: String,
        /// The name; nothing takes it away
        #[arg(default_value = "")]
        remark: String,
        /// May be given more than once
        #[arg(long)]
        tag: Vec<String>,
    },
}

pub(crate) fn run(context: &Context, command: &Friend) -> Result<(), Failure> {
    let client = context.client()?;
    let resolver = Resolver::new(context, &client, Some(TIMEOUT))?;
    let client_msg_id = Bytes::copy_from_slice(&new_client_id().0);
    match command {
        Friend::List => list(context, &client),
        Friend::Ask { user, greeting } => {
            let request = v1::RequestFriendRequest {
                client_msg_id,
                user_id: resolver.user(user)?,
                greeting: greeting.join(" "),
            };
            make(context, &client, "ask", request)
        }
        Friend::Accept { user } | Friend::Reject { user } => {
            let accept = matches!(command, Friend::Accept { .. });
            let request = v1::AnswerFriendRequest {
                client_msg_id,
                user_id: resolver.user(user)?,
                accept,
            };
            make(
                context,
                &client,
                if accept { "accept" } else { "reject" },
                request,
            )
        }
        Friend::Withdraw { user } => {
            let user_id = resolver.user(user)?;
            let request = v1::WithdrawFriendRequest {
                client_msg_id,
                user_id,
            };
            make(context, &client, "withdraw", request)
        }
        Friend::Remove { user } => {
            let user_id = resolver.user(user)?;
            let request = v1::RemoveFriendRequest {
                client_msg_id,
                user_id,
            };
            make(context, &client, "remove", request)
        }
        Friend::Note { user, remark, tag } => {
            let request = v1::UpdateFriendRequest {
                client_msg_id,
                user_id: resolver.user(user)?,
                remark: remark.clone(),
                tags: tag.clone(),
            };
            make(context, &client, "note", request)
        }
    }
}

/// Blocks somebody, or no longer.
pub(crate) fn block(context: &Context, user: &str, blocked: bool) -> Result<(), Failure> {
    let client = context.client()?;
    let user_id = Resolver::new(context, &client, Some(TIMEOUT))?.user(user)?;
    let client_msg_id = Bytes::copy_from_slice(&new_client_id().0);
    if blocked {
        let request = v1::BlockUserRequest {
            client_msg_id,
            user_id,
        };
        make(context, &client, "block", request)
    } else {
        let request = v1::UnblockUserRequest {
            client_msg_id,
            user_id,
        };
        make(context, &client, "unblock", request)
    }
}

/// Makes a change of the own log: all of them answer like a send.
pub(crate) fn make(
    context: &Context,
    client: &Client,
    action: &str,
    request: impl Call<Response = v1::SendResponse>,
) -> Result<(), Failure> {
    let done = client.ask_until_definite(request, TIMEOUT)?;
    let json = || {
        json!({
            "type": "entry",
            "action": action,
            "seq": done.seq,
            "duplicate": done.duplicate,
            "at_ms": done.sent_at_ms,
        })
    };
    Ok(context.output.print(json, || "done".to_owned())?)
}

fn list(context: &Context, client: &Client) -> Result<(), Failure> {
    let mut after_user_id = 0;
    loop {
        let page = client.ask(
            v1::ListFriendsRequest {
                after_user_id,
                limit: PAGE,
            },
            CALL_TIMEOUT,
        )?;
        for friend in &page.friends {
            let user = friend.user.clone().unwrap_or_default();
            after_user_id = user.user_id;
            print(context, &user, friend)?;
        }
        if !page.more || page.friends.is_empty() {
            return Ok(());
        }
    }
}

fn print(context: &Context, user: &v1::User, friend: &v1::Friend) -> Result<(), Failure> {
    let state = match friend.state() {
        FriendState::Requested => "asked",
        FriendState::Incoming => "asks you",
        FriendState::Friends => "friend",
        FriendState::Unspecified => "",
    };
    let json = || {
        json!({
            "type": "friend",
            "user_id": user.user_id,
            "name": user.name,
            "display_name": user.display_name,
            "state": friend.state().as_str_name().trim_start_matches("FRIEND_STATE_").to_lowercase(),
            "greeting": friend.greeting,
            "remark": friend.remark,
            "tags": friend.tags,
            "since_ms": friend.since_ms,
            "expired": friend.expired,
        })
    };
    let plain = || {
        let mut words = vec![context.output.bold(&format!("@{}", text::line(&user.name)))];
        for shown in [&friend.remark, &user.display_name, &friend.greeting] {
            if !shown.is_empty() {
                words.push(text::line(shown).to_string());
            }
        }
        words.extend(friend.tags.iter().map(|tag| format!("[{}]", text::line(tag))));
        if friend.expired {
            words.push("(expired)".to_owned());
        }
        format!("{state:8}  {}", words.join("  "))
    };
    Ok(context.output.print(json, plain)?)
}

/// Lists who is blocked.
pub(crate) fn blocked(context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let mut after_user_id = 0;
    loop {
        let page = client.ask(
            v1::ListBlockedRequest {
                after_user_id,
                limit: PAGE,
            },
            CALL_TIMEOUT,
        )?;
        for blocked in &page.users {
            let user = blocked.user.clone().unwrap_or_default();
            after_user_id = user.user_id;
            let json = || {
                json!({
                    "type": "blocked",
                    "user_id": user.user_id,
                    "name": user.name,
                    "since_ms": blocked.since_ms,
                })
            };
            let plain = || {
                let since = date_and_clock(blocked.since_ms, &local_zone());
                let name = context.output.bold(&format!("@{}", text::line(&user.name)));
                format!("{name}  since {since}")
            };
            context.output.print(json, plain)?;
        }
        if !page.more || page.users.is_empty() {
            return Ok(());
        }
    }
}
