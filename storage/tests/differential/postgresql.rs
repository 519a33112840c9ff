//! The PostgreSQL store against the model, by ranks: the same histories, the same answers.

use proptest::{prelude::*, test_runner::TestCaseError};
use storage::{Outcome, Reader, Store, Writer, model::ModelStore, postgres::PostgresStore};

use crate::{Follower, RULES, answers, database, histories, invariants, ranked::Ranked};

/// A case asks some ten thousand questions, each of them over the network.
const CASES: u32 = 1;

fn config() -> proptest::test_runner::Config {
    let mut config = crate::config();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    config
}

struct Pair {
    model: Box<dyn Writer>,
    postgres: Box<dyn Writer>,
    model_reader: Box<dyn Reader>,
    postgres_reader: Box<dyn Reader>,
}

impl Pair {
    fn new() -> Self {
        let mut options = database::fresh();
        options.rules = RULES;
        let store = Ranked::new(PostgresStore::open(options).unwrap());
        let model = ModelStore::new(7, 8, RULES);
        Self {
            model: model.writer().unwrap(),
            postgres: store.writer().unwrap(),
            model_reader: model.reader().unwrap(),
            postgres_reader: store.reader().unwrap(),
        }
    }

    fn commit(&mut self, batch: &[storage::Write]) -> Result<(), TestCaseError> {
        let expected = self.model.commit(batch).unwrap();
        let found = self.postgres.commit(batch).unwrap();
        for (index, (expected, found)) in expected.iter().zip(&found).enumerate() {
            // How much there was to erase is each store's own.
            if !matches!(expected, Ok(Outcome::Erased(_))) {
                prop_assert_eq!(expected, found, "{} of {:#?}", index, batch);
            }
        }
        prop_assert_eq!(expected.len(), found.len());
        Ok(())
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn postgresql_answers_like_the_model(batches in histories::batches()) {
        let mut pair = Pair::new();
        pair.commit(&histories::accounts())?;
        for batch in &batches {
            pair.commit(batch)?;
        }
        answers::compare(pair.model_reader.as_mut(), pair.postgres_reader.as_mut())?;
        invariants::check(pair.postgres_reader.as_mut())?;
    }
}

/// Many histories, and only what their writes say and a look at the end: what a case costs most are the questions.
mod outcomes {
    use super::*;

    fn config() -> proptest::test_runner::Config {
        let mut config = crate::config();
        if std::env::var_os("PROPTEST_CASES").is_none() {
            config.cases = 12;
        }
        config
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn postgresql_decides_like_the_model(
            batches in histories::batches(),
            asks in prop::collection::vec(1..5_usize, 24),
        ) {
            let mut pair = Pair::new();
            pair.commit(&histories::accounts())?;
            let mut followers: Vec<Follower> =
                histories::USERS.map(|user| Follower::new(storage::UserId(user))).collect();
            for (batch, limit) in batches.iter().zip(&asks) {
                pair.commit(batch)?;
                for follower in &mut followers {
                    follower.ask(pair.postgres_reader.as_mut(), *limit)?;
                }
            }
            for follower in &mut followers {
                while follower.ask(pair.postgres_reader.as_mut(), 2)? {}
                follower.check(pair.postgres_reader.as_mut())?;
            }
            for viewer in histories::USERS.map(storage::UserId) {
                for conversation in histories::conversations() {
                    let page = |reader: &mut dyn Reader| {
                        let forward = storage::Direction::Forward;
                        reader.events(viewer, conversation, storage::Seq(1), forward, usize::MAX, usize::MAX).unwrap()
                    };
                    prop_assert_eq!(page(pair.model_reader.as_mut()), page(pair.postgres_reader.as_mut()));
                }
            }
            invariants::check(pair.postgres_reader.as_mut())?;
        }
    }
}
