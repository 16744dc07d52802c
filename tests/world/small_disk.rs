//! A small disk of a role's own, which a story may fill. Needs the right to mount.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory; gone with this value.
pub(crate) struct SmallDisk {
    place: PathBuf,
}

impl SmallDisk {
    /// `None`: this user may not mount; the story says that it is skipped.
    pub(crate) fn at(place: &Path, mebibytes: u32) -> Option<Self> {
        std::fs::create_dir_all(place).expect("a folder");
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "thump-story"]).arg(place).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { place: place.to_owned() }),
            other => {
                super::measure::note(&format!("skipped: a small disk cannot be mounted here ({other:?})"));
                None
            }
        }
    }

    /// Leaves not a byte.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.place.join("ballast")).expect("made");
        let block = vec![0_u8; 64 * 1024];
        for size in [block.len(), 4096, 1] {
            while file.write_all(&block[..size]).is_ok() {}
        }
    }

    /// There is room again.
    pub(crate) fn clear(&self) {
        std::fs::remove_file(self.place.join("ballast")).expect("removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: processes of the story may have files open there until they are gone, too.
        drop(Command::new("umount").arg("-l").arg(&self.place).status());
    }
}
