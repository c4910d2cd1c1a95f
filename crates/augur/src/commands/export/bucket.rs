//! Object stores as targets of an export, behind the feature `object-store`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use augur_history::export::ExportTarget;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart, parse_url_opts};
use tokio::runtime::{Builder, Runtime};

/// Bytes sent in one part: what memory holds of a file.
const PART: usize = 8 << 20;

/// A place within an object store.
pub struct Bucket {
    store: Box<dyn ObjectStore>,
    below: Key,
    runtime: Runtime,
}

impl Bucket {
    /// The place that a URL names. Keys, regions and endpoints come from the environment, by the names that the providers' own
    /// tools use (`AWS_ACCESS_KEY_ID`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME`, …).
    ///
    /// # Errors
    /// The URL names no store, or what is needed to reach it is missing.
    pub fn open(url: &str) -> anyhow::Result<Self> {
        // The one TLS stack; that it is there already is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let parsed = url::Url::parse(url).with_context(|| format!("{url} is no URL"))?;
        let settings = std::env::vars().map(|(name, value)| (name.to_ascii_lowercase(), value));
        let (store, below) = parse_url_opts(&parsed, settings).with_context(|| format!("{url} cannot be used"))?;
        let runtime = Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
        Ok(Self { store, below, runtime })
    }
}

impl ExportTarget for Bucket {
    fn scratch(&self) -> PathBuf {
        std::env::temp_dir()
    }

    fn put(&mut self, path: &str, file: &Path) -> std::io::Result<()> {
        let key = path.split('/').fold(self.below.clone(), Key::join);
        let mut file = File::open(file)?;
        let sent = self.runtime.block_on(async {
            let mut upload = WriteMultipart::new(self.store.put_multipart(&key).await?);
            let mut part = vec![0; PART];
            loop {
                let length = match file.read(&mut part) {
                    Ok(length) => length,
                    Err(source) => {
                        upload.abort().await?;
                        return Ok(Err(source));
                    }
                };
                if length == 0 {
                    break;
                }
                upload.write(&part[..length]);
                // Two parts on their way at most.
                upload.wait_for_capacity(2).await?;
            }
            upload.finish().await?;
            Ok::<_, object_store::Error>(Ok(()))
        });
        sent.map_err(std::io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_arrives_whole_in_a_store_on_this_machine() {
        let dir = tempfile::tempdir().unwrap();
        let local = dir.path().join("file");
        let bytes: Vec<u8> = (0..20_000_000u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&local, &bytes).unwrap();
        let place = dir.path().join("bucket");
        std::fs::create_dir(&place).unwrap();
        let mut bucket = Bucket::open(&format!("file://{}/below", place.display())).unwrap();
        bucket.put("decisions/day=2026-11-24/part-0.parquet", &local).unwrap();
        let arrived = std::fs::read(place.join("below/decisions/day=2026-11-24/part-0.parquet")).unwrap();
        assert!(arrived == bytes, "{} of {} bytes", arrived.len(), bytes.len());
    }

    #[test]
    fn each_kind_of_store_is_known_by_its_url() {
        assert!(Bucket::open("s3://bucket/augur").is_ok());
        assert!(Bucket::open("gs://bucket/augur").is_ok());
        let error = Bucket::open("nothing://x").err().unwrap().to_string();
        assert!(error.contains("nothing://x"), "{error}");
    }
}
