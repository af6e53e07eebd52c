//! `rondo app`: apps and their secrets, by whoever owns the data folder. Asks the running `serve`, or opens the
//! folder itself where none runs.

use super::grant;
use crate::{
    admin_socket::{self, Answered},
    client,
    data_folder::DataFolder,
    failure::{Failure, Result, While as _},
    output::{self, Output, fields, table},
    private_file,
    profile::{DEFAULT_HOST, Reach},
    service::{ServiceOptions, World},
};
use clap::{Args, Subcommand};
use rondo_domain::engine::AppGrant;
use rondo_http_api::admin::{AdminAnswer, AdminRequest, NewWay, handle};
use serde_json::json;
use std::{
    env,
    io::{self, BufRead as _, IsTerminal as _},
    path::PathBuf,
};

#[derive(Args)]
pub struct App {
    #[command(subcommand)]
    action: Action,
    /// The data folder of `rondo serve`
    #[arg(long, global = true, value_name = "DIR", env = "RONDO_DATA", default_value = "./rondo-data")]
    data: PathBuf,
    #[command(flatten)]
    profile: NewProfile,
    /// Print JSON, for scripts; secrets too
    #[arg(long, global = true)]
    json: bool,
    /// Write the result to this file (mode 600) instead of printing it
    #[arg(short, long, global = true, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Action {
    /// Make an app, and show its key and secrets once
    Create {
        /// A name, for people
        #[arg(default_value = "default")]
        name: String,
        /// Choose the key: 3 to 64 letters, digits, `-` [default: random]
        #[arg(long)]
        key: Option<String>,
        /// IANA time zone of schedules that name none [default: UTC]
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
        /// How many schedules may be live at once [default: no limit]
        #[arg(long, value_name = "COUNT")]
        max_schedules: Option<u32>,
        /// How many scheduled pushes may be live at once [default: 1000]
        #[arg(long, value_name = "COUNT")]
        max_pushes: Option<u32>,
    },
    /// List the apps; never their secrets
    List,
    /// Show or set how the app's pushes leave: through a gateway, or straight to the browsers' push services
    Push(Push),
    /// Give new secrets; those before them stay valid beside them until the next rotation
    RotateSecret {
        key: String,
        /// End the secrets before at once
        #[arg(long)]
        end_old: bool,
    },
    /// Remove an app with all its schedules and records
    Remove {
        key: String,
        /// Yes, remove all that
        #[arg(long)]
        yes: bool,
    },
}

/// Without a flag it shows what is set.
#[derive(Args)]
struct Push {
    key: String,
    /// Through the gateway, as this app of the gateway's; its secret is read from RONDO_UPSTREAM_SECRET, or else from stdin
    #[arg(long, value_name = "KEY", conflicts_with = "direct")]
    upstream_key: Option<String>,
    /// Straight to the browsers' push services (Web Push)
    #[arg(long)]
    direct: bool,
    /// Whom push services may turn to: mailto:NAME@HOST or https://…
    #[arg(long, value_name = "URL")]
    contact: Option<String>,
}

/// Where the client commands find the new credentials.
#[derive(Args)]
struct NewProfile {
    /// Write the new credentials to a profile of this name
    #[arg(long, global = true, value_name = "NAME")]
    save_profile: Option<String>,
    /// Overwrite that profile, if there is one
    #[arg(long, global = true)]
    force_profile: bool,
    /// The host that goes into the profile [default: where `rondo serve` listens]
    #[arg(long, global = true, value_name = "URL", env = "RONDO_HOST")]
    host: Option<String>,
}

/// For a line that is shown: whoever copies it puts the secret in.
fn without_secret(request: &AdminRequest) -> AdminRequest {
    let mut request = request.clone();
    if let AdminRequest::Push { way: Some(NewWay::Gateway { secret, .. }), .. } = &mut request {
        *secret = "SECRET".to_owned();
    }
    request
}

impl Action {
    fn request(&self) -> Result<AdminRequest> {
        Ok(match self {
            Action::Create { name, key, time_zone, max_schedules, max_pushes } => AdminRequest::Create {
                name: name.clone(),
                key: key.clone(),
                secret: None,
                time_zone: time_zone.clone(),
                max_schedules: *max_schedules,
                max_pushes: *max_pushes,
            },
            Action::List => AdminRequest::List,
            Action::Push(push) => {
                let way = match &push.upstream_key {
                    Some(key) => Some(NewWay::Gateway { key: key.clone(), secret: upstream_secret()? }),
                    None => push.direct.then_some(NewWay::Direct),
                };
                AdminRequest::Push { key: push.key.clone(), way, contact: push.contact.clone() }
            }
            Action::RotateSecret { key, end_old } => {
                AdminRequest::RotateSecret { key: key.clone(), end_old: *end_old }
            }
            Action::Remove { key, yes: true } => AdminRequest::Remove { key: key.clone() },
            Action::Remove { key, yes: false } => {
                return Err(Failure::new(format!(
                    "removing app {key} removes all its schedules and records"
                ))
                .hint("if that is what you want, say --yes"));
            }
        })
    }
}

