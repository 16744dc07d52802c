//! Finds the usual test command of a checkout that has no pipeline file.
//!
//! Looks at the top folder only, follows no link and reads no more than [`MAX_READ`] of a file: the
//! checkout is somebody else's. Must not know: processes, brokers.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How much of a file is looked at.
const MAX_READ: u64 = 1024 * 1024;
/// What `npm init` writes where a test would be.
const NPM_PLACEHOLDER: &str = "no test specified";

/// What a checkout was recognised as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recognised {
    /// By which file or folder.
    pub(crate) by: String,
    /// What to run.
    pub(crate) steps: Vec<String>,
}

/// What to write into the log and onto the page when nothing was recognised.
pub(crate) const NOTHING: &str = "there is no .thump.toml in this commit, and no usual test command was recognised \
    (Cargo.toml, go.mod, package.json with a test script, a tests folder with Python files, a Makefile with a test \
    target). Add a .thump.toml:\n\n[[job]]\nname = \"test\"\nsteps = [\"./run-tests\"]\n";

/// Looks in the order of the issue: the first that fits counts.
pub(crate) fn recognise(checkout: &Path) -> Option<Recognised> {
    let found = |by: &str, steps: &[&str]| {
        let steps = steps.iter().map(|&step| step.to_owned()).collect();
        Some(Recognised { by: by.to_owned(), steps })
    };
    if is_file(checkout, "Cargo.toml") {
        return found("Cargo.toml", &["cargo test"]);
    }
    if is_file(checkout, "go.mod") {
        return found("go.mod", &["go test ./..."]);
    }
    node(checkout).or_else(|| python(checkout)).or_else(|| {
        let name = ["GNUmakefile", "makefile", "Makefile"].into_iter().find(|name| is_file(checkout, name))?;
        if has_test_target(&read(checkout, name)?) { found(name, &["make test"]) } else { None }
    })
}

fn node(checkout: &Path) -> Option<Recognised> {
    let steps = steps_of_package(&read(checkout, "package.json")?, is_file(checkout, "package-lock.json"))?;
    Some(Recognised { by: "package.json with a test script".to_owned(), steps })
}

/// What a `package.json` with a test script asks for.
pub(crate) fn steps_of_package(package: &str, is_locked: bool) -> Option<Vec<String>> {
    let package: serde_json::Value = serde_json::from_str(package).ok()?;
    let test = package.get("scripts")?.get("test")?.as_str()?;
    if test.trim().is_empty() || test.contains(NPM_PLACEHOLDER) {
        return None;
    }
    let needs = |what: &str| {
        package.get(what).and_then(serde_json::Value::as_object).is_some_and(|packages| !packages.is_empty())
    };
    let mut steps = Vec::new();
    if is_locked {
        steps.push("npm ci".to_owned());
    } else if needs("dependencies") || needs("devDependencies") {
        steps.push("npm install".to_owned());
    }
    steps.push("npm test".to_owned());
    Some(steps)
}

fn python(checkout: &Path) -> Option<Recognised> {
    let found = |by: &str, step: &str| Some(Recognised { by: by.to_owned(), steps: vec![step.to_owned()] });
    let mentions = |name: &str, section: &str| read(checkout, name).is_some_and(|text| text.contains(section));
    if is_file(checkout, "pytest.ini") {
        return found("pytest.ini", "python3 -m pytest");
    }
    for (name, section) in [("pyproject.toml", "[tool.pytest"), ("setup.cfg", "[tool:pytest]"), ("tox.ini", "[pytest]")]
    {
        if mentions(name, section) {
            return found(&format!("{name} with {section}"), "python3 -m pytest");
        }
    }
    let tests = checkout.join("tests");
    if !fs::symlink_metadata(&tests).is_ok_and(|meta| meta.is_dir()) {
        return None;
    }
    let has_python = fs::read_dir(&tests)
        .ok()?
        .flatten()
        .take(10_000)
        .any(|entry| entry.path().extension().is_some_and(|extension| extension == "py"));
    if !has_python && !is_file(checkout, "pyproject.toml") {
        return None;
    }
    // unittest refuses a start folder below the top folder that is no package, and a package only works
    // with its relative imports when its parent is the top folder.
    if is_file(&tests, "__init__.py") {
        found("a tests package", "python3 -m unittest discover -s tests -t .")
    } else {
        found("a tests folder", "python3 -m unittest discover -s tests")
    }
}

