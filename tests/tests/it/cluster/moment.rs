//! Who gets what is not stored: the members of the moment it is sent, on whichever node.

use protocol::{
    Push,
    v1::{self, QualityOfService},
};
use tests::harness::{ClusterSetup, User, text};

/// Removals and comings back that are tried.
const ROUNDS: usize = 20;

fn passing(group: u64, body: &str) -> v1::SendRequest {
    v1::SendRequest {
        quality: QualityOfService::AtMostOnce.into(),
        ..text(group, body)
    }
}

/// The bodies of what passes, up to the event of this seq of the group.
fn passed_until(user: &mut User, group: u64, seq: u64) -> Vec<String> {
    let mut bodies = Vec::new();
    loop {
        match user.conn.push() {
            Push::TransientPush(push) => {
                let body = push.content.unwrap_or_default().body;
                bodies.push(String::from_utf8_lossy(&body).into_owned());
            }
            Push::TypingPush(push) => bodies.push(format!("typing {}", push.typing)),
            Push::EventsPush(page) if page.conversation_id == group && page.to_seq >= seq => return bodies,
            _ => {}
        }
    }
}

#[test]
fn nobody_gets_what_passes_after_their_removal() {
    let cluster = ClusterSetup::nodes(2).start();
    let [here, there] = [&cluster.nodes[0], &cluster.nodes[1]];
    let mut ada = here.register("ada");
    let [mut bob, mut cyd] = there.register_all(["bob", "cyd"]);
    let group = ada.group("us", &[bob.id, cyd.id]);
    for round in 0..ROUNDS {
        // The other node knows the members, from before.
        cyd.get(passing(group, "before"));
        ada.remove(group, bob.id).unwrap();
        cyd.get(passing(group, "after"));
        cyd.get(v1::TypingRequest {
            conversation_id: group,
            typing: true,
        });
        let back = ada.add(group, &[bob.id]).unwrap();
        let bodies = passed_until(&mut bob, group, back.seq);
        assert_eq!(bodies, ["before"], "in round {round}");
    }
}
