//! Where counts of executions are kept: an item for each app, hour and writer, so that no two write the same one.
//! What is in it is `telemetry`'s business.

use super::{
    DynamoStore,
    calls::{Expression, number, text},
    keys::{Key, STATISTICS, app_pk},
    schema::{EXPIRES_AT, PK, SK},
};
use rondo_domain::{ids::AppKey, ports::StoreError, time::Timestamp};

impl DynamoStore {
    /// `hour`: whole hours since 1970. Replaces what the same writer has written of the same hour.
    pub async fn put_statistics(
        &self,
        app: &AppKey,
        hour: u64,
        writer: &str,
        json: &str,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut item = Key::of_app(app, format!("{STATISTICS}{hour:010}#{writer}")).item();
        item.insert("statistics".to_owned(), text(json));
        item.insert(EXPIRES_AT.to_owned(), number(expires_at.seconds()));
        self.put_plain(item).await
    }

    /// Everything that was put and has not expired, by hour.
    pub async fn statistics(&self, app: &AppKey) -> Result<Vec<String>, StoreError> {
        let keys = Expression::new(
            "#pk = :pk AND begins_with(#sk, :prefix)",
            &[PK, SK],
            [("pk", text(app_pk(app))), ("prefix", text(STATISTICS))],
        );
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.query(&keys).set_exclusive_start_key(after).send().await;
            let page = page.map_err(|error| self.failed(&error))?;
            for item in page.items().iter().filter(|item| self.is_alive(item)) {
                let json = item.get("statistics").and_then(|value| value.as_s().ok());
                all.extend(json.cloned());
            }
            after = page.last_evaluated_key;
            if after.is_none() {
                return Ok(all);
            }
        }
    }
}
