//! Devices: registered, changed and removed, each change made from what is stored and made again where somebody else
//! wrote in between.

use super::{Engine, Error};
use crate::{
    ids::AppKey,
    push::device::{Device, RegistrationId},
    time::Timestamp,
};

/// How often a change is made anew before it gives up.
const TRIES: usize = 20;

impl Engine {
    pub async fn device(&self, app: &AppKey, id: &RegistrationId) -> Result<Device, Error> {
        self.found_device(app, id).await?.ok_or(Error::NotFound("device"))
    }

    /// `make` makes the new device of the present one, if there is any; none: nothing is written. It may be asked more
    /// than once.
    pub async fn change_device<F>(
        &self,
        app: &AppKey,
        id: &RegistrationId,
        make: F,
    ) -> Result<Option<Device>, Error>
    where
        F: Fn(Option<Device>, Timestamp) -> Result<Option<Device>, Error> + Send + Sync,
    {
        for _ in 0..TRIES {
            let present = self.found_device(app, id).await?;
            let revision = present.as_ref().map_or(0, |device| device.revision);
            let Some(mut device) = make(present, self.now())? else {
                return Ok(None);
            };
            device.revision = revision + 1;
            if self.devices.put_device(app, &device, revision).await? {
                return Ok(Some(device));
            }
        }
        Err(Error::Conflict("the device is changing too fast; try again".to_owned()))
    }

    pub async fn remove_device(&self, app: &AppKey, id: &RegistrationId) -> Result<bool, Error> {
        Ok(self.devices.remove_device(app, id).await?)
    }

    async fn found_device(&self, app: &AppKey, id: &RegistrationId) -> Result<Option<Device>, Error> {
        Ok(self.devices.devices(app, std::slice::from_ref(id)).await?.into_iter().next())
    }
}
