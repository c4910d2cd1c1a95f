//! Folders of a measurement.

use std::path::PathBuf;

use anyhow::Context;

/// A folder of this process that goes when it does.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(what: &str) -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("augur-history-{what}-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    /// A copy of the open file as a crash would leave it.
    pub fn crash(&self) -> anyhow::Result<Self> {
        let image = Self::new("crash")?;
        for entry in std::fs::read_dir(&self.0)? {
            let entry = entry?;
            std::fs::copy(entry.path(), image.0.join(entry.file_name())).context("cannot copy the file")?;
        }
        Ok(image)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays in the folder for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