/// Never a flag: those show in the process list.
fn upstream_secret() -> Result<String> {
    if let Some(secret) = env::var("RONDO_UPSTREAM_SECRET").ok().filter(|secret| !secret.is_empty()) {
        return Ok(secret);
    }
    let mut line = String::new();
    if !io::stdin().is_terminal() {
        io::stdin().lock().read_line(&mut line).when(|| "cannot read stdin".to_owned())?;
    }
    match line.trim() {
        "" => Err(Failure::usage("the secret that goes with --upstream-key is not known")
            .hint("set RONDO_UPSTREAM_SECRET, or pipe the secret in: … < FILE")),
        secret => Ok(secret.to_owned()),
    }
}

impl App {
    pub async fn run(self) -> Result<()> {
        let request = self.action.request()?;
        let Answered { answer, url } = self.ask(request).await?;
        match answer {
            AdminAnswer::Granted { key, secret, signing_secret, push_key } => {
                self.granted(&AppGrant { key, secret, signing_secret, push_key }, &url)
            }
            AdminAnswer::Push { key, push } => {
                let shown = |value: &Option<String>| value.clone().unwrap_or_default();
                let rows = vec![
                    ("app", key.to_string()),
                    ("pushes", push.way.clone()),
                    ("public key", shown(&push.public_key)),
                    ("upstream key", shown(&push.upstream_key)),
                    ("contact", shown(&push.contact)),
                ];
                let output = Output::new(self.json, self.file.clone());
                output.put(&json!({"key": key, "push": push}), |lines| fields(lines, rows))
            }
            AdminAnswer::Apps { apps } => {
                let rows = apps.iter().map(|app| {
                    [
                        app.key.to_string(),
                        app.name.clone(),
                        app.time_zone.clone(),
                        app.max_schedules.map_or_else(String::new, |limit| limit.to_string()),
                        app.secrets.len().to_string(),
                        app.created_at.clone(),
                        app.push.way.clone(),
                        app.push.public_key.clone().unwrap_or_default(),
                    ]
                });
                let header =
                    ["key", "name", "time zone", "limit", "secrets", "created", "pushes", "push key"];
                let output = Output::new(self.json, self.file.clone());
                output.put(&json!({"apps": apps}), |lines| table(lines, header, rows.collect()))
            }
            AdminAnswer::Removed { key } => {
                eprintln!("app {key} removed");
                Ok(())
            }
        }
    }

    async fn ask(&self, request: AdminRequest) -> Result<Answered> {
        if !self.data.is_dir() {
            return Err(self.no_folder(&request));
        }
        let socket = DataFolder::open(&self.data)?.admin_socket();
        if let Some(answered) = admin_socket::ask(&socket, &request).await? {
            return Ok(answered);
        }
        let world = World::open(&ServiceOptions::new(&self.data, ""), DEFAULT_HOST)?;
        let answer = handle(&world.engine, &*world.vault, request).await;
        world.close().await;
        Ok(Answered { answer: answer?, url: DEFAULT_HOST.to_owned() })
    }

    /// Somewhere else there may be one, or none: on AWS a function of the deployment does what the folder's owner
    /// does here.
    fn no_folder(&self, request: &AdminRequest) -> Failure {
        let failure = Failure::new(format!("there is no data folder {}", self.data.display()))
            .hint("name it with --data; `rondo serve` makes one");
        let profile = || Reach::default().profile().ok().flatten().map(|profile| profile.host);
        let host = self.profile.host.clone().or_else(profile);
        match host.filter(|host| client::base_of(host).is_ok_and(|base| !client::is_loopback(&base))) {
            None => failure,
            Some(host) => {
                let payload = serde_json::to_string(&without_secret(request))
                    .unwrap_or_default()
                    .replace('\'', r"'\''");
                failure
                    .hint(format!("the apps of {host} are managed where it runs, by whoever runs it"))
                    .hint(format!(
                        "on AWS, with AWS credentials: aws lambda invoke --function-name STACK-admin \
                         --cli-binary-format raw-in-base64-out --payload '{payload}' /dev/stdout"
                    ))
            }
        }
    }

    fn granted(&self, grant: &AppGrant, url: &str) -> Result<()> {
        let text = if self.json {
            let AppGrant { key, secret, signing_secret, push_key } = grant;
            let json =
                json!({"key": key, "secret": secret, "signing_secret": signing_secret, "push_key": push_key});
            serde_json::to_string_pretty(&json)? + "\n"
        } else {
            grant::text(grant)
        };
        // Without a word where to put secrets, they go to nobody's log.
        let default_file = || self.data.join(format!("app-{}.txt", grant.key));
        let hidden = !self.json && !io::stdout().is_terminal();
        match self.file.clone().or_else(|| hidden.then(default_file)) {
            None => output::print(&text)?,
            Some(file) => {
                private_file::replace(&file, &text).when(|| format!("cannot write {}", file.display()))?;
                eprintln!("app {}: its secrets are in {}", grant.key, file.display());
            }
        }
        if let Some(name) = &self.profile.save_profile {
            let host = self.profile.host.as_deref().unwrap_or(url);
            grant::save_profile(grant, name, host, self.profile.force_profile);
        }
        Ok(())
    }
}
