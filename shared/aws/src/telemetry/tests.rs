use super::*;
use rondo_domain::{
    execution::Attempt,
    ids::{NO_SLOT, ScheduleId, Token},
};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

const START: i64 = 1_764_547_200_000;

struct Clocked(AtomicI64);

impl Clocked {
    fn pass(&self, span: Span) {
        self.0.fetch_add(i64::try_from(span.millis()).unwrap(), Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for Clocked {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, _at: Timestamp) {
        unreachable!("telemetry waits for nothing")
    }
}

type Items = BTreeMap<(AppKey, u64, String), String>;

/// The table's items, as far as statistics go.
#[derive(Clone, Default)]
struct Table {
    items: Arc<Mutex<Items>>,
    puts: Arc<AtomicI64>,
    away: Arc<AtomicBool>,
}

#[async_trait]
impl StatisticsItems for Table {
    async fn put(
        &self,
        app: &AppKey,
        hour: u64,
        writer: &str,
        json: &str,
        _: Timestamp,
    ) -> Result<(), StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("away".to_owned()));
        }
        self.puts.fetch_add(1, Ordering::SeqCst);
        let key = (app.clone(), hour, writer.to_owned());
        self.items.lock().unwrap().insert(key, json.to_owned());
        Ok(())
    }

    async fn all(&self, app: &AppKey) -> Result<Vec<String>, StoreError> {
        let items = self.items.lock().unwrap();
        Ok(items.iter().filter(|((of, ..), _)| of == app).map(|(_, json)| json.clone()).collect())
    }
}

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    fn take(&self) -> Vec<Value> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Bench {
    table: Table,
    clock: Arc<Clocked>,
    output: Output,
}

impl Bench {
    fn new() -> Bench {
        let clock = Arc::new(Clocked(AtomicI64::new(START)));
        Bench { table: Table::default(), clock, output: Output::default() }
    }

    fn process(&self, writer: u128) -> Telemetry {
        Telemetry::new(self.table.clone(), "stack", writer, self.clock.clone())
            .writing_to(self.output.clone())
    }

    fn puts(&self) -> i64 {
        self.table.puts.load(Ordering::SeqCst)
    }
}

fn app(key: &str) -> AppKey {
    key.parse().unwrap()
}

fn ended(key: &str, status: ExecutionStatus, late: Option<i64>) -> Execution {
    let due = Timestamp::from_millis(START);
    let id = ScheduleId::new(due, 9).execution(3, NO_SLOT);
    let mut execution = Execution::new(id, app(key), 1, due, due, Token(1));
    execution.status = status;
    execution.attempts.extend(late.map(|late| Attempt {
        sent_at: Timestamp::from_millis(START + late),
        first_byte_at: None,
        done_at: Timestamp::from_millis(START + late + 5),
        status: Some(200),
        failure: None,
        body: String::new(),
    }));
    execution
}

#[tokio::test]
async fn metrics_are_by_app_and_outcome_with_at_most_a_hundred_values_in_a_line() {
    let bench = Bench::new();
    let telemetry = bench.process(1);
    for late in 0..250 {
        telemetry.ended(&ended("ours", ExecutionStatus::Succeeded, Some(late)));
    }
    let mut run = ended("theirs", ExecutionStatus::Missed, None);
    run.through = Some(7);
    telemetry.ended(&run);
    telemetry.trouble("a wake could not be set", &StoreError::Unavailable("throttled".to_owned()));
    telemetry.count("SweptSchedules", 0);
    telemetry.flush().await;

    let lines = bench.output.take();
    assert_eq!(lines.len(), 5);
    let values = |line: &Value| line["LatenessMs"].as_array().map_or(0, Vec::len);
    assert_eq!(lines.iter().map(values).collect::<Vec<_>>(), [100, 100, 50, 0, 0]);
    let executions: u64 = lines.iter().filter_map(|line| line["Executions"].as_u64()).sum();
    assert_eq!(executions, 255, "each counted once, a run of five missed ones as five");
    is_as_specified(&lines[0]);
    assert_eq!(
        (&lines[3]["App"], &lines[3]["Outcome"], &lines[3]["Executions"]),
        (&"theirs".into(), &"missed".into(), &5.into())
    );
    assert_eq!((&lines[4]["Trouble"], &lines[4]["SweptSchedules"]), (&1.into(), &0.into()));
    assert_eq!(lines[4]["_aws"]["CloudWatchMetrics"][0]["Dimensions"], serde_json::json!([["Stack"]]));

    telemetry.flush().await;
    assert_eq!(bench.output.take(), Vec::<Value>::new(), "nothing is said twice");
}

