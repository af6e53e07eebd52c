//! Emulators of AWS as processes of their own, from the checkout's `.tools` folder: ministack, which also runs
//! functions and fires schedules, and moto's server, a second opinion on the data that goes in and out. What each is
//! known to do otherwise than AWS stands where a test meets it.
//!
//! One process for each test binary, on a free port of loopback, with a folder of its own. It ends with the test
//! process, however that ends: `keeper.py` holds it, and holds the other end of a pipe.

use rondo_aws::{
    Clients, Meter,
    settings::{AwsCredentials, AwsSettings},
    store::schema,
};
use rondo_domain::time::Span;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

const KEEPER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/emulator/keeper.py");
pub const REGION: &str = "us-east-1";
/// Of ministack; moto has another, which nothing here depends on.
pub const ACCOUNT: &str = "000000000000";

/// A running emulator. Dropping it ends it, with everything that it holds.
pub struct Emulator {
    endpoint: String,
    log: PathBuf,
    keeper: Child,
}

impl Emulator {
    /// This process's ministack, which checks no permission.
    pub fn ministack() -> &'static Emulator {
        static SHARED: OnceLock<Emulator> = OnceLock::new();
        SHARED.get_or_init(|| Emulator::start("ministack", &[]))
    }

    /// This process's moto.
    pub fn moto() -> &'static Emulator {
        static SHARED: OnceLock<Emulator> = OnceLock::new();
        SHARED.get_or_init(|| Emulator::start("moto", &[]))
    }

    /// A ministack of one's own, with these variables in its environment, which its functions inherit.
    pub fn own_ministack(environment: &[(&str, &str)]) -> Emulator {
        Emulator::start("ministack", environment)
    }

    fn start(kind: &str, environment: &[(&str, &str)]) -> Emulator {
        let (tool, program) = match kind {
            "moto" => ("moto", "moto_server"),
            _ => ("emulator", "ministack"),
        };
        let mut command = Command::new(python(tool));
        command.arg(KEEPER).arg(kind).arg(tool_program(tool, program));
        command.args(environment.iter().map(|(name, value)| format!("{name}={value}")));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = command.spawn().expect("the keeper starts");
        let mut said = BufReader::new(keeper.stdout.take().expect("its output is a pipe"));
        let mut line = || {
            let mut line = String::new();
            said.read_line(&mut line).expect("its output is text");
            line.trim_end().to_owned()
        };
        let ready = line();
        let endpoint = ready.strip_prefix("ready ").unwrap_or_else(|| panic!("{ready}")).to_owned();
        Emulator { endpoint, log: line().into(), keeper }
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What it has logged so far, its functions' output included.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Settings with which everything stands in this emulator. Nothing of it is made yet.
    pub fn settings(&self) -> AwsSettings {
        let name = fresh("rondo");
        let arn = |service: &str, resource: &str| format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}");
        AwsSettings {
            region: REGION.to_owned(),
            endpoint: Some(self.endpoint.clone()),
            credentials: AwsCredentials::of_an_emulator(),
            table: name.clone(),
            queue_url: Some(format!("{}/{ACCOUNT}/{name}", self.endpoint)),
            queue_arn: Some(arn("sqs", &name)),
            dead_letter_arn: None,
            schedule_group: Some(name.clone()),
            scheduler_role_arn: Some(format!("arn:aws:iam::{ACCOUNT}:role/{name}")),
            sealing_secret: None,
            retention: Span::from_secs(30 * 24 * 60 * 60),
            cache: Span::ZERO,
        }
    }

    /// Settings whose table is there, and clients for it.
    pub async fn with_table(&self, meter: Option<Meter>) -> (AwsSettings, Clients) {
        let settings = self.settings();
        let clients = Clients::new(&settings, rondo_aws::http::client(), meter);
        schema::create_table(&clients.dynamodb, &settings.table).await.expect("the table can be made");
        (settings, clients)
    }

    /// Settings whose queue and schedule group are there, and clients for them.
    pub async fn with_queue(&self, meter: Option<Meter>) -> (AwsSettings, Clients) {
        let mut settings = self.settings();
        let clients = Clients::new(&settings, rondo_aws::http::client(), meter);
        let queue = clients.sqs.create_queue().queue_name(&settings.table).send().await;
        let url = queue.expect("the queue can be made").queue_url.expect("a queue has an address");
        let arn = aws_sdk_sqs::types::QueueAttributeName::QueueArn;
        let asked =
            clients.sqs.get_queue_attributes().queue_url(&url).attribute_names(arn.clone()).send().await;
        settings.queue_arn =
            asked.expect("the queue is there").attributes.and_then(|mut all| all.remove(&arn));
        settings.queue_url = Some(url);
        let group = clients.scheduler.create_schedule_group().name(&settings.table).send().await;
        group.expect("the group can be made");
        (settings, clients)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // The end of its input ends the keeper, and the keeper everything else.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A name that nothing else in this process has.
pub fn fresh(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    format!("{what}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The Python of a tool's virtual environment.
pub fn python(tool: &str) -> PathBuf {
    tool_program(tool, "python")
}

/// A program of a tool that `tests/tools.py` installs; fails the test where it is not there.
pub fn tool_program(tool: &str, program: &str) -> PathBuf {
    let program = checkout().join(".tools").join(tool).join("bin").join(program);
    let installed = "`./test` installs it (or `python3 tests/tools.py`)";
    assert!(program.exists(), "{} is not there: {installed}", program.display());
    program
}

/// The project's folder.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the project's folder")
}

/// Runs one of `tests/aws/*.py`, clients of AWS that share no code with the project, against this emulator: JSON in,
/// JSON out.
pub fn independently(endpoint: &str, script: &str, input: &serde_json::Value) -> serde_json::Value {
    let mut command = Command::new(python("emulator"));
    command.arg(checkout().join("tests/aws").join(script));
    command.env_clear().envs(environment(endpoint));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("Python starts");
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    stdin.write_all(input.to_string().as_bytes()).expect("it reads its input");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|why| panic!("{script}: {why}: {}", String::from_utf8_lossy(&output.stdout)))
}

/// How any client of AWS is told where this emulator is.
pub fn environment(endpoint: &str) -> BTreeMap<&'static str, String> {
    let path = std::env::var("PATH").unwrap_or_default();
    BTreeMap::from([
        ("PATH", path),
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("NO_PROXY", "127.0.0.1".to_owned()),
    ])
}
