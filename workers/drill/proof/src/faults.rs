//! Which fault hits whom and when. The same seed and the same wishes give the same plan.

use std::fmt;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

/// A process of Thump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The observer.
    Observer,
    /// One of the dispatchers, whether it leads or waits.
    Dispatcher(usize),
    /// One of the runners.
    Runner(usize),
    /// All of them in one process, with the broker inside.
    Everything,
}

/// Which way bytes do not go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the role to the broker.
    Out,
    /// From the broker to the role.
    In,
    /// Neither way.
    Both,
}

/// What is wrong with a line that still carries something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slow {
    /// Everything arrives so many milliseconds late.
    Late(u64),
    /// So many bytes in a second.
    Thin(u32),
    /// In pieces of so many bytes.
    Sliced(usize),
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL; started again after the pause.
    Kill(Role, Duration),
    /// SIGTERM, which the role must obey; started again after the pause.
    Stop(Role, Duration),
    /// SIGSTOP, and SIGCONT after the time.
    Freeze(Role, Duration),
    /// All connections of the role are reset.
    Reset(Role),
    /// All connections of the role are closed in order.
    Close(Role),
    /// Connections stay open and nothing arrives, for the time.
    BlackHole(Role, Way, Duration),
    /// The line is slow, for the time.
    Slow(Role, Slow, Duration),
    /// All connections of the role are reset after so many more bytes.
    Cut(Role, Way, u64),
    /// Connections are reset and new ones refused, for the time.
    Refuse(Role, Duration),
    /// The broker is killed, and started again after the pause.
    BrokerKill(Duration),
    /// The broker is stopped in order, and started again after the pause.
    BrokerStop(Duration),
    /// The broker's clock is stopped for the time.
    BrokerFreeze(Duration),
    /// A queue is emptied.
    Purge(&'static str),
    /// A queue is deleted.
    Delete(&'static str),
    /// So many messages that were once sent are sent again, old ones too.
    Double(usize),
    /// So many messages that nobody can read are sent everywhere.
    Garbage(usize),
}

/// A fault and its time, counted from the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// When.
    pub at: Duration,
    /// What.
    pub fault: Fault,
}

/// What a plan is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// How many faults, those of the broker included.
    pub faults: usize,
    /// From the first fault to the last one.
    pub over: Duration,
    /// How many runners there are.
    pub runners: usize,
    /// How many dispatchers there are.
    pub dispatchers: usize,
    /// How many times the broker is killed.
    pub broker_kills: usize,
    /// How many times the broker is stopped in order.
    pub broker_stops: usize,
    /// What can be hurt at all.
    pub reach: Reach,
}

/// What whoever injects the faults can lay hands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// One process with everything in it.
    Process,
    /// The roles, their lines to the broker, and its queues.
    Lines,
    /// The broker's own process too.
    Broker,
}

/// Queues that may be emptied or deleted.
pub const QUEUES: [&str; 5] = ["thump.jobs.default", "thump.results", "thump.commits", "thump.logs", "thump.dead"];

/// Makes the plan: faults at jittered, even distances, the broker's outages evenly among them.
pub fn plan(seed: u64, wishes: &Wishes) -> Vec<Planned> {
    let mut random = SmallRng::seed_from_u64(seed);
    let outages = (wishes.broker_kills + wishes.broker_stops).min(wishes.faults);
    let mut kinds = vec![true; wishes.broker_kills.min(outages)];
    kinds.resize(outages, false);
    kinds.shuffle(&mut random);
    let distance = wishes.over / u32::try_from(wishes.faults.max(1)).unwrap_or(u32::MAX);
    let mut planned = Vec::with_capacity(wishes.faults);
    for index in 0..wishes.faults {
        let jitter = distance.mul_f64(random.random_range(0.0..0.9));
        let at = distance * u32::try_from(index).unwrap_or(u32::MAX) + jitter;
        // The n-th outage stands in the middle of the n-th part of the plan.
        let outage = (0..outages).find(|n| (2 * n + 1) * wishes.faults / (2 * outages) == index);
        let fault = match outage {
            Some(n) => broker_outage(&mut random, kinds[n]),
            None => any(&mut random, wishes),
        };
        planned.push(Planned { at, fault });
    }
    planned
}

