//! New secrets reach their owner once: on a terminal, or in a file of mode 600; and a profile, where wanted.

use crate::{
    failure::{Result, While as _},
    private_file,
    profile::{self, Profile, Saved},
};
use rondo_domain::engine::AppGrant;
use std::path::Path;

/// As it is shown, to be copied into an environment.
pub fn text(grant: &AppGrant) -> String {
    let AppGrant { key, secret, signing_secret, push_key } = grant;
    format!(
        "RONDO_APP_KEY={key}\nRONDO_APP_SECRET={secret}\n\
         # verifies callbacks (Standard Webhooks)\nRONDO_SIGNING_SECRET={signing_secret}\n\
         # for pushManager.subscribe() in web pages; public\nRONDO_PUSH_KEY={push_key}\n"
    )
}

/// Prints it where somebody looks on, else writes it to `file`, mode 600, and says so.
pub fn show_once(grant: &AppGrant, what: &str, is_terminal: bool, file: &Path) -> Result<()> {
    if is_terminal {
        eprintln!("{what}; its secrets are shown this once:\n\n{}", text(grant));
    } else {
        private_file::replace(file, &text(grant)).when(|| format!("cannot write {}", file.display()))?;
        eprintln!("{what}; its secrets are in {}", file.display());
    }
    Ok(())
}

/// Says what became of it. That a profile cannot be written is no reason to fail.
pub fn save_profile(grant: &AppGrant, name: &str, host: &str, overwrite: bool) {
    let profile = Profile {
        host: host.to_owned(),
        app_key: grant.key.to_string(),
        app_secret: grant.secret.clone(),
        signing_secrets: vec![grant.signing_secret.clone()],
    };
    match profile::save(name, profile, overwrite) {
        Ok(Saved::Written(path)) => eprintln!("profile {name:?} written to {}", path.display()),
        Ok(Saved::Kept(path)) => {
            eprintln!("warning: profile {name:?} in {} is another one, and was kept", path.display());
            eprintln!("hint: --force-profile overwrites it, --save-profile NAME writes another");
        }
        Err(failure) => eprintln!("warning: no profile was written\n{failure}"),
    }
}
