//! The ground truth: lines that jobs append to a file while they run, and the shell text that makes them do it.
//!
//! One line is one `write` to a file that is open for appending, so lines of jobs that run side by side never mix.
//! The time is the machine's uptime, which no clock jump moves.

use std::collections::BTreeMap;
use std::fmt;

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What happened.
    pub event: Event,
    /// The job's id.
    pub job: String,
    /// The attempt's number.
    pub attempt: u32,
    /// The process that wrote the line.
    pub pid: u32,
    /// Hundredths of a second since the machine started.
    pub at: u64,
}

/// What a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The attempt's first step runs.
    Start,
    /// Its last one is about to end.
    End,
    /// Another attempt of the same job still ran when this one started: it held the job's lock, which the kernel
    /// gives back only when the last process of an attempt is gone.
    Overlap,
}

/// Everything that was written, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Truth {
    /// The lines.
    pub lines: Vec<Line>,
    /// What could not be read as a line.
    pub unreadable: Vec<String>,
}

/// What one attempt wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ran {
    /// When it started; more than one entry means that one attempt was run more than once.
    pub starts: Vec<u64>,
    /// When it ended, if it came so far.
    pub end: Option<u64>,
    /// Whether it found another attempt at work.
    pub overlap: bool,
}

impl Truth {
    /// Reads the file's text. A last line that is not complete yet is left for the next time.
    pub fn read(text: &str) -> Self {
        let mut truth = Self::default();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in complete.lines() {
            match parse(line) {
                Some(line) => truth.lines.push(line),
                None => truth.unreadable.push(line.to_owned()),
            }
        }
        truth
    }

    /// The attempts of every job, in order of their numbers.
    pub fn by_job(&self) -> BTreeMap<&str, BTreeMap<u32, Ran>> {
        let mut jobs: BTreeMap<&str, BTreeMap<u32, Ran>> = BTreeMap::new();
        for line in &self.lines {
            let ran = jobs.entry(&line.job).or_default().entry(line.attempt).or_default();
            match line.event {
                Event::Start => ran.starts.push(line.at),
                Event::End => ran.end = Some(line.at),
                Event::Overlap => ran.overlap = true,
            }
        }
        jobs
    }
}

fn parse(line: &str) -> Option<Line> {
    let mut words = line.split(' ');
    let event = match words.next()? {
        "start" => Event::Start,
        "end" => Event::End,
        "overlap" => Event::Overlap,
        _ => return None,
    };
    let job = words.next().filter(|job| !job.is_empty())?.to_owned();
    let attempt = words.next()?.parse().ok()?;
    let pid = words.next()?.parse().ok()?;
    let at = words.next().and_then(hundredths)?;
    words.next().is_none().then_some(Line { event, job, attempt, pid, at })
}

/// `12.34` as 1234, the form of `/proc/uptime`.
pub fn hundredths(seconds: &str) -> Option<u64> {
    let (whole, part) = seconds.split_once('.')?;
    if part.len() != 2 {
        return None;
    }
    Some(whole.parse::<u64>().ok()? * 100 + part.parse::<u64>().ok()?)
}

/// The shell text of a job that keeps the truth.
#[derive(Debug, Clone, Copy)]
pub struct Script<'a> {
    /// The file that lines are appended to.
    pub file: &'a str,
    /// A folder for one lock file per job.
    pub locks: &'a str,
    /// What it does between its first and its last line.
    pub work: &'a str,
    /// Its exit code.
    pub exit: u8,
}

impl fmt::Display for Script<'_> {
    /// Shell built-ins only, `flock` excepted: a job of a chaos run shall cost little.
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, locks, work, exit } = self;
        let word = "$THUMP_JOB $THUMP_ATTEMPT $$ $up";
        writeln!(text, "exec 9>>'{locks}/'$THUMP_JOB")?;
        writeln!(text, "read up rest </proc/uptime")?;
        writeln!(text, "flock -n 9 || echo \"overlap {word}\" >>'{file}'")?;
        writeln!(text, "echo \"start {word}\" >>'{file}'")?;
        writeln!(text, "{work}")?;
        writeln!(text, "read up rest </proc/uptime")?;
        writeln!(text, "echo \"end {word}\" >>'{file}'")?;
        write!(text, "exit {exit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_script_writes_is_what_is_read() {
        let folder = std::env::temp_dir();
        let file = folder.join(format!("thump-truth-{}", std::process::id()));
        let script =
            Script { file: &file.display().to_string(), locks: &folder.display().to_string(), work: "true", exit: 3 }
                .to_string();
        let status = std::process::Command::new("/bin/sh")
            .args(["-e", "-c", &script])
            .env("THUMP_JOB", format!("thump-lock-{}", std::process::id()))
            .env("THUMP_ATTEMPT", "7")
            .status()
            .expect("a shell");
        let text = std::fs::read_to_string(&file).expect("lines");
        std::fs::remove_file(&file).expect("removed");
        std::fs::remove_file(folder.join(format!("thump-lock-{}", std::process::id()))).expect("removed");
        assert_eq!(status.code(), Some(3));
        let truth = Truth::read(&text);
        assert!(truth.unreadable.is_empty(), "{text}");
        let events: Vec<Event> = truth.lines.iter().map(|line| line.event).collect();
        assert_eq!(events, [Event::Start, Event::End]);
        assert_eq!(truth.lines[0].attempt, 7);
        assert!(truth.lines[0].at <= truth.lines[1].at);
    }

    #[test]
    fn torn_and_foreign_lines_are_kept_as_unreadable() {
        let truth = Truth::read("start a 1 2 3.45\nstart a 1\nend a x 2 3.45\nend a 1 2 3.45 more\nend b 1 2 3.4");
        assert_eq!(truth.lines.len(), 1);
        assert_eq!(truth.unreadable, ["start a 1", "end a x 2 3.45", "end a 1 2 3.45 more"]);
    }
}
