//! The bad weather of a drill on the embedded broker: what `thump up --weather SEED` lives under.

use std::time::Duration;

use broker::{Climate, Hold, Weather};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// The names under which the roles of `up` connect.
const ROLES: [&str; 3] = ["observer", "dispatcher", "runner"];
const QUEUES: [&str; 3] = ["thump.commits", "thump.jobs.default", "thump.results"];

/// What happens by chance, message by message.
pub fn climate() -> Climate {
    Climate {
        delay: Duration::from_millis(20),
        duplicate: 20,
        lose_message: 2,
        lose_confirm: 2,
        lose_ack: 2,
        lose_answer: 5,
        echo: 20,
    }
}

/// Blows until it is dropped: connections are cut or hold everything back for a while, queues are emptied, deleted and
/// brought out of order.
pub async fn blow(weather: Weather, seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    weather.set(climate());
    loop {
        tokio::time::sleep(Duration::from_secs_f64(random.random_range(0.3..3.0))).await;
        let role = ROLES.choose(&mut random).copied().unwrap_or(ROLES[0]);
        let queue = QUEUES.choose(&mut random).copied().unwrap_or(QUEUES[0]);
        match random.random_range(0..10) {
            0..4 => weather.cut(role),
            4..7 => {
                let hold = [Hold::ToBroker, Hold::FromBroker, Hold::Both].choose(&mut random).copied();
                weather.hold(role, hold.unwrap_or(Hold::Both));
                tokio::time::sleep(Duration::from_secs_f64(random.random_range(0.5..6.0))).await;
                weather.release(role);
            }
            7 => weather.purge(queue),
            8 => weather.delete(queue),
            _ => weather.shuffle(queue),
        }
    }
}
