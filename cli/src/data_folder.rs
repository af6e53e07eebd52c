//! The data folder of `serve`: what lies in it beside the database, all of it for its owner alone.

use crate::private_file;
use rondo_domain::ports::Entropy;
use rondo_outbound::{SealingKey, sealing::SealingError};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

#[derive(Clone, Debug)]
pub struct DataFolder(PathBuf);

#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    #[error("cannot create the data folder {folder}: {source}")]
    Create { folder: PathBuf, source: io::Error },
    #[error("cannot read or write {file}: {source}")]
    Key { file: PathBuf, source: io::Error },
    #[error("{file} is damaged: it {source}")]
    NotAKey { file: PathBuf, source: SealingError },
}

impl DataFolder {
    /// Creates the folder (mode 700) where there is none.
    pub fn open(path: &Path) -> Result<DataFolder, DataFolderError> {
        private_file::create_folder(path)
            .map_err(|source| DataFolderError::Create { folder: path.to_owned(), source })?;
        // Relative paths mean the folder as it is now, whatever becomes the working folder later.
        Ok(DataFolder(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Operators' requests come in here while `serve` runs.
    pub fn admin_socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }

    /// Where a first start without a terminal leaves the new app's secrets.
    pub fn first_secrets(&self) -> PathBuf {
        self.0.join("default-app.txt")
    }

    /// The key under which secrets are sealed; made at the first start. Call it with the folder locked.
    pub fn sealing_key(&self, entropy: &dyn Entropy) -> Result<SealingKey, DataFolderError> {
        let file = self.0.join("sealing.key");
        match fs::read_to_string(&file) {
            Ok(text) => text.parse().map_err(|source| DataFolderError::NotAKey { file, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = [0; 32];
                bytes[..16].copy_from_slice(&entropy.bits().to_be_bytes());
                bytes[16..].copy_from_slice(&entropy.bits().to_be_bytes());
                let key = SealingKey::from_bytes(bytes);
                private_file::create(&file, &format!("{}\n", key.reveal()))
                    .map_err(|source| DataFolderError::Key { file, source })?;
                Ok(key)
            }
            Err(source) => Err(DataFolderError::Key { file, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rondo_local::SystemEntropy;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn the_sealing_key_is_made_once_and_kept_private() {
        let temp = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&temp.path().join("data")).unwrap();
        let key = folder.sealing_key(&SystemEntropy::new()).unwrap();
        assert!(folder.sealing_key(&SystemEntropy::new()).unwrap() == key);
        assert_eq!(fs::metadata(folder.path().join("sealing.key")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(folder.path()).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_damaged_key_is_never_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(temp.path()).unwrap();
        fs::write(folder.path().join("sealing.key"), "half a k").unwrap();
        assert!(matches!(folder.sealing_key(&SystemEntropy::new()), Err(DataFolderError::NotAKey { .. })));
        assert_eq!(fs::read_to_string(folder.path().join("sealing.key")).unwrap(), "half a k");
    }
}