/// Whether a rule of the makefile has `test` among its targets.
pub(crate) fn has_test_target(makefile: &str) -> bool {
    makefile.lines().filter(|line| !line.starts_with(['\t', '#'])).any(|line| {
        line.split_once(':').is_some_and(|(targets, rest)| {
            !rest.starts_with(['=', ':']) && targets.split_whitespace().any(|target| target == "test")
        })
    })
}

fn is_file(folder: &Path, name: &str) -> bool {
    fs::symlink_metadata(folder.join(name)).is_ok_and(|meta| meta.is_file())
}

fn read(folder: &Path, name: &str) -> Option<String> {
    if !is_file(folder, name) {
        return None;
    }
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).ok()?;
    let file: File = OpenOptions::new().read(true).custom_flags(no_follow).open(folder.join(name)).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_READ).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps for a checkout with these files.
    fn steps_of(files: &[(&str, &str)]) -> Option<Vec<String>> {
        let folder = tempfile::tempdir().expect("temporary folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("has a parent")).expect("creates");
            fs::write(path, text).expect("writes");
        }
        recognise(folder.path()).map(|found| found.steps)
    }

    fn is(expected: &[&str]) -> Option<Vec<String>> {
        Some(expected.iter().map(|&step| step.to_owned()).collect())
    }

    #[test]
    fn each_kind_is_recognised() {
        assert_eq!(steps_of(&[("Cargo.toml", ""), ("Makefile", "test:\n")]), is(&["cargo test"]));
        assert_eq!(steps_of(&[("go.mod", "")]), is(&["go test ./..."]));
        let script = r#"{"scripts": {"test": "node test.js"}, "dependencies": {"a": "1"}}"#;
        assert_eq!(steps_of(&[("package.json", script)]), is(&["npm install", "npm test"]));
        assert_eq!(steps_of(&[("package.json", script), ("package-lock.json", "")]), is(&["npm ci", "npm test"]));
        assert_eq!(steps_of(&[("pyproject.toml", "[tool.pytest.ini_options]\n")]), is(&["python3 -m pytest"]));
        assert_eq!(steps_of(&[("setup.cfg", "[tool:pytest]\n")]), is(&["python3 -m pytest"]));
        assert_eq!(steps_of(&[("tests/test_a.py", "")]), is(&["python3 -m unittest discover -s tests"]));
        assert_eq!(
            steps_of(&[("tests/test_a.py", ""), ("tests/__init__.py", "")]),
            is(&["python3 -m unittest discover -s tests -t ."])
        );
        assert_eq!(steps_of(&[("Makefile", "all: x\n\ncheck test: all\n\ttrue\n")]), is(&["make test"]));
    }

    #[test]
    fn what_only_looks_like_a_test_is_not_run() {
        assert_eq!(
            steps_of(&[("package.json", r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1"}}"#)]),
            None
        );
        assert_eq!(steps_of(&[("package.json", "{"), ("tests/readme.txt", "")]), None);
        assert_eq!(steps_of(&[("Makefile", "test := x\n# test: y\nall:\n\techo test: z\n")]), None);
        assert_eq!(steps_of(&[]), None);
    }

    #[test]
    fn a_link_out_of_the_checkout_is_not_followed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let outside = tempfile::tempdir().expect("temporary folder");
        fs::write(outside.path().join("test_a.py"), "").expect("writes");
        fs::write(outside.path().join("Makefile"), "test:\n").expect("writes");
        std::os::unix::fs::symlink(outside.path(), folder.path().join("tests")).expect("links");
        std::os::unix::fs::symlink(outside.path().join("Makefile"), folder.path().join("Makefile")).expect("links");
        assert_eq!(recognise(folder.path()), None);
    }
}
