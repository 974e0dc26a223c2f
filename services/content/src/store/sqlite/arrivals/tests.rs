use super::*;
use crate::store::contract::support::*;

fn arrival(prepared: &Arc<Prepared>, number: u64) -> Arrival {
    Arrival { prepared: prepared.clone(), journaled: Some(number), is_new: true, answer: None }
}

/// And not only when a whole transaction is done: whoever answers would have nothing to do while it lasts.
#[test]
fn there_is_room_for_one_as_soon_as_one_is_written() {
    let arrivals = Arrivals::new(0, false);
    let prepared = Arc::new(Prepared::new(delivery(vec![])));
    let has_room = || arrivals.has_room(&arrivals.state(), &|_| true);
    let mut numbers = 1..;
    let mut enter =
        |count: usize| arrivals.enter(numbers.by_ref().take(count).map(|number| arrival(&prepared, number)));
    enter(WAITING_MAX - 1);
    assert!(has_room());
    enter(1);
    assert!(!has_room(), "as many as may wait");
    let first = arrivals.next(Duration::ZERO, 0).expect("a batch").batch;
    assert!(!has_room(), "taken and not written yet");
    arrivals.wrote_one();
    assert!(has_room(), "one is written");
    enter(1);
    assert!(!has_room(), "and another one came in its place");
    for _ in 1..first.len() {
        arrivals.wrote_one();
    }
    enter(first.len() - 1);
    assert!(!has_room());
    arrivals.applied(&first, 0, || {});
    let second = arrivals.next(Duration::ZERO, 0).expect("the next batch").batch;
    assert!(!has_room(), "what was written of the batch before does not count for this one");
    arrivals.failed(second, &closed());
    assert!(!has_room(), "they wait again");
    let again = arrivals.next(Duration::ZERO, 0).expect("the same").batch;
    arrivals.failed(again, &closed());
    arrivals.state().queue.pop_front();
    assert!(has_room(), "and each of them once only");
}
