//! A queue in memory with what matters of a real one: hidden messages, receive counts, dead letters.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use freshet_bus::{ContentChanged, DeadLetter, Message, Queue, QueueStats, Receipt};
use freshet_kit::Error;

/// Receipts before a message is dead.
const RECEIVES_MAX: u32 = 3;

#[derive(Default)]
pub(crate) struct FakeQueue {
    state: Mutex<State>,
    arrived: tokio::sync::Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    visible: VecDeque<(u64, Bytes, u32)>,
    hidden: Vec<(u64, Bytes, u32)>,
    dead: Vec<DeadLetter>,
}

impl FakeQueue {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, event: &ContentChanged) {
        self.push_raw(event.to_event().expect("an event").body);
    }

    pub(crate) fn push_raw(&self, body: Bytes) {
        let mut state = self.state();
        state.next += 1;
        let number = state.next;
        state.visible.push_back((number, body, 0));
        drop(state);
        self.arrived.notify_one();
    }

    /// What a visibility timeout does.
    pub(crate) fn show_hidden(&self) {
        let mut state = self.state();
        let hidden = std::mem::take(&mut state.hidden);
        state.visible.extend(hidden);
        drop(state);
        self.arrived.notify_one();
    }

    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let state = self.state();
        (state.visible.len(), state.hidden.len(), state.dead.len())
    }

    fn take(&self, max: usize) -> Vec<Message> {
        let mut state = self.state();
        let mut messages = Vec::new();
        while messages.len() < max {
            let Some((number, body, count)) = state.visible.pop_front() else { break };
            if count >= RECEIVES_MAX {
                state.dead.push(DeadLetter { body, receive_count: count, reason: String::new() });
                continue;
            }
            messages.push(Message {
                receipt: Receipt(number.to_string()),
                body: body.clone(),
                receive_count: count + 1,
            });
            state.hidden.push((number, body, count + 1));
        }
        messages
    }
}

#[async_trait]
impl Queue for FakeQueue {
    fn visibility(&self) -> Duration {
        Duration::from_secs(30)
    }

    async fn bury(&self, message: &Message, reason: &str) -> Result<(), Error> {
        let mut state = self.state();
        let of_message = |(number, _, _): &(u64, Bytes, u32)| Receipt(number.to_string()) == message.receipt;
        if let Some(position) = state.hidden.iter().position(of_message) {
            let (_, body, receive_count) = state.hidden.remove(position);
            state.dead.push(DeadLetter { body, receive_count, reason: reason.to_owned() });
        }
        Ok(())
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, Error> {
        let messages = self.take(max);
        if !messages.is_empty() {
            return Ok(messages);
        }
        let _ = tokio::time::timeout(wait.min(Duration::from_millis(100)), self.arrived.notified()).await;
        Ok(self.take(max))
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<(), Error> {
        self.state().hidden.retain(|(number, _, _)| !receipts.contains(&Receipt(number.to_string())));
        Ok(())
    }

    async fn extend(&self, _receipts: &[Receipt], _visibility: Duration) -> Result<(), Error> {
        Ok(())
    }

    async fn stats(&self) -> Result<QueueStats, Error> {
        Ok(QueueStats::default())
    }

    async fn dead_letters(&self, max: usize) -> Result<Vec<DeadLetter>, Error> {
        Ok(self.state().dead.iter().take(max).cloned().collect())
    }

    async fn redrive(&self) -> Result<u64, Error> {
        let dead = std::mem::take(&mut self.state().dead);
        dead.iter().for_each(|dead| self.push_raw(dead.body.clone()));
        Ok(dead.len() as u64)
    }
}
