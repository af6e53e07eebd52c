//! The figures as Markdown, as they stand in `infra/cost.md`.

use super::{
    bill::{self, Assumptions, One, Prices},
    cases::Case,
};
use std::{collections::BTreeSet, fmt::Write as _};

const BATCHES: [f64; 3] = [1.0, 3.0, 10.0];

/// Short of needless zeros: `3.04`, `0.1`, `12`.
fn number(value: f64) -> String {
    let text = if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn dollars(value: f64) -> String {
    format!("{value:.2}")
}

pub fn assumptions(prices: &Prices) -> String {
    let assumed = Assumptions::default();
    let ms = |seconds: f64| number(seconds * 1000.0);
    format!(
        "Prices of {} in {}. Assumed, not counted: the target answers in {} ms, a call to AWS takes {} ms, a function's \
         own work {} ms; a message becomes visible {} to {} s before it is due, so that an invocation holds {} s for a \
         batch of 1, {} s for 3, {} s for 10; {} MB for the dispatcher, {} MB for the API, arm64; Lambda's own log lines \
         have {} bytes for each invocation; what ended is kept for {} days.\n",
        prices.date,
        prices.region,
        ms(assumed.target),
        ms(assumed.table_call),
        ms(assumed.own_work),
        assumed.visible_early.0,
        assumed.visible_early.1,
        number(Assumptions { batch: 1.0, ..assumed }.hold()),
        number(Assumptions { batch: 3.0, ..assumed }.hold()),
        number(Assumptions { batch: 10.0, ..assumed }.hold()),
        assumed.dispatcher_memory,
        assumed.api_memory,
        assumed.platform_lines,
        assumed.retention,
    )
}

/// The bill of one kind, at each batch size.
pub fn bill_of(name: &str, one: &One, prices: &Prices) -> String {
    let bills =
        BATCHES.map(|batch| bill::bill(one, &Assumptions { batch, ..Assumptions::default() }, prices));
    let mut text = format!("### {name}\n\n");
    let usage = &one.usage;
    let _ = writeln!(
        text,
        "{} write units (the emulator says {}), {} read units (the emulator says {}).\n",
        number(usage.write_units),
        number(usage.reported_write_units),
        number(usage.read_units),
        number(usage.reported_read_units)
    );
    if usage.swept > 0.0 {
        let _ = writeln!(
            text,
            "The sweeper found {} of each overdue, which is in these figures.\n",
            number(usage.swept)
        );
    }
    text.push_str(
        "| part | for one, at 10 a batch | $ per million: 1 a batch | 3 | 10 |\n|---|--:|--:|--:|--:|\n",
    );
    for (at, line) in bills[2].iter().enumerate() {
        if bills.iter().any(|bill| bill[at].dollars > 0.0) {
            let _ = writeln!(
                text,
                "| {} | {} {} | {} | {} | {} |",
                line.what,
                number(line.quantity),
                line.unit,
                dollars(bills[0][at].dollars),
                dollars(bills[1][at].dollars),
                dollars(line.dollars)
            );
        }
    }
    for (what, sum) in [
        ("**sum without logs and storage**", bill::total as fn(&[bill::Line]) -> f64),
        ("with them", bill::all_told),
    ] {
        let [one, three, ten] = [0, 1, 2].map(|at| dollars(sum(&bills[at])));
        let _ = writeln!(text, "| {what} | | {one} | {three} | {ten} |");
    }
    text
}

/// What more memory costs the dispatcher.
pub fn memory(one: &One, prices: &Prices) -> String {
    let mut text = String::from(
        "### Memory of the dispatcher, a recurring execution\n\n| MB | $ per million: 1 a batch | 3 | 10 |\n|--:|--:|--:|--:|\n",
    );
    for memory in [128.0, 256.0, 512.0] {
        let [one, three, ten] = BATCHES.map(|batch| {
            let assumed = Assumptions { batch, dispatcher_memory: memory, ..Assumptions::default() };
            dollars(bill::total(&bill::bill(one, &assumed, prices)))
        });
        let _ = writeln!(text, "| {memory} | {one} | {three} | {ten} |");
    }
    text
}

/// Requests of the API, each for itself.
pub fn requests(cases: &[Case], prices: &Prices) -> String {
    let mut text = String::from(
        "### Requests of the API\n\nWithout what follows from them.\n\n| request | write units | read units | \
         SQS requests | schedules made or removed | $ per million requests |\n|---|--:|--:|--:|--:|--:|\n",
    );
    for case in cases {
        let usage = &case.one.usage;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            case.name,
            number(usage.write_units),
            number(usage.read_units),
            number(usage.sends),
            number(usage.schedules_made + usage.schedules_removed),
            dollars(bill::total(&bill::bill(&case.one, &Assumptions::default(), prices)))
        );
    }
    text
}

/// What a deployment costs that does nothing, in dollars a month.
pub fn standing(prices: &Prices) -> String {
    let minutes = 30.0 * 24.0 * 60.0;
    let gb_second = prices.of("lambda_gb_second_arm64");
    let million = |name: &str, count: f64| prices.of(name) * count / 1e6;
    let lines = [
        ("sealing key", prices.of("secret_month")),
        ("sweeper: an invocation a minute, 0.1 s at 128 MB", {
            million("lambda_million", minutes) + minutes * 0.1 * 0.125 * gb_second
        }),
        ("sweeper: 32 queries a minute, 0.5 read units each", {
            million("dynamodb_read_million", minutes * 32.0 * 0.5)
        }),
        ("sweeper: its schedule", million("scheduler_million", minutes)),
        // Five pollers, each asking for 20 s at a time.
        ("the event source mapping's empty receives, 15 a minute", million("sqs_million", minutes * 15.0)),
    ];
    let mut text = String::from("### A deployment that does nothing\n\n| part | $ a month |\n|---|--:|\n");
    for (what, cost) in lines {
        let _ = writeln!(text, "| {what} | {} |", dollars(cost));
    }
    let _ = writeln!(text, "| **sum** | {} |", dollars(lines.iter().map(|(_, cost)| cost).sum()));
    let _ = writeln!(
        text,
        "\nAnd ${} a month for each alarm, ${} for each metric of each app and outcome.",
        dollars(prices.of("alarm_month")),
        dollars(prices.of("metric_month"))
    );
    text
}

/// AWS's calls for each use case: a column for each operation that is ever called.
pub fn calls(cases: &[Case]) -> String {
    let operations: BTreeSet<&String> = cases.iter().flat_map(|case| case.one.usage.calls.keys()).collect();
    let mut text = String::from("| use case |");
    for operation in &operations {
        let (service, name) = operation.split_once(' ').unwrap_or(("", operation));
        let _ = write!(text, " {service} `{name}` |");
    }
    text.push_str("\n|---|");
    text.push_str(&"--:|".repeat(operations.len()));
    text.push('\n');
    for case in cases {
        let _ = write!(text, "| {} |", case.name);
        for operation in &operations {
            let count = case.one.usage.calls.get(*operation).copied().unwrap_or(0.0);
            let _ = write!(text, " {} |", if count == 0.0 { String::new() } else { number(count) });
        }
        text.push('\n');
    }
    text
}
