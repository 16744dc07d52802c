//! Gathers what the tests of a job said, from its files and its log, when nothing of it runs any more.
//!
//! Before the workspace goes, whatever the verdict is, and within limits: a report that takes too long is cut,
//! since somebody waits for the verdict. Links are not followed and special files not opened. What the bytes
//! mean is the business of the crate `reports`. Must not know: the broker.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use messages::ReportSources;
use reports::{Collector, LogReader, MAX_FILE_BYTES, TestReport};
use rustix::fs::OFlags;

use crate::machine::blocking;
use crate::spool::Entry;

/// How long it may take all in all.
const MOST_TIME: Duration = Duration::from_secs(2);
/// The most entries of folders that are looked at.
const MAX_ENTRIES: usize = 200_000;
/// The deepest folder that is looked into.
const MAX_DEPTH: usize = 32;
/// The most files that are read.
const MAX_FILES: usize = 500;
/// The most bytes of all files together.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// How much of a log is read at once.
const LOG_BYTES: usize = 128 * 1024;

/// Puts the results beside the log in the spool. Nothing that goes wrong here changes the verdict.
pub(crate) async fn tests(checkout: PathBuf, entry: Entry, sources: ReportSources) {
    let gathered = blocking(move || {
        let report = read(&checkout, &entry.log(), &sources, Instant::now() + MOST_TIME);
        if report.is_empty() { Ok(()) } else { entry.write_tests(report) }
    });
    if let Err(cause) = gathered.await {
        tracing::warn!(%cause, "test results not kept");
    }
}

fn read(checkout: &Path, log: &Path, sources: &ReportSources, until: Instant) -> TestReport {
    let mut collector = Collector::new();
    if sources.log
        && let Err(cause) = read_log(log, &mut collector, until)
    {
        collector.note(&format!("the log could not be read: {cause}"));
    }
    if !sources.files.is_empty() {
        read_files(checkout, &sources.files, &mut collector, until);
    }
    let mut report = collector.finish();
    for case in &mut report.cases {
        // The workspace is another one each time.
        if let Some(file) = &case.file
            && let Ok(inside) = Path::new(file).strip_prefix(checkout)
        {
            case.file = Some(inside.to_string_lossy().into_owned());
        }
    }
    report
}

fn read_log(path: &Path, collector: &mut Collector, until: Instant) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut reader = LogReader::new();
    let mut buffer = vec![0; LOG_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 || collector.is_full() {
            break;
        }
        reader.feed(&buffer[..read], collector);
        if Instant::now() > until {
            collector.note("the log was not read to its end for tests: it took too long");
            break;
        }
    }
    reader.finish(collector);
    Ok(())
}

fn read_files(checkout: &Path, patterns: &[String], collector: &mut Collector, until: Instant) {
    let mut bytes = 0;
    let found = find(checkout, patterns, collector, until);
    if found.is_empty() {
        collector.note(&format!("no file matches {}", patterns.join(", ")));
    }
    for (number, path) in found.iter().enumerate() {
        if number >= MAX_FILES || bytes > MAX_BYTES || Instant::now() > until {
            let left = found.len() - number;
            let why = "the limits are 500 files, 64 MiB and 2 s";
            collector.note(&format!("{left} of {} report files were not read: {why}", found.len()));
            return;
        }
        let name = path.strip_prefix(checkout).unwrap_or(path).display();
        match open(path) {
            Ok(content) => {
                bytes += content.len();
                if let Err(cause) = reports::junit(&content, collector) {
                    collector.note(&format!("{name}: {cause}"));
                }
            }
            Err(cause) => collector.note(&format!("{name}: {cause}")),
        }
    }
}

/// Reads a plain file. One that was put there to be waited for is not waited for.
fn open(path: &Path) -> io::Result<Vec<u8>> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut content = Vec::new();
    // One byte more shows that it is too large.
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

/// The files that match, in the order of their names.
fn find(checkout: &Path, patterns: &[String], collector: &mut Collector, until: Instant) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let Some(set) = compile(patterns) else {
        collector.note("a pattern of reports is not understood");
        return found;
    };
    let mut seen = 0;
    let mut folders: Vec<(PathBuf, usize)> =
        patterns.iter().filter_map(|pattern| beginning(checkout, pattern)).map(|folder| (folder, 0)).collect();
    folders.sort();
    folders.dedup();
    while let Some((folder, depth)) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            if seen > MAX_ENTRIES || (seen % 256 == 0 && Instant::now() > until) {
                collector.note("not every folder was searched for reports: there are too many files");
                return found;
            }
            // Of the entry itself, never of what a link leads to.
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_dir() && depth < MAX_DEPTH {
                folders.push((path, depth + 1));
            } else if kind.is_file() && path.strip_prefix(checkout).is_ok_and(|inside| set.is_match(inside)) {
                found.insert(path);
            }
        }
    }
    found
}

