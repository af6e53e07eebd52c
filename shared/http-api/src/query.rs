//! Parameters of a query: read by name, each at most once, unknown ones noted; and cursors, which hold only
//! for the query that gave them.

use crate::{
    Api,
    fields::{meant, quoted},
    problem::{Code, FieldFault, Place, Problem},
};
use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use rondo_domain::ids::AppKey;
use sha2::{Digest, Sha256};
use std::{convert::Infallible, ops::RangeInclusive, sync::Arc};

#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl FromRequestParts<Arc<Api>> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Infallible> {
        let text = parts.uri.query().unwrap_or_default();
        Ok(Query(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()))
    }
}

impl Query {
    /// Refuses unknown parameters, and those that come twice and are not in `repeatable`.
    pub fn allow_only(&self, known: &[&str], repeatable: &[&str]) -> Result<(), Problem> {
        for (i, (name, _)) in self.0.iter().enumerate() {
            let name = name.as_str();
            if !known.contains(&name) && !repeatable.contains(&name) {
                let all = [known, repeatable].concat();
                let detail = match meant(name, &all) {
                    Some(meant) => format!("is unknown here; did you mean {meant}?"),
                    None if all.is_empty() => "is unknown here; there are no parameters".to_owned(),
                    None => format!("is unknown here; known are {}", all.join(", ")),
                };
                return Err(Problem::parameter(name, detail));
            }
            if !repeatable.contains(&name) && self.0[..i].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::parameter(name, "must not come twice"));
            }
        }
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn whole(&self, name: &str, range: RangeInclusive<usize>, default: usize) -> Result<usize, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => {
                let (low, high) = range.into_inner();
                let detail = format!("must be a whole number from {low} to {high}, not {}", quoted(text));
                Err(Problem::parameter(name, detail))
            }
        }
    }
}

/// What a cursor holds for: the app, the list, and its filters. Order and limit of a list never change.
pub struct Scope([u8; 8]);

impl Scope {
    pub fn of(app: &AppKey, list: &str, filters: &[(&str, &str)]) -> Self {
        let mut hash = Sha256::new();
        let filters = filters.iter().flat_map(|(name, value)| [*name, *value]);
        for part in [app.as_str(), list].into_iter().chain(filters) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut scope = [0; 8];
        scope.copy_from_slice(&hash.finalize()[..8]);
        Scope(scope)
    }

    /// `position`: where the page ended.
    pub fn cursor(&self, position: &str) -> String {
        URL_SAFE_NO_PAD.encode([&self.0, position.as_bytes()].concat())
    }

    pub fn position<T: std::str::FromStr>(&self, query: &Query) -> Result<Option<T>, Problem> {
        let Some(cursor) = query.get("cursor") else {
            return Ok(None);
        };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
        let parts = bytes.as_ref().and_then(|bytes| bytes.split_at_checked(8));
        let refuse = |detail: &str| {
            let place = Place::Parameter("cursor".to_owned());
            let errors = vec![FieldFault { place, detail: detail.to_owned() }];
            Problem { errors, ..Problem::new(Code::InvalidCursor, format!("cursor {detail}")) }
        };
        let Some((scope, position)) = parts else {
            return Err(refuse("must be next_cursor of an earlier answer, as it stands"));
        };
        if *scope != self.0 {
            return Err(refuse("belongs to another query: keep every filter as it was"));
        }
        let position = std::str::from_utf8(position).ok().and_then(|text| text.parse().ok());
        position.map(Some).ok_or_else(|| refuse("must be next_cursor of an earlier answer, as it stands"))
    }
}
