//! Every metric, declared once: the code uses the fields, the docs' inventory is compared with [`inventory`].

use std::sync::OnceLock;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};

/// What is known about a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// Its name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// UCUM unit.
    pub unit: &'static str,
    /// What it tells.
    pub meaning: &'static str,
}

/// From one millisecond to the deadline of a call.
const CALL_SECONDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
/// From a second to an hour: waiting, building, becoming live.
const WORK_SECONDS: &[f64] = &[0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0];
/// How many of something went together.
const SIZES: &[f64] = &[1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 10_000.0];

macro_rules! instruments {
    ($($field:ident: $type:ident $kind:ident $(($bounds:ident))? $name:literal $unit:literal $meaning:literal;)+) => {
        /// The instruments.
        #[derive(Debug)]
        pub struct Metrics {
            $(#[doc = $meaning] pub $field: $type,)+
        }

        impl Metrics {
            fn new(meter: &Meter) -> Self {
                Self {
                    $($field: meter.$kind($name).with_unit($unit).with_description($meaning)
                        $(.with_boundaries($bounds.to_vec()))?.build(),)+
                }
            }
        }

        const DECLARED: &[Instrument] = &[
            $(Instrument { name: $name, kind: kind_of(stringify!($kind)), unit: $unit, meaning: $meaning },)+
        ];
    };
}

type Count = Counter<u64>;
type Level = Gauge<u64>;
type Spread = Histogram<f64>;

instruments! {
    http_duration: Spread f64_histogram(CALL_SECONDS) "http.server.request.duration" "s"
        "From the first byte of a webhook to its answer; its count by status is the rate and the errors";
    rpc_duration: Spread f64_histogram(CALL_SECONDS) "rpc.server.call.duration" "s"
        "Calls of a service; its count by status is the rate and the errors";
    spool_waiting: Level u64_gauge "freshet.spool.waiting" "{delivery}"
        "Deliveries that wait in the spool for validation or content";
    spool_set_aside: Level u64_gauge "freshet.spool.set_aside" "{delivery}"
        "Deliveries of the spool that were refused for what is in them when they were replayed";
    ingest_batch: Spread f64_histogram(SIZES) "freshet.ingest.batch.size" "{delivery}"
        "Deliveries that one transaction stored";
    publish_batch: Spread f64_histogram(SIZES) "freshet.publish.batch.size" "{event}"
        "Events that the outbox published in one go";
    publish_failures: Count u64_counter "freshet.publish.failures" "{event}"
        "Events that the bus did not take and that were published again";
    receive_batch: Spread f64_histogram(SIZES) "freshet.receive.batch.size" "{message}"
        "Messages that the build service took in one go";
    event_age: Spread f64_histogram(WORK_SECONDS) "freshet.event.age" "s"
        "From the commit of a change to its place in a batch: the age of the queue";
    events_unreadable: Count u64_counter "freshet.events.unreadable" "{message}"
        "Messages that cannot be read and go to the dead-letter queue";
    builds: Count u64_counter "freshet.builds" "{build}"
        "Builds by how they ended";
    builds_saved: Count u64_counter "freshet.builds.saved" "{build}"
        "Changes that became live without a build of their own";
    build_duration: Spread f64_histogram(WORK_SECONDS) "freshet.build.duration" "s"
        "From the start of a build to its end";
    batch_changes: Spread f64_histogram(SIZES) "freshet.batch.changes" "{change}"
        "Changes that one build made live";
    batch_live: Spread f64_histogram(WORK_SECONDS) "freshet.batch.live.duration" "s"
        "From the first change of a batch to the moment it is live";
    lease_held: Level u64_gauge "freshet.lease.held" "1"
        "1 in the task that schedules builds";
}

/// Read from counts that are kept anyway, whenever they are exported; see [`observe`].
const OBSERVED: &[Instrument] = &[
    Instrument {
        name: "freshet.deliveries",
        kind: "counter",
        unit: "{delivery}",
        meaning: "Deliveries by what became of them",
    },
    Instrument { name: "freshet.aws.requests", kind: "counter", unit: "{request}", meaning: "Requests to AWS" },
    Instrument {
        name: "freshet.aws.repeated",
        kind: "counter",
        unit: "{request}",
        meaning: "Requests to AWS that were repeated attempts",
    },
    Instrument {
        name: "freshet.aws.errors",
        kind: "counter",
        unit: "{request}",
        meaning: "Requests to AWS that were answered with an error; a failed condition is one",
    },
    Instrument {
        name: "freshet.aws.unanswered",
        kind: "counter",
        unit: "{request}",
        meaning: "Requests to AWS without an answer in time",
    },
    Instrument {
        name: "freshet.aws.duration",
        kind: "counter",
        unit: "s",
        meaning: "Time that answered requests to AWS took, in sum",
    },
];

const fn kind_of(method: &str) -> &'static str {
    match method.as_bytes() {
        b"u64_counter" => "counter",
        b"u64_gauge" => "gauge",
        _ => "histogram",
    }
}

struct Exported {
    meter: Meter,
    metrics: Metrics,
}

static EXPORTED: OnceLock<Exported> = OnceLock::new();

/// Attributes with a value.
pub type Observation = (Vec<KeyValue>, f64);

/// The instruments, once something exports them. Until then nobody pays for attributes.
pub fn metrics() -> Option<&'static Metrics> {
    EXPORTED.get().map(|exported| &exported.metrics)
}

/// Every metric that Freshet's services export.
pub fn inventory() -> impl Iterator<Item = &'static Instrument> {
    DECLARED.iter().chain(OBSERVED)
}

/// An attribute of a measurement. Values must be few: providers, clients, sites, statuses; never ids of deliveries.
pub fn attribute(key: &'static str, value: impl Into<opentelemetry::Value>) -> KeyValue {
    KeyValue::new(key, value)
}

/// Exports a counter of the inventory whose sums since the start `read` tells. Does nothing if nothing is exported.
pub fn observe(name: &'static str, read: impl Fn() -> Vec<Observation> + Send + Sync + 'static) {
    let Some(known) = OBSERVED.iter().find(|instrument| instrument.name == name) else {
        debug_assert!(false, "{name} is not in the inventory");
        return;
    };
    if let Some(exported) = EXPORTED.get() {
        exported
            .meter
            .f64_observable_counter(name)
            .with_unit(known.unit)
            .with_description(known.meaning)
            .with_callback(move |observer| {
                for (attributes, value) in read() {
                    observer.observe(value, &attributes);
                }
            })
            .build();
    }
}

/// Makes the instruments. Later calls change nothing.
#[cfg(feature = "otlp")]
pub(super) fn enable(meter: Meter) {
    EXPORTED.get_or_init(|| Exported { metrics: Metrics::new(&meter), meter });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own_and_a_unit() {
        let mut names: Vec<&str> = inventory().map(|instrument| instrument.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), inventory().count());
        assert!(inventory().all(|instrument| !instrument.unit.is_empty() && !instrument.meaning.is_empty()));
    }
}