fn compile(patterns: &[String]) -> Option<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(GlobBuilder::new(pattern).literal_separator(true).build().ok()?);
    }
    set.build().ok()
}

/// The folder in which every match of the pattern is: nothing beside it needs to be searched. `None` if a link
/// leads to it, or anything out of the checkout.
fn beginning(checkout: &Path, pattern: &str) -> Option<PathBuf> {
    let (folders, _) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let mut folder = checkout.to_owned();
    for part in Path::new(folders).components() {
        let Component::Normal(name) = part else { return None };
        if name.to_string_lossy().contains(['*', '?', '[', '{', '\\']) {
            break;
        }
        folder.push(name);
        if !fs::symlink_metadata(&folder).ok()?.is_dir() {
            return None;
        }
    }
    Some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const GOOD: &str = "<testsuite name='s'><testcase name='a'/></testsuite>";

    fn sources(files: &[&str]) -> ReportSources {
        ReportSources { files: files.iter().map(|file| (*file).to_owned()).collect(), log: false }
    }

    fn read_in(folder: &Path, files: &[&str]) -> TestReport {
        read(folder, Path::new("/nonexistent"), &sources(files), Instant::now() + MOST_TIME)
    }

    #[test]
    fn files_are_found_by_pattern_below_the_checkout() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("target/nextest/ci");
        fs::create_dir_all(&deep).expect("made");
        fs::write(deep.join("junit.xml"), GOOD).expect("written");
        fs::write(folder.path().join("target/other.xml"), GOOD).expect("written");
        for pattern in ["target/**/junit.xml", "**/junit.xml", "target/nextest/ci/junit.xml", "target/*/*/j*.xml"] {
            let report = read_in(folder.path(), &[pattern]);
            assert_eq!(report.summary.counts.passed, 1, "{pattern}: {report:?}");
        }
        let report = read_in(folder.path(), &["target/*.xml", "nothing/*.xml"]);
        assert_eq!(report.summary.counts.passed, 1);
        let report = read_in(folder.path(), &["reports/*.xml"]);
        assert_eq!(report.summary.notes, ["no file matches reports/*.xml"]);
    }

    #[test]
    fn links_and_special_files_are_left_alone() {
        let outside = tempfile::tempdir().expect("a folder");
        fs::write(outside.path().join("junit.xml"), GOOD).expect("written");
        let folder = tempfile::tempdir().expect("a folder");
        symlink(outside.path(), folder.path().join("linked")).expect("linked");
        symlink(outside.path().join("junit.xml"), folder.path().join("junit.xml")).expect("linked");
        symlink(folder.path(), folder.path().join("circle")).expect("linked");
        let pipe = folder.path().join("pipe.xml");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("made");
        for pattern in ["linked/*.xml", "junit.xml", "**/*.xml", "linked/junit.xml", "pipe.xml"] {
            let report = read_in(folder.path(), &[pattern]);
            assert_eq!(report.summary.counts.total(), 0, "{pattern}: {report:?}");
        }
        // Also one that became a pipe after it was found.
        assert!(open(&pipe).is_err());
    }

    #[test]
    fn a_broken_file_is_named_and_the_others_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a.xml"), "<html/>").expect("written");
        fs::write(folder.path().join("b.xml"), GOOD).expect("written");
        let huge = File::create(folder.path().join("c.xml")).expect("made");
        huge.set_len(100 * 1024 * 1024 * 1024).expect("a sparse file");
        let report = read_in(folder.path(), &["*.xml"]);
        assert_eq!(report.summary.counts.passed, 1);
        assert!(report.summary.notes[0].starts_with("a.xml: its first element is <html>"), "{report:?}");
        assert!(report.summary.notes[1].starts_with("c.xml: it has 16777217 bytes"), "{report:?}");
    }

    #[test]
    fn what_takes_too_long_is_cut_and_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        fs::write(&log, "TAP version 13\nok 1 - a\n".repeat(50_000)).expect("written");
        let sources = ReportSources { files: vec!["*.xml".into()], log: true };
        let report = read(folder.path(), &log, &sources, Instant::now());
        assert!(report.summary.notes[0].contains("not read to its end"), "{report:?}");
        assert!(report.summary.counts.passed >= 1);
    }
}
