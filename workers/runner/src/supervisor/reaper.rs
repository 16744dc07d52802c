//! Collects every child that ends, also the inherited ones, in a thread of its own.
//!
//! Apart from the loop because waiting for children and waiting for orders are two blocking calls.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, WaitStatus, wait, waitid};

use super::Event;

/// Says on the supervisor's channel which child ended, and when none is left.
pub(super) struct Reaper {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Held while a step is spawned: on a failed exec the standard library waits for that child itself
    /// and would find it gone. True when there may be children again.
    spawned: Mutex<bool>,
    again: Condvar,
}

impl Reaper {
    pub(super) fn start(events: Sender<Event>) -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        std::thread::spawn(move || reap(&theirs, &events));
        Self { shared }
    }

    /// Spawns something while no child is collected.
    pub(super) fn spawn<T>(&self, spawn: impl FnOnce() -> T) -> T {
        let mut spawned = lock(&self.shared);
        let result = spawn();
        *spawned = true;
        self.shared.again.notify_all();
        result
    }
}

/// Whether no process of the job is left, neither alive nor waiting to be collected.
pub(super) fn childless() -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::All, look), Err(Errno::CHILD))
}

fn reap(shared: &Shared, events: &Sender<Event>) {
    loop {
        // Looks first and collects under the lock, so that a spawn is never in between.
        match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Err(Errno::CHILD) => {
                if events.send(Event::Childless).is_err() {
                    return;
                }
                let mut spawned = lock(shared);
                while !*spawned {
                    spawned = shared.again.wait(spawned).unwrap_or_else(PoisonError::into_inner);
                }
                *spawned = false;
            }
            Err(_) => {}
            Ok(_) => {
                let _guard = lock(shared);
                if let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG)
                    && events.send(Event::Ended(pid, status)).is_err()
                {
                    return;
                }
            }
        }
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, bool> {
    shared.spawned.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the status of a child says.
pub(super) fn step_end(status: WaitStatus) -> messages::StepEnd {
    match (status.exit_status(), status.terminating_signal()) {
        (_, Some(signal)) => messages::StepEnd::Signalled { signal },
        (code, None) => messages::StepEnd::Exited { code: code.unwrap_or(-1) },
    }
}

/// The id of a child just spawned.
pub(super) fn pid_of(child: &std::process::Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}