fn broker_outage(random: &mut SmallRng, kill: bool) -> Fault {
    let pause = Duration::from_millis(random.random_range(0..3000));
    if kill { Fault::BrokerKill(pause) } else { Fault::BrokerStop(pause) }
}

fn any(random: &mut SmallRng, wishes: &Wishes) -> Fault {
    let role = role(random, wishes);
    if wishes.reach == Reach::Process {
        return of_a_process(random);
    }
    let seconds = |random: &mut SmallRng, from: f64, to: f64| Duration::from_secs_f64(random.random_range(from..to));
    // Half of the dead come back before anybody can have noticed, half of them long after.
    let pause = if random.random() { seconds(random, 0.0, 0.5) } else { seconds(random, 2.5, 4.0) };
    match random.random_range(0..100) {
        0..22 => Fault::Kill(role, pause),
        22..30 => Fault::Stop(role, pause),
        // Shorter and longer than a lease.
        30..38 => {
            Fault::Freeze(role, if random.random() { seconds(random, 0.5, 8.0) } else { seconds(random, 16.0, 20.0) })
        }
        38..48 => Fault::Reset(role),
        48..51 => Fault::Close(role),
        51..61 => Fault::BlackHole(role, way(random), seconds(random, 1.0, 20.0)),
        61..68 => Fault::Slow(role, slow(random), seconds(random, 2.0, 10.0)),
        68..75 => Fault::Cut(role, way(random), random.random_range(1..4000)),
        75..79 => Fault::Refuse(role, seconds(random, 0.5, 6.0)),
        79..81 if wishes.reach == Reach::Broker => Fault::BrokerFreeze(seconds(random, 0.5, 4.0)),
        79..86 => Fault::Purge(queue(random)),
        // A RabbitMQ 3.10 may lose all dead-lettering by it, and only its restart helps (docs/operate.md).
        86..90 if wishes.reach == Reach::Broker => Fault::Delete(queue(random)),
        86..97 => Fault::Double(random.random_range(5..60)),
        _ => Fault::Garbage(random.random_range(5..30)),
    }
}

/// Most of them kill, for nothing else takes runner, dispatcher and broker at once.
fn of_a_process(random: &mut SmallRng) -> Fault {
    let role = Role::Everything;
    let pause = Duration::from_secs_f64(random.random_range(0.0..1.0));
    match random.random_range(0..10) {
        0..7 => Fault::Kill(role, pause),
        7..9 => Fault::Stop(role, pause),
        _ => Fault::Freeze(role, Duration::from_secs_f64(random.random_range(0.5..8.0))),
    }
}

fn role(random: &mut SmallRng, wishes: &Wishes) -> Role {
    match random.random_range(0..10) {
        0..2 => Role::Observer,
        2..5 if wishes.dispatchers > 0 => Role::Dispatcher(random.random_range(0..wishes.dispatchers)),
        _ => Role::Runner(random.random_range(0..wishes.runners.max(1))),
    }
}

fn way(random: &mut SmallRng) -> Way {
    [Way::Out, Way::In, Way::Both].choose(random).copied().unwrap_or(Way::Both)
}

fn slow(random: &mut SmallRng) -> Slow {
    match random.random_range(0..3) {
        0 => Slow::Late(random.random_range(20..400)),
        1 => Slow::Thin(random.random_range(8_000..64_000)),
        _ => Slow::Sliced(random.random_range(1..8)),
    }
}

fn queue(random: &mut SmallRng) -> &'static str {
    QUEUES.choose(random).copied().unwrap_or(QUEUES[0])
}

