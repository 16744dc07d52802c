//! Makes a server folder that holds only what one node needs.
//!
//! A full server carries some fifty plugins. Even switched off, each is one more folder in which Erlang looks for every
//! module it loads, and one more configuration schema to read. Without them the node boots in about half the time.

use crate::NodeError;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// Builds the folder at `into` for a server with `plugins` and returns its scripts; the full server's scripts where
/// that is laid out in a way we do not know.
pub(crate) fn server(full_scripts: &Path, into: &Path, plugins: &[String]) -> Result<PathBuf, NodeError> {
    let Some(full) = full_scripts.parent() else { return Ok(full_scripts.to_path_buf()) };
    let applications = applications(&full.join("plugins"));
    let Some(needed) = needed(&applications, plugins) else { return Ok(full_scripts.to_path_buf()) };

    let scripts = into.join("sbin");
    let links = into.join("plugins");
    for folder in [&scripts, &links] {
        fs::create_dir_all(folder).map_err(NodeError::os("create", folder))?;
    }
    // Copies, because the scripts follow links to find where they stand.
    for script in files(full_scripts) {
        let copy = scripts.join(script.file_name().unwrap_or_default());
        fs::copy(&script, &copy).map_err(NodeError::os("copy", &script))?;
    }
    symlink(full.join("escript"), into.join("escript")).map_err(NodeError::os("link", full.join("escript")))?;
    for folder in needed {
        let link = links.join(folder.file_name().unwrap_or_default());
        symlink(folder, &link).map_err(NodeError::os("link", &link))?;
    }
    Ok(scripts)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Application name to its folder, for folders like `ranch-2.1.0`.
fn applications(folder: &Path) -> BTreeMap<String, PathBuf> {
    let named = |path: PathBuf| Some((path.file_name()?.to_str()?.split_once('-')?.0.to_owned(), path));
    files(folder).into_iter().filter(|path| path.is_dir()).filter_map(named).collect()
}

/// The folders of the server, the plugins and all they depend on; what is not among the applications is Erlang's own.
fn needed<'a>(applications: &'a BTreeMap<String, PathBuf>, plugins: &[String]) -> Option<BTreeSet<&'a Path>> {
    let mut open: Vec<String> = plugins.to_vec();
    open.push("rabbit".to_owned());
    if !open.iter().all(|name| applications.contains_key(name)) {
        return None;
    }
    let mut found = BTreeSet::new();
    while let Some(name) = open.pop() {
        let Some(folder) = applications.get(&name) else { continue };
        if found.insert(folder.as_path()) {
            let text = fs::read_to_string(folder.join("ebin").join(format!("{name}.app"))).ok()?;
            open.extend(dependencies(&text));
        }
    }
    Some(found)
}

/// The names in the lists of an Erlang application file that name other applications.
fn dependencies(app_file: &str) -> Vec<String> {
    let lists = ["applications", "included_applications", "optional_applications"];
    let inside = |list: &str| {
        let rest = app_file.split_once(&format!("{{{list},"))?.1;
        Some(rest.split_once('[')?.1.split_once(']')?.0.to_owned())
    };
    let names = lists.into_iter().filter_map(inside).collect::<Vec<_>>().join(",");
    names.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::dependencies;

    #[test]
    fn dependencies_are_read_across_lines_and_lists() {
        let app = "{application, ra, [{vsn,\"2\"},\n {modules, [ra_log]},\n {applications,[kernel,\n  aten]},\n {included_applications, []},\n\
                   {optional_applications, [ seshat ]}]}.";
        assert_eq!(dependencies(app), ["kernel", "aten", "seshat"]);
    }
}