/// Every metric and dimension that a line announces stands in it, as the specification demands.
fn is_as_specified(line: &Value) {
    let of = &line["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(line["_aws"]["Timestamp"], START);
    assert_eq!(of["Namespace"], "Rondo");
    assert_eq!(of["Dimensions"], serde_json::json!([["Stack"], ["Stack", "App", "Outcome"]]));
    assert_eq!(
        (&line["Stack"], &line["App"], &line["Outcome"]),
        (&"stack".into(), &"ours".into(), &"succeeded".into())
    );
    for metric in of["Metrics"].as_array().unwrap() {
        assert!(!line[metric["Name"].as_str().unwrap()].is_null());
    }
}

#[tokio::test]
async fn statistics_are_written_once_a_minute_and_added_up_over_processes() {
    let bench = Bench::new();
    let (one, other) = (bench.process(1), bench.process(2));
    one.ended(&ended("ours", ExecutionStatus::Succeeded, Some(4)));
    one.flush().await;
    assert_eq!(bench.puts(), 1);
    one.ended(&ended("ours", ExecutionStatus::Failed, Some(400)));
    one.flush().await;
    assert_eq!(bench.puts(), 1, "within the minute");
    other.ended(&ended("ours", ExecutionStatus::Skipped, None));
    other.flush().await;
    bench.clock.pass(Span::from_secs(60));
    one.flush().await;
    one.flush().await;
    assert_eq!(bench.puts(), 3);

    let reader = bench.process(3);
    let seen = reader.statistics(&app("ours")).await.unwrap();
    assert_eq!((seen.succeeded, seen.failed, seen.skipped, seen.missed), (1, 1, 1, 0));
    let lateness = seen.lateness.unwrap();
    assert_eq!((lateness.p50, lateness.p99, lateness.max), (4, 400, 400));
    let none = reader.statistics(&app("theirs")).await.unwrap();
    assert_eq!((none.succeeded, none.lateness), (0, None));
    assert_eq!(bench.puts(), 3, "who has counted nothing writes nothing");
}

#[tokio::test]
async fn what_this_process_counted_is_in_its_own_answer_at_once() {
    let bench = Bench::new();
    let telemetry = bench.process(1);
    for _ in 0..2 {
        telemetry.ended(&ended("ours", ExecutionStatus::Succeeded, Some(4)));
        telemetry.flush().await;
    }
    assert_eq!(telemetry.statistics(&app("ours")).await.unwrap().succeeded, 2);
}

#[tokio::test]
async fn a_write_that_failed_is_made_up_for_even_after_its_hour() {
    let bench = Bench::new();
    let telemetry = bench.process(1);
    bench.table.away.store(true, Ordering::SeqCst);
    telemetry.ended(&ended("ours", ExecutionStatus::Succeeded, Some(4)));
    telemetry.flush().await;
    bench.clock.pass(Span::from_secs(3600));
    bench.table.away.store(false, Ordering::SeqCst);
    telemetry.ended(&ended("ours", ExecutionStatus::Succeeded, Some(6)));
    telemetry.flush().await;
    assert_eq!(bench.puts(), 2, "an item for each hour");
    assert_eq!(bench.process(2).statistics(&app("ours")).await.unwrap().succeeded, 2);
    assert_eq!(telemetry.gathered().tallies.len(), 1, "the hour that is over is forgotten");
}

#[tokio::test]
async fn a_day_counts_and_no_more() {
    let bench = Bench::new();
    let telemetry = bench.process(1);
    telemetry.ended(&ended("ours", ExecutionStatus::Succeeded, Some(4)));
    telemetry.flush().await;
    bench.clock.pass(Span::from_secs(23 * 3600));
    let seen = telemetry.statistics(&app("ours")).await.unwrap();
    assert_eq!((seen.succeeded, seen.since), (1, Timestamp::from_millis(START)));
    bench.clock.pass(Span::from_secs(3600));
    let seen = telemetry.statistics(&app("ours")).await.unwrap();
    assert_eq!((seen.succeeded, seen.since), (0, Timestamp::from_millis(START + 3_600_000)));
}

#[tokio::test]
async fn an_item_that_cannot_be_read_is_said_without_its_content() {
    let bench = Bench::new();
    bench.table.put(&app("ours"), 1, "w", r#"{"hour":"secret"}"#, Timestamp::MAX).await.unwrap();
    let error = bench.process(1).statistics(&app("ours")).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Corrupt(why) if why.contains("ours") && !why.contains("secret")),
        "{error}"
    );
}
