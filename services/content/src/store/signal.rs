//! Wakes whoever waits for the feed.

use std::time::Duration;

use tokio::sync::watch;

/// Tells that the feed grew. A hint, not a promise: whoever waits looks at the feed, and looks again after a while.
#[derive(Debug)]
pub struct FeedSignal {
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    grown: u64,
    closed: bool,
}

/// One who waits. Sees every growth since it was made.
#[derive(Debug)]
pub struct FeedWaiter {
    state: watch::Receiver<State>,
}

impl Default for FeedSignal {
    fn default() -> Self {
        Self { state: watch::Sender::new(State::default()) }
    }
}

impl FeedSignal {
    /// Says that the feed grew.
    pub fn grew(&self) {
        self.state.send_modify(|state| state.grown += 1);
    }

    /// Says that nobody shall wait any more: the process stops.
    pub fn close(&self) {
        self.state.send_modify(|state| state.closed = true);
    }

    /// Somebody who waits from now on.
    pub fn waiter(&self) -> FeedWaiter {
        FeedWaiter { state: self.state.subscribe() }
    }
}

impl FeedWaiter {
    /// Waits until the feed grows or `at_most` has passed. False: closed.
    pub async fn wait(&mut self, at_most: Duration) -> bool {
        if self.state.borrow().closed {
            return false;
        }
        let _ = tokio::time::timeout(at_most, self.state.changed()).await;
        !self.state.borrow().closed
    }

    /// True once nobody shall wait any more.
    pub fn is_closed(&self) -> bool {
        self.state.borrow().closed
    }
}
