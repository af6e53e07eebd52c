//! What the native API must refuse: bodies, and where each is wrong.

use crate::bodies::{long, native, trigger, with, without};
use serde_json::{Value, json};

/// Each body is refused with 400, and the first error's pointer is this.
pub fn native_cases() -> Vec<(Value, String)> {
    let mut cases: Vec<(Value, &str)> = Vec::new();
    let wrong_types = |wanted: &[&str]| {
        let all = [
            ("number", json!(-7.5)),
            ("string", json!("§")),
            ("boolean", json!(true)),
            ("array", json!([1])),
            ("object", json!({"§": 1})),
        ];
        all.into_iter().filter(|(name, _)| !wanted.contains(name)).map(|(_, value)| value).collect::<Vec<_>>()
    };
    for required in ["/trigger", "/target", "/target/http", "/target/http/url", "/trigger/interval/every"] {
        cases.push((without(native(), required), required));
        cases.push((with(native(), required, Value::Null), required));
    }
    // A trigger without a kind is wrong as a whole.
    cases.push((without(native(), "/trigger/interval"), "/trigger"));
    for (pointer, wanted) in [
        ("/name", &["string"][..]),
        ("/trigger", &["object"]),
        ("/trigger/interval", &["object"]),
        ("/trigger/interval/every", &[]),
        ("/trigger/interval/delay", &[]),
        ("/trigger/interval/occurrences", &[]),
        ("/trigger/interval/end", &[]),
        ("/target", &["object"]),
        ("/target/http", &["object"]),
        ("/target/http/url", &[]),
        ("/target/http/method", &[]),
        ("/target/http/headers", &["object"]),
        ("/target/http/headers/x-a", &["string"]),
        ("/delivery", &["object"]),
        ("/delivery/timeout", &[]),
        ("/delivery/retry", &["object"]),
        ("/delivery/retry/max_attempts", &[]),
        ("/delivery/retry/initial", &[]),
        ("/delivery/retry/factor", &[]),
        ("/delivery/retry/max_interval", &[]),
        ("/delivery/retry/max_age", &[]),
        ("/delivery/on_failure", &[]),
        ("/policy", &["object"]),
        ("/policy/missed", &[]),
        ("/policy/max_lateness", &[]),
        ("/policy/overlap", &[]),
        ("/policy/dst_gap", &[]),
        ("/policy/dst_fold", &[]),
        ("/policy/spread", &[]),
        ("/tags", &["object"]),
        ("/tags/team", &["string"]),
    ] {
        cases.extend(wrong_types(wanted).into_iter().map(|value| (with(native(), pointer, value), pointer)));
    }
    for unknown in [
        "/colour",
        "/trigger/colour",
        "/trigger/interval/colour",
        "/target/colour",
        "/target/http/colour",
        "/delivery/colour",
        "/delivery/retry/colour",
        "/policy/colour",
    ] {
        cases.push((with(native(), unknown, json!(1)), unknown));
    }
    for shown in ["/id", "/status", "/created_at", "/occurrences", "/counts"] {
        cases.push((with(native(), shown, json!(1)), shown));
    }
    for (pointer, values) in [
        ("/name", vec![json!(""), long(256), json!("a\nb"), json!("é".repeat(128))]),
        ("/tags/team", vec![long(257), json!("a\u{7}")]),
        ("/tags/", vec![json!("empty key")]),
        ("/tags/a:b", vec![json!("colon")]),
        (
            "/trigger/interval/every",
            vec![
                json!(0),
                json!(99),
                json!("99ms"),
                json!(-1),
                json!("-5s"),
                json!(""),
                json!("5x"),
                json!("1M"),
                json!("P1M"),
                json!(i64::MAX),
                json!(1e300),
                json!("99999999999999999999"),
                json!("11y"),
                json!("1.5"),
                long(200),
            ],
        ),
        ("/trigger/interval/delay", vec![json!(-1), json!("-1s"), json!("600w"), json!("")]),
        (
            "/trigger/interval/occurrences",
            vec![json!(0), json!(-1), json!(1.5), json!(2_147_483_648u64), json!(u64::MAX), json!("3")],
        ),
        (
            "/trigger/interval/end",
            vec![
                json!("2020-01-01T00:00:00Z"),
                json!("2040-01-01"),
                json!("2040-01-01T00:00:00"),
                json!("2040-13-01T00:00:00Z"),
                json!("soon"),
                json!(0),
                json!(""),
            ],
        ),
        ("/target/http/method", vec![json!("HEAD"), json!(""), json!("POST ")]),
        (
            "/target/http/url",
            vec![
                json!(""),
                json!("example.com"),
                json!("ftp://example.com/"),
                json!("javascript:alert(1)"),
                json!("file:///etc/passwd"),
                json!("https://user:password@example.com/"),
                json!("https://user@example.com/"),
                json!("https://"),
                json!("https://exa mple.com/"),
                json!("https://example.com:99999/"),
                json!("https://example.com:0/"),
                json!("https://example.com/\n"),
                json!(format!("https://example.com/{}", "x".repeat(2048))),
            ],
        ),
        ("/target/http/headers/Host", vec![json!("other")]),
        ("/target/http/headers/Content-Length", vec![json!("1")]),
        ("/target/http/headers/Webhook-Id", vec![json!("1")]),
        ("/target/http/headers/a b", vec![json!("1")]),
        ("/target/http/headers/x-b", vec![json!("a\r\nb: c")]),
        ("/target/http/headers/X-A", vec![json!("again")]),
        ("/target/http/payload", vec![json!(1), Value::Null]),
        ("/target/http/body", vec![long(200 * 1024 + 1), json!(["x".repeat(200 * 1024)])]),
        ("/delivery/timeout", vec![json!(0), json!(99), json!("61s"), json!(-1), json!("")]),
        ("/delivery/retry/max_attempts", vec![json!(0), json!(101), json!(-1), json!(1.5)]),
        ("/delivery/retry/initial", vec![json!(0), json!("25h")]),
        ("/delivery/retry/factor", vec![json!(0.5), json!(11), json!(-1)]),
        ("/delivery/retry/max_interval", vec![json!("1s"), json!("25h")]),
        ("/delivery/retry/max_age", vec![json!("31d"), json!(-1)]),
        ("/delivery/on_failure", vec![json!("nowhere"), json!("")]),
        ("/policy/missed", vec![json!("some"), json!("")]),
        ("/policy/max_lateness", vec![json!(0), json!("53w")]),
        ("/policy/spread", vec![json!("25h"), json!(-1)]),
    ] {
        cases.extend(values.into_iter().map(|value| (with(native(), pointer, value), pointer)));
    }
    let zoned = |zone: &str| trigger("cron", json!({"expression": "0 0 * * *", "time_zone": zone}));
    let cron = |expression: &str| trigger("cron", json!({"expression": expression}));
    let rule = |name: &str, value: Value| {
        let rule = json!({"start": "2040-01-01", "end": "2041-01-01", "time": "09:30", "unit": "week", "points": ["mon"], "frequency": 1, "time_zone": "UTC"});
        trigger("periodical", with(rule, &format!("/{name}"), value))
    };
    cases.extend([
        (zoned("Mars/Olympus"), "/trigger/cron/time_zone"),
        (zoned("europe/madrid"), "/trigger/cron/time_zone"),
        (zoned(""), "/trigger/cron/time_zone"),
        (zoned("+01:00"), "/trigger/cron/time_zone"),
        (cron("0 0 30 2 *"), "/trigger/cron/expression"),
        (cron("0 0 * *"), "/trigger/cron/expression"),
        (cron("61 * * * *"), "/trigger/cron/expression"),
        (cron(""), "/trigger/cron/expression"),
        (cron("@reboot"), "/trigger/cron/expression"),
        (cron(&"*,".repeat(400)), "/trigger/cron/expression"),
        (trigger("cron", json!({})), "/trigger/cron/expression"),
        (trigger("cron", json!({"expression": "@daily", "start": "2041-01-01T00:00:00Z", "end": "2040-01-01T00:00:00Z"})), "/trigger/cron/end"),
        (trigger("cron", json!({"expression": "@daily", "end": "2020-01-01T00:00:00Z"})), "/trigger/cron/end"),
        (trigger("single", json!({})), "/trigger/single/time"),
        (trigger("single", json!({"time": "2020-01-01T00:00:00Z"})), "/trigger/single/time"),
        (trigger("single", json!({"time": "2040-01-01T00:00:00"})), "/trigger/single/time"),
        (trigger("single", json!({"time": 1})), "/trigger/single/time"),
        (trigger("single", json!({"after": -1})), "/trigger/single/after"),
        (trigger("single", json!({"after": "600w"})), "/trigger/single/after"),
        (trigger("single", json!({"time": "2040-01-01T00:00:00Z", "after": "1h"})), "/trigger/single/after"),
        (trigger("single", json!({"after": "1h", "occurrences": 2})), "/trigger/single/occurrences"),
        (trigger("interval", json!({"every": "1h", "delay": "1h", "first": "2040-01-01T00:00:00Z"})), "/trigger/interval/delay"),
        (trigger("weekly", json!({})), "/trigger/weekly"),
        (with(native(), "/trigger/cron", json!({"expression": "@daily"})), "/trigger"),
        (rule("start", json!("2040-02-30")), "/trigger/periodical/start"),
        (rule("start", json!("2040-01-01T00:00:00Z")), "/trigger/periodical/start"),
        (rule("end", json!("2039-01-01")), "/trigger/periodical/end"),
        (rule("time", json!("24:00")), "/trigger/periodical/time"),
        (rule("time", json!("9")), "/trigger/periodical/time"),
        (rule("time", Value::Null), "/trigger/periodical/time"),
        (rule("unit", json!("year")), "/trigger/periodical/unit"),
        (rule("unit", json!("day")), "/trigger/periodical/points"),
        (rule("unit", json!("month")), "/trigger/periodical/points/0"),
        (rule("points", json!([])), "/trigger/periodical/points"),
        (rule("points", Value::Null), "/trigger/periodical/points"),
        (rule("points", json!(["monday"])), "/trigger/periodical/points/0"),
        (rule("frequency", json!(0)), "/trigger/periodical/frequency"),
        (rule("frequency", json!(101)), "/trigger/periodical/frequency"),
    ]);
    let mut get = with(native(), "/target/http/method", json!("GET"));
    cases.push((get.clone(), "/target/http/body"));
    get["target"]["http"]["headers"] =
        (0..51).map(|i| (format!("x-{i}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    cases.push((get, "/target/http/headers"));
    let tags = (0..51).map(|i| (format!("t{i}"), json!("v"))).collect::<serde_json::Map<_, _>>();
    cases.push((with(native(), "/tags", tags.into()), "/tags"));
    cases.push((with(native(), &format!("/tags/{}", "k".repeat(65)), json!("v")), ""));
    for whole in [json!([]), json!("text"), json!(1), json!(null), json!(true)] {
        cases.push((whole, ""));
    }
    cases.into_iter().map(|(body, pointer)| (body, pointer.to_owned())).collect()
}
