//! Where Rondo answers and as whom to ask it: profiles in a file of mode 600, and what overrides them.
//!
//! Each of the three values is taken from the first place that has it: the flag (`--host`; secrets have none),
//! the environment (`RONDO_HOST`, `RONDO_APP_KEY`, `RONDO_APP_SECRET`), the profile (`--profile`,
//! `RONDO_PROFILE`, else `default`). The file is `RONDO_CONFIG`, or `rondo/profiles.json` in
//! `XDG_CONFIG_HOME`, or that in `~/.config`.

use crate::{
    failure::{Failure, Result, While as _},
    private_file,
};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, env, fs, io, path::PathBuf};

pub const DEFAULT_HOST: &str = "http://127.0.0.1:8080";
pub const DEFAULT_PROFILE: &str = "default";

/// Which Rondo to ask, and as whom.
#[derive(Args, Clone, Default)]
pub struct Reach {
    /// Where Rondo answers [default: the profile's, else http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", env = "RONDO_HOST", help_heading = "Where and who")]
    pub host: Option<String>,
    /// The profile with host and credentials; RONDO_APP_KEY and RONDO_APP_SECRET override them
    #[arg(long, value_name = "NAME", env = "RONDO_PROFILE", help_heading = "Where and who")]
    pub profile: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Profile {
    pub host: String,
    pub app_key: String,
    pub app_secret: String,
    /// Verify callbacks: `rondo listen` takes them from here. Newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signing_secrets: Vec<String>,
}

#[derive(Default, Serialize, Deserialize)]
struct Profiles {
    profiles: BTreeMap<String, Profile>,
}

/// A host with credentials, all three found.
pub struct Account {
    pub host: String,
    pub app_key: String,
    pub app_secret: String,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Saved {
    Written(PathBuf),
    /// There was one of that name, and nobody said to overwrite it.
    Kept(PathBuf),
}

/// None where neither variable nor home folder says where it would be.
pub fn path() -> Option<PathBuf> {
    let of = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    of("RONDO_CONFIG").or_else(|| {
        let folder = of("XDG_CONFIG_HOME").or_else(|| of("HOME").map(|home| home.join(".config")))?;
        Some(folder.join("rondo/profiles.json"))
    })
}

/// None where there is no such profile; an error where the file cannot be understood.
pub fn load(name: &str) -> Result<Option<Profile>> {
    let Some(path) = path() else { return Ok(None) };
    Ok(read(&path)?.profiles.remove(name))
}

fn read(path: &PathBuf) -> Result<Profiles> {
    let shown = path.display();
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Profiles::default()),
        read => read.when(|| format!("cannot read the profiles in {shown}"))?,
    };
    if private_file::is_open_to_others(path) {
        eprintln!("warning: {shown} holds secrets and can be read by others");
        eprintln!("hint: chmod 600 {shown}");
    }
    serde_json::from_str(&text).when(|| format!("cannot understand the profiles in {shown}"))
}

pub fn save(name: &str, profile: Profile, overwrite: bool) -> Result<Saved> {
    let no_place = || Failure::new("no place for profiles").hint("set RONDO_CONFIG to a file");
    let path = path().ok_or_else(no_place)?;
    let mut profiles = read(&path)?;
    if profiles.profiles.contains_key(name) && !overwrite {
        return Ok(Saved::Kept(path));
    }
    profiles.profiles.insert(name.to_owned(), profile);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        private_file::create_folder(folder).when(|| format!("cannot create {}", folder.display()))?;
    }
    let text = serde_json::to_string_pretty(&profiles)? + "\n";
    private_file::replace(&path, &text).when(|| format!("cannot write {}", path.display()))?;
    Ok(Saved::Written(path))
}

impl Reach {
    /// The profile asked for. One that was named must be there; the default one need not.
    pub fn profile(&self) -> Result<Option<Profile>> {
        let name = self.profile.as_deref().unwrap_or(DEFAULT_PROFILE);
        let profile = load(name)?;
        if profile.is_none() && self.profile.is_some() {
            let place = path().map_or("nowhere".to_owned(), |path| path.display().to_string());
            return Err(Failure::new(format!("there is no profile {name:?} in {place}")));
        }
        Ok(profile)
    }

    pub fn account(&self) -> Result<Account> {
        let profile = self.profile()?;
        let (host, key, secret) = match profile {
            Some(profile) => (Some(profile.host), Some(profile.app_key), Some(profile.app_secret)),
            None => (None, None, None),
        };
        let host = self.host.clone().or(host).unwrap_or_else(|| DEFAULT_HOST.to_owned());
        let missing = |what: &str| {
            Failure::new(format!("no credentials for {host}: {what} is not known"))
                .hint("`rondo serve` writes a profile at its first start; `rondo app create --save-profile NAME` another")
                .hint("or set RONDO_APP_KEY and RONDO_APP_SECRET")
        };
        let of = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let app_key = of("RONDO_APP_KEY").or(key).ok_or_else(|| missing("the app's key"))?;
        let app_secret = of("RONDO_APP_SECRET").or(secret).ok_or_else(|| missing("the app's secret"))?;
        Ok(Account { host, app_key, app_secret })
    }
}
