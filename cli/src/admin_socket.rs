//! Operators' requests while `serve` holds the data folder: a Unix socket in it, for the folder's owner alone.
//! One connection, one line of JSON each way: an `AdminRequest`, then what became of it.

use crate::{
    failure::{Failure, Result, While as _},
    private_file,
};
use rondo_domain::engine::{Engine, Vault};
use rondo_http_api::admin::{AdminAnswer, AdminRequest, handle};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
    time::timeout,
};

/// The longest line, in bytes; an answer lists every app.
const MAX_LINE: u64 = 16 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Done(Answered),
    Refused(String),
}

/// What became of a request, and where the service that did it can be called from this machine.
#[derive(Serialize, Deserialize)]
pub struct Answered {
    pub answer: AdminAnswer,
    pub url: String,
}

/// Answers until it is dropped.
pub struct AdminSocket {
    accepting: JoinHandle<()>,
    path: PathBuf,
}

impl AdminSocket {
    /// The caller holds the folder's lock: a socket that lies there is a dead process's.
    pub fn start(path: &Path, engine: Engine, vault: Arc<dyn Vault>, url: String) -> io::Result<AdminSocket> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        // The folder is closed to others already (mode 700) where Rondo made it.
        private_file::close_to_others(path)?;
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (engine, vault, url) = (engine.clone(), Arc::clone(&vault), url.clone());
                tokio::spawn(async move {
                    if let Ok(Err(error)) = timeout(PATIENCE, answer(stream, &engine, &*vault, url)).await {
                        tracing::debug!(%error, "an operator's connection ended early");
                    }
                });
            }
        });
        Ok(AdminSocket { accepting, path: path.to_owned() })
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        self.accepting.abort();
        let _ = fs::remove_file(&self.path);
    }
}

async fn answer(stream: UnixStream, engine: &Engine, vault: &dyn Vault, url: String) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(MAX_LINE)).read_line(&mut line).await?;
    let reply = match serde_json::from_str::<AdminRequest>(&line) {
        Err(error) => Reply::Refused(format!("not a request that this version knows: {error}")),
        Ok(request) => match handle(engine, vault, request).await {
            Ok(answer) => Reply::Done(Answered { answer, url }),
            Err(problem) => Reply::Refused(problem.to_string()),
        },
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    write.write_all(&text).await?;
    write.shutdown().await
}

/// None where nobody answers there: then no `serve` holds the folder.
pub async fn ask(path: &Path, request: &AdminRequest) -> Result<Option<Answered>> {
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error).when(|| format!("cannot ask {}", path.display())),
    };
    let talk = async {
        let (read, mut write) = stream.into_split();
        let mut text = serde_json::to_vec(request)?;
        text.push(b'\n');
        write.write_all(&text).await?;
        let mut line = String::new();
        BufReader::new(read.take(MAX_LINE)).read_line(&mut line).await?;
        io::Result::Ok(line)
    };
    let line = timeout(PATIENCE, talk).await.map_err(|_| Failure::new("the service did not answer"))??;
    match serde_json::from_str(&line).when(|| "cannot understand the service's answer".to_owned())? {
        Reply::Done(answered) => Ok(Some(answered)),
        Reply::Refused(why) => Err(Failure::new(why)),
    }
}
