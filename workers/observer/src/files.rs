//! Small JSON files that are whole or absent: written aside, synced, renamed, and the folder synced.
//!
//! Apart because both the cursors and the names rely on it. Knows no git.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;

use crate::error::StateFileError;

/// Reads a file that [`write()`] wrote, with the function that understands it; `None` if there is none.
pub(crate) fn read<T>(
    path: &Path,
    decode: impl FnOnce(&[u8]) -> Result<T, String>,
    remedy: &'static str,
) -> Result<Option<T>, StateFileError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(StateFileError::Io { what: "read", path: path.to_owned(), cause }),
    };
    match decode(&bytes) {
        Ok(content) => Ok(Some(content)),
        Err(cause) => Err(StateFileError::Damaged { path: path.to_owned(), cause, remedy }),
    }
}

/// Replaces the file; after a crash at any moment it has the old content or the new one.
pub(crate) fn write<T: Serialize>(path: &Path, content: &T) -> Result<(), StateFileError> {
    let failed = |cause| StateFileError::Io { what: "write", path: path.to_owned(), cause };
    let bytes = encode(content).map_err(|cause| failed(cause.into()))?;
    replace(path, &bytes).map_err(failed)
}

/// The bytes of such a file.
pub(crate) fn encode<T: Serialize>(content: &T) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(content)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let aside = path.with_extension("new");
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    // Without this the rename itself may be lost with the power.
    File::open(folder)?.sync_all()
}
