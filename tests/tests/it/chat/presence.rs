//! Who is told how present somebody is, on one node.

use protocol::{
    Push,
    v1::{self, ErrorCode, PresenceState},
};
use tests::harness::{Daemon, Setup, User, Web, socket::Socket};

use crate::cluster::until;

fn watch(user_ids: &[u64]) -> v1::WatchPresenceRequest {
    v1::WatchPresenceRequest {
        user_ids: user_ids.to_vec(),
    }
}

/// What a connection is told of its own user.
#[track_caller]
fn watches_itself(user: &mut User) -> PresenceState {
    let id = user.id;
    let told = user.get(watch(&[id])).presences;
    assert_eq!((told.len(), told[0].user_id), (1, id));
    told[0].state()
}

#[track_caller]
fn told(user: &mut User) -> PresenceState {
    match user.conn.push() {
        Push::PresencePush(presence) => {
            assert_eq!(presence.user_id, user.id);
            presence.state()
        }
        other => panic!("{other:?}"),
    }
}

fn set_away(user: &mut User, away: bool) {
    user.get(v1::SetAwayRequest { away });
}

#[test]
fn a_user_is_as_present_as_their_most_present_device() {
    let daemon = Setup::config("[timeouts]\npresence_grace_ms = 0\n").start();
    let mut phone = daemon.register("ada");
    assert_eq!(watches_itself(&mut phone), PresenceState::Online);
    set_away(&mut phone, true);
    assert_eq!(told(&mut phone), PresenceState::Away);
    let mut laptop = daemon.login("ada", "laptop");
    assert_eq!(told(&mut phone), PresenceState::Online);
    set_away(&mut laptop, true);
    assert_eq!(told(&mut phone), PresenceState::Away);
    assert_eq!(watches_itself(&mut laptop), PresenceState::Away);
    set_away(&mut laptop, false);
    assert_eq!(told(&mut phone), PresenceState::Online);
    assert_eq!(told(&mut laptop), PresenceState::Online);
    drop(laptop);
    assert_eq!(told(&mut phone), PresenceState::Away);
    // Nobody is watched any more: what then happens is not told.
    assert!(phone.get(watch(&[])).presences.is_empty());
    set_away(&mut phone, false);
    let mut socket = Socket::resume(daemon.address(), protocol::Encoding::Json, &phone.token);
    drop(phone);
    // Through another door it is the same, and a new connection begins present.
    let presences = socket.ask(watch(&[1])).unwrap().presences;
    assert_eq!(presences.len(), 1);
}

#[test]
fn a_stranger_is_told_the_same_of_anybody_and_never_of_a_change() {
    let daemon = Setup::config("[timeouts]\npresence_grace_ms = 0\n").start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let nobody = 2_000_000;
    let offline = |id: u64| v1::Presence {
        user_id: id,
        state: PresenceState::Offline.into(),
        last_seen_ms: 0,
    };
    let asked = [bob.id, nobody, bob.id];
    let expected = asked.map(offline);
    assert_eq!(ada.get(watch(&asked)).presences, expected);
    set_away(&mut bob, true);
    set_away(&mut bob, false);
    assert_eq!(watches_itself(&mut bob), PresenceState::Online);
    let (id, address, token) = (bob.id, bob.address, bob.token.clone());
    drop(bob);
    assert_eq!(ada.get(watch(&asked)).presences, expected);
    let again = Socket::resume(address, protocol::Encoding::Protobuf, &token);
    assert_eq!(ada.get(watch(&asked)).presences, expected);
    drop(again);
    assert_eq!(ada.get(watch(&[id])).presences, [offline(id)]);
    assert_eq!(ada.pushes_so_far(), []);
}

#[test]
fn a_watch_belongs_to_its_connection() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let watches = || {
        let metrics = Daemon::run_to_end(&[
            "status".into(),
            "--metrics".into(),
            "--data-dir".into(),
            daemon.data_dir().into(),
        ]);
        let line = metrics
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix("imserver_presence_watches "));
        line.unwrap().to_owned()
    };
    assert_eq!(ada.refused(watch(&[0])), ErrorCode::Invalid);
    assert_eq!(ada.refused(watch(&[ada.id; 501])), ErrorCode::TooMany);
    ada.get(watch(&[ada.id, 7, 8]));
    until("three watches", || watches() == "3");
    let mut web = Web::to(ada.address);
    for command in ["watch_presence", "set_away"] {
        let answer = web.call(&ada.token, command, "{}");
        assert_eq!(answer.status, 404, "{command}");
        assert!(answer.text().contains("belongs to a connection"));
    }
    drop(ada);
    until("none", || watches() == "0");
}
