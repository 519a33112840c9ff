//! Where users are connected, as data and in words. It owns the names of the fields, which are those of the JSON that
//! `imserver where --json` prints.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// Where several users are connected.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Whereabouts {
    /// False: Redis did not answer, and what is said of other nodes is missing.
    pub complete: bool,
    /// In the order in which they were asked for.
    pub users: Vec<UserWhereabouts>,
}

/// Where one user is connected.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct UserWhereabouts {
    /// As the user was asked for.
    pub asked: String,
    /// The id; absent if there is no such user.
    pub user_id: Option<u64>,
    /// The name; empty if there is no such user.
    pub name: String,
    /// Where, by node and session.
    pub connections: Vec<Whereabout>,
    /// When a session of the user was last noted as connected, in milliseconds since 1970. 0: there is none.
    pub last_seen_ms: u64,
}

/// One connection of a user.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Whereabout {
    /// The node.
    pub node: String,
    /// The session.
    pub session_id: u64,
    /// The device's own id; empty if the session has ended meanwhile.
    pub device_id: String,
    /// The device's name, for people.
    pub device_name: String,
    /// Whether nobody is at the device; absent for other nodes, which alone know.
    pub away: Option<bool>,
}

impl Whereabouts {
    /// A line for each connection, and one for each user who has none, with fields that tabs separate: user, id, node,
    /// session, device, its name, and whether somebody is there.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for user in &self.users {
            let id = user.user_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
            let name = if user.name.is_empty() {
                &user.asked
            } else {
                &user.name
            };
            for at in &user.connections {
                let state = match at.away {
                    Some(true) => "away",
                    Some(false) | None => "online",
                };
                // Writing to a string does not fail.
                let _ = writeln!(
                    text,
                    "{name}\t{id}\t{}\t{}\t{}\t{}\t{state}",
                    at.node, at.session_id, at.device_id, at.device_name
                );
            }
            if user.connections.is_empty() {
                let state = if user.user_id.is_some() {
                    "offline"
                } else {
                    "unknown"
                };
                let _ = writeln!(text, "{name}\t{id}\t-\t-\t-\t-\t{state}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_has_a_line_of_seven_fields_at_least() {
        let at = |node: &str, away| Whereabout {
            node: node.to_owned(),
            session_id: 5,
            device_id: "phone".to_owned(),
            device_name: "Ada's".to_owned(),
            away,
        };
        let user = |asked: &str, user_id: Option<u64>, connections| UserWhereabouts {
            asked: asked.to_owned(),
            user_id,
            name: user_id.map(|_| "ada".to_owned()).unwrap_or_default(),
            connections,
            last_seen_ms: 0,
        };
        let all = Whereabouts {
            complete: true,
            users: vec![
                user(
                    "#1",
                    Some(1),
                    vec![at("a", Some(true)), at("a", Some(false)), at("b", None)],
                ),
                user("ada", Some(1), Vec::new()),
                user("nobody", None, Vec::new()),
            ],
        };
        let expected = "ada\t1\ta\t5\tphone\tAda's\taway\n\
                        ada\t1\ta\t5\tphone\tAda's\tonline\n\
                        ada\t1\tb\t5\tphone\tAda's\tonline\n\
                        ada\t1\t-\t-\t-\t-\toffline\n\
                        nobody\t-\t-\t-\t-\t-\tunknown\n";
        assert_eq!(all.text(), expected);
        let json = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Whereabouts>(&json).unwrap(), all);
    }
}
