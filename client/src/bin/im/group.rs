//! `im group`: everything about groups, its part of the command line included.

use std::time::Duration;

use bytes::Bytes;
use clap::{Subcommand, ValueEnum};
use client::{Client, new_client_id};
use protocol::{
    Call,
    v1::{self, Role},
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    context::{CALL_TIMEOUT, Context},
    failure::Failure,
    names::Directory,
    target::Resolver,
    text,
};

/// Changes are repeated under their client id this long.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Members asked for at once.
const PAGE: u32 = 500;

#[derive(Debug, Subcommand)]
pub(crate) enum Group {
    /// Create a group
    Create {
        name: String,
        members: Vec<String>,
        /// Identifies this creation over repetitions of the command
        #[arg(long, value_name = "UUID")]
        client_id: Option<Uuid>,
    },
    /// Add members
    Add {
        group: String,
        #[arg(required = true)]
        members: Vec<String>,
    },
    /// Remove a member
    Remove { group: String, member: String },
    /// Leave a group
    Leave { group: String },
    /// List members
    Members { group: String },
    /// Give a group another name
    Rename { group: String, name: String },
    /// Give a member a role
    Role {
        group: String,
        member: String,
        role: RoleName,
    },
    /// End a group; its history stays
    Disband { group: String },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoleName {
    Member,
    Admin,
    Owner,
}

/// A change of a group on its way: all of them answer like a send.
struct Change<'a> {
    context: &'a Context,
    client: &'a Client,
    id: Uuid,
}

pub(crate) fn run(context: &Context, command: &Group) -> Result<(), Failure> {
    let client = context.client()?;
    let resolver = Resolver::new(context, &client, Some(TIMEOUT))?;
    let given = if let Group::Create { client_id, .. } = command {
        *client_id
    } else {
        None
    };
    let change = Change {
        context,
        client: &client,
        id: given.unwrap_or_else(|| Uuid::from_bytes(new_client_id().0)),
    };
    let client_msg_id = Bytes::copy_from_slice(change.id.as_bytes());
    let users = |members: &[String]| {
        members
            .iter()
            .map(|member| resolver.user(member))
            .collect::<Result<Vec<u64>, _>>()
    };
    match command {
        Group::Create { name, members, .. } => change.make(
            "create",
            name,
            v1::CreateGroupRequest {
                client_msg_id,
                name: name.strip_prefix('#').unwrap_or(name).to_owned(),
                user_ids: users(members)?,
            },
        ),
        Group::Add { group, members } => change.make(
            "add",
            group,
            v1::AddMembersRequest {
                conversation_id: resolver.group(group)?,
                client_msg_id,
                user_ids: users(members)?,
            },
        ),
        Group::Remove { group, member } => change.make(
            "remove",
            group,
            v1::RemoveMemberRequest {
                conversation_id: resolver.group(group)?,
                client_msg_id,
                user_id: resolver.user(member)?,
            },
        ),
        Group::Leave { group } => change.make(
            "leave",
            group,
            v1::LeaveGroupRequest {
                conversation_id: resolver.group(group)?,
                client_msg_id,
            },
        ),
        Group::Rename { group, name } => change.make(
            "rename",
            name,
            v1::RenameGroupRequest {
                conversation_id: resolver.group(group)?,
                client_msg_id,
                name: name.strip_prefix('#').unwrap_or(name).to_owned(),
            },
        ),
        Group::Role { group, member, role } => change.make(
            "role",
            group,
            v1::SetRoleRequest {
                conversation_id: resolver.group(group)?,
                client_msg_id,
                user_id: resolver.user(member)?,
                role: Role::from(*role).into(),
            },
        ),
        Group::Disband { group } => change.make(
            "disband",
            group,
            v1::DisbandGroupRequest {
                conversation_id: resolver.group(group)?,
                client_msg_id,
            },
        ),
        Group::Members { group } => members(context, &client, resolver.group(group)?),
    }
}