impl Fault {
    /// Whether it takes the whole broker away.
    pub fn is_outage(self) -> bool {
        matches!(self, Self::BrokerKill(_) | Self::BrokerStop(_))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Observer => write!(text, "observer"),
            Self::Dispatcher(number) => write!(text, "dispatcher-{number}"),
            Self::Runner(number) => write!(text, "runner-{number}"),
            Self::Everything => write!(text, "everything"),
        }
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(text, "{:>9.3} s  {}", self.at.as_secs_f64(), self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(role, pause) => write!(text, "kill {role}, back after {pause:.1?}"),
            Self::Stop(role, pause) => write!(text, "stop {role}, back after {pause:.1?}"),
            Self::Freeze(role, time) => write!(text, "freeze {role} for {time:.1?}"),
            Self::Reset(role) => write!(text, "reset the connections of {role}"),
            Self::Close(role) => write!(text, "close the connections of {role}"),
            Self::BlackHole(role, way, time) => write!(text, "black hole at {role}, {way:?}, for {time:.1?}"),
            Self::Slow(role, slow, time) => write!(text, "slow line at {role}, {slow:?}, for {time:.1?}"),
            Self::Cut(role, way, bytes) => write!(text, "cut {role}, {way:?}, after {bytes} bytes"),
            Self::Refuse(role, time) => write!(text, "refuse {role} for {time:.1?}"),
            Self::BrokerKill(pause) => write!(text, "kill the broker, back after {pause:.1?}"),
            Self::BrokerStop(pause) => write!(text, "stop the broker, back after {pause:.1?}"),
            Self::BrokerFreeze(time) => write!(text, "freeze the broker for {time:.1?}"),
            Self::Purge(queue) => write!(text, "purge {queue}"),
            Self::Delete(queue) => write!(text, "delete {queue}"),
            Self::Double(count) => write!(text, "send {count} messages again"),
            Self::Garbage(count) => write!(text, "send {count} messages of garbage"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WISHES: Wishes = Wishes {
        faults: 600,
        over: Duration::from_secs(1200),
        runners: 4,
        dispatchers: 2,
        broker_kills: 40,
        broker_stops: 10,
        reach: Reach::Broker,
    };

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_one_another() {
        assert_eq!(plan(7, &WISHES), plan(7, &WISHES));
        assert_ne!(plan(7, &WISHES), plan(8, &WISHES));
    }

    #[test]
    fn a_plan_has_what_was_wished_in_order_of_time() {
        for seed in 0..20 {
            let plan = plan(seed, &WISHES);
            assert_eq!(plan.len(), 600);
            assert!(plan.windows(2).all(|pair| pair[0].at <= pair[1].at));
            assert!(plan.last().expect("one").at <= WISHES.over);
            let kills = plan.iter().filter(|planned| matches!(planned.fault, Fault::BrokerKill(_))).count();
            let outages = plan.iter().filter(|planned| planned.fault.is_outage()).count();
            assert_eq!((kills, outages), (40, 50));
        }
    }

    #[test]
    fn a_plan_hits_everybody_with_everything() {
        let text: Vec<String> = plan(1, &WISHES).iter().map(ToString::to_string).collect();
        let text = text.join("\n");
        for word in [
            "kill observer",
            "kill dispatcher-0",
            "kill dispatcher-1",
            "kill runner-3",
            "stop runner",
            "freeze runner",
            "reset",
            "close",
            "black hole",
            "slow",
            "cut",
            "refuse",
            "freeze the broker",
            "purge",
            "delete",
            "again",
            "garbage",
        ] {
            assert!(text.contains(word), "no {word} in\n{text}");
        }
    }

    #[test]
    fn a_plan_hits_only_what_is_in_reach() {
        let outages = Wishes { broker_kills: 0, broker_stops: 0, ..WISHES };
        let lines = plan(5, &Wishes { reach: Reach::Lines, ..outages });
        assert!(
            !lines.iter().any(|planned| matches!(planned.fault, Fault::BrokerFreeze(_) | Fault::Delete(_))
                || planned.fault.is_outage())
        );
        let process = plan(5, &Wishes { reach: Reach::Process, ..outages });
        let of_everything = |fault| {
            matches!(
                fault,
                Fault::Kill(Role::Everything, _)
                    | Fault::Stop(Role::Everything, _)
                    | Fault::Freeze(Role::Everything, _)
            )
        };
        assert!(process.iter().all(|planned| of_everything(planned.fault)));
    }

    #[test]
    fn a_small_plan_still_keeps_its_outages() {
        let wishes = Wishes { faults: 3, broker_kills: 1, broker_stops: 1, ..WISHES };
        assert_eq!(plan(3, &wishes).iter().filter(|planned| planned.fault.is_outage()).count(), 2);
    }
}
