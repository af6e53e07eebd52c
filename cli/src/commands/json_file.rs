//! JSON that a user hands over: the name of a file, or `-` for stdin.

use crate::failure::{Failure, Result, While as _};
use serde_json::Value;
use std::{fs, io::Read as _};

pub fn read(name: &str) -> Result<Value> {
    let (shown, text) = match name {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).when(|| "cannot read stdin".to_owned())?;
            ("stdin", text)
        }
        name => (name, fs::read_to_string(name).when(|| format!("cannot read {name}"))?),
    };
    serde_json::from_str(&text).map_err(|error| Failure::usage(format!("{shown} is not JSON: {error}")))
}
