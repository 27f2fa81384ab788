//! The store's log on a disk: segments and snapshots as files of one directory.
//!
//! Owned by the log thread. A lock file keeps a second process out.
//!
//! 1. A file that others may rely on is synced before its name is, and both before `create` and
//!    `publish` return.
//! 2. A snapshot gets its name only when it is whole: until then it is called `partial-…`, which
//!    no reader looks at and the next `open` removes.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use wavetank_store::{FileKind, Log, LogError, LogFile, Snapshot};

use crate::error::ServeError;

const LOCK: &str = "lock";
const PARTIAL: &str = "partial-";

/// A log in a directory of its own.
#[derive(Debug)]
pub struct FileLog {
    dir: PathBuf,
    /// Held locked as long as the log lives.
    _lock: File,
    /// The segment that appends go to; written by `create`.
    current: Option<(FileKind, File)>,
}

/// Opens a file that only its owner may read.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a directory that only its owner may enter, with those above it.
pub(crate) fn private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Syncs a directory, so that the names in it are on disk.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn failed(what: &'static str, file: &str) -> impl FnOnce(io::Error) -> LogError {
    move |cause| LogError {
        what,
        file: file.to_owned(),
        cause: cause.to_string(),
    }
}

impl FileLog {
    /// Opens the directory, making it if need be. Fails with [`ServeError::InUse`] when another
    /// process has it.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, ServeError> {
        let dir = dir.into();
        private_dir(&dir).map_err(ServeError::file("create", &dir))?;
        let path = dir.join(LOCK);
        let lock = private()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(ServeError::file("create", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ServeError::InUse { dir }),
            Err(TryLockError::Error(source)) => {
                return Err(ServeError::File {
                    what: "lock",
                    path,
                    source,
                });
            }
        }
        let log = FileLog {
            dir,
            _lock: lock,
            current: None,
        };
        log.remove_partial()?;
        Ok(log)
    }

    /// What a crash left of a snapshot.
    fn remove_partial(&self) -> Result<(), LogError> {
        for name in self.names()? {
            if name.starts_with(PARTIAL) {
                fs::remove_file(self.dir.join(&name)).map_err(failed("remove", &name))?;
            }
        }
        Ok(())
    }

    /// Writes snapshots into the same directory from another thread.
    pub fn snapshots(&self) -> SnapshotWriter {
        SnapshotWriter {
            dir: self.dir.clone(),
        }
    }

    fn names(&self) -> Result<Vec<String>, LogError> {
        let list = || -> io::Result<Vec<String>> {
            let entries = fs::read_dir(&self.dir)?.collect::<io::Result<Vec<_>>>()?;
            Ok(entries
                .into_iter()
                .filter_map(|e| e.file_name().into_string().ok())
                .collect())
        };
        list().map_err(failed("list", "the log's directory"))
    }
}

impl Log for FileLog {
    fn files(&self) -> Result<Vec<LogFile>, LogError> {
        let mut files = Vec::new();
        for name in self.names()? {
            if let Some(kind) = FileKind::parse(&name) {
                let data = fs::metadata(self.dir.join(&name)).map_err(failed("read", &name))?;
                files.push(LogFile {
                    kind,
                    bytes: data.len(),
                });
            }
        }
        Ok(files)
    }

    fn read(&self, file: FileKind) -> Result<Vec<u8>, LogError> {
        let name = file.name();
        fs::read(self.dir.join(&name)).map_err(failed("read", &name))
    }

    fn truncate(&mut self, file: FileKind, bytes: u64) -> Result<(), LogError> {
        let name = file.name();
        let cut = || {
            let file = OpenOptions::new().write(true).open(self.dir.join(&name))?;
            file.set_len(bytes)?;
            file.sync_all()
        };
        cut().map_err(failed("truncate", &name))
    }

    fn create(&mut self, file: FileKind, header: &[u8]) -> Result<(), LogError> {
        let name = file.name();
        let begin = || {
            let mut options = private();
            options.create(true).write(true).truncate(true);
            let mut file = options.open(self.dir.join(&name))?;
            file.write_all(header)?;
            file.sync_all()?;
            sync_dir(&self.dir)?;
            Ok(file)
        };
        self.current = Some((file, begin().map_err(failed("create", &name))?));
        Ok(())
    }

    fn append(&mut self, bytes: &Bytes) -> Result<(), LogError> {
        let (kind, file) = self.current()?;
        file.write_all(bytes)
            .map_err(failed("append to", &kind.name()))
    }

    fn sync(&mut self) -> Result<(), LogError> {
        let (kind, file) = self.current()?;
        // fdatasync: the file's length counts as data, its times do not.
        file.sync_data().map_err(failed("sync", &kind.name()))
    }

    fn publish(
        &mut self,
        file: FileKind,
        parts: &mut dyn Iterator<Item = Vec<u8>>,
    ) -> Result<(), LogError> {
        self.snapshots().write(file, parts)
    }

    fn remove(&mut self, file: FileKind) -> Result<(), LogError> {
        let name = file.name();
        fs::remove_file(self.dir.join(&name)).map_err(failed("remove", &name))
    }
}

impl FileLog {
    fn current(&mut self) -> Result<(FileKind, &mut File), LogError> {
        let none = || io::Error::other("no segment has been begun");
        match &mut self.current {
            Some((kind, file)) => Ok((*kind, file)),
            None => Err(failed("append to", "the log")(none())),
        }
    }
}

/// Writes snapshots without the log, whose thread has transactions to sync meanwhile.
#[derive(Clone, Debug)]
pub struct SnapshotWriter {
    dir: PathBuf,
}

impl SnapshotWriter {
    /// Writes, syncs and names a snapshot.
    pub fn publish(&self, snapshot: &Snapshot) -> Result<(), LogError> {
        let file = FileKind::Snapshot {
            covers: snapshot.covers(),
        };
        self.write(file, &mut snapshot.parts())
    }

    // ANCHOR: publish
    fn write(
        &self,
        file: FileKind,
        parts: &mut dyn Iterator<Item = Vec<u8>>,
    ) -> Result<(), LogError> {
        let name = file.name();
        let partial = self.dir.join(format!("{PARTIAL}{name}"));
        let whole = || {
            let mut options = private();
            options.create(true).write(true).truncate(true);
            let mut file = options.open(&partial)?;
            for part in parts {
                file.write_all(&part)?;
            }
            file.sync_all()?;
            fs::rename(&partial, self.dir.join(&name))?;
            sync_dir(&self.dir)
        };
        whole().map_err(failed("publish", &name))
    }
    // ANCHOR_END: publish
}