impl Change<'_> {
    /// `called`: the group's name, or its id, as it was written.
    fn make(
        &self,
        action: &str,
        called: &str,
        request: impl Call<Response = v1::SendResponse>,
    ) -> Result<(), Failure> {
        let done = self.client.ask_until_definite(request, TIMEOUT)?;
        let mut names = Directory::open(&self.context.profile);
        let name = called.strip_prefix('#').unwrap_or(called);
        let id = done.conversation_id;
        if name != id.to_string() {
            names.learn_group(id, name, done.seq);
        }
        names.save(&self.context.profile);
        let conversation = names.conversation(id);
        let json = || {
            json!({
                "type": "group",
                "action": action,
                "conversation": conversation,
                "conversation_id": id.to_string(),
                "seq": done.seq,
                "epoch": done.epoch.to_string(),
                "duplicate": done.duplicate,
                "client_id": self.id.to_string(),
                "at_ms": done.sent_at_ms,
            })
        };
        let plain = || {
            let conversation = text::line(&conversation);
            match action {
                "create" => format!("created '{conversation}' (its id is '#{id}')"),
                _ => format!("done, as {} of '{conversation}'", done.seq),
            }
        };
        Ok(self.context.output.print(json, plain)?)
    }
}

fn members(context: &Context, client: &Client, conversation_id: u64) -> Result<(), Failure> {
    let mut after_user_id = 0;
    loop {
        let request = v1::ListMembersRequest {
            conversation_id,
            after_user_id,
            limit: PAGE,
        };
        let page = client.ask(request, CALL_TIMEOUT)?;
        for member in &page.members {
            let role = member
                .role()
                .as_str_name()
                .trim_start_matches("ROLE_")
                .to_lowercase();
            let json = || {
                json!({
                    "type": "member",
                    "user_id": member.user_id,
                    "name": member.name,
                    "display_name": member.display_name,
                    "role": role,
                    "joined_seq": member.joined_seq,
                    "delivered_seq": member.delivered_seq,
                    "read_seq": member.read_seq,
                })
            };
            let plain = || {
                let name = text::line(&member.name);
                format!("{role:6}  {name:20}  {}", text::line(&member.display_name))
                    .trim_end()
                    .to_owned()
            };
            context.output.print(json, plain)?;
        }
        match page.members.last() {
            Some(last) if page.more && last.user_id > after_user_id => after_user_id = last.user_id,
            _ => return Ok(()),
        }
    }
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Member => Self::Member,
            RoleName::Admin => Self::Admin,
            RoleName::Owner => Self::Owner,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use protocol::{
        Command::{
            self, AddMembers, CreateGroup, DisbandGroup, LeaveGroup, ListMembers, RemoveMember, RenameGroup,
            SetRole,
        },
        Domain,
    };

    use super::Group;
    use crate::args::{self, Arguments};

    const fn made_by(command: &Group) -> Command {
        match command {
            Group::Create { .. } => CreateGroup,
            Group::Add { .. } => AddMembers,
            Group::Remove { .. } => RemoveMember,
            Group::Leave { .. } => LeaveGroup,
            Group::Members { .. } => ListMembers,
            Group::Rename { .. } => RenameGroup,
            Group::Role { .. } => SetRole,
            Group::Disband { .. } => DisbandGroup,
        }
    }

    #[test]
    fn every_command_about_groups_can_be_written() {
        let lines = [
            (CreateGroup, "im group create team bob @carol"),
            (AddMembers, "im group add team bob"),
            (RemoveMember, "im group remove team bob"),
            (LeaveGroup, "im group leave team"),
            (ListMembers, "im group members team"),
            (RenameGroup, "im group rename team crew"),
            (SetRole, "im group role team bob admin"),
            (DisbandGroup, "im group disband team"),
        ];
        for (command, line) in lines {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            let Some(args::Command::Group(group)) = arguments.command else {
                panic!("{line}: {:?}", arguments.command);
            };
            assert_eq!(made_by(&group), command, "{line}");
        }
        for command in Command::requests().filter(|command| command.domain() == Domain::Group) {
            assert!(
                lines.iter().any(|(made, _)| *made == command),
                "nothing makes {command:?}"
            );
        }
        assert!(Arguments::try_parse_from("im group add g".split(' ')).is_err());
    }
}
