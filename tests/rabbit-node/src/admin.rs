//! What an administrator does to a running node: virtual hosts, users, rights, and whatever `rabbitmqctl` can.

use crate::{Node, NodeError, node::Inner};
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::Ordering,
};

impl Node {
    /// Makes a fresh virtual host for `guest` and returns its URL. Takes some ten milliseconds.
    ///
    /// # Errors
    ///
    /// The node is down or refuses.
    pub async fn vhost(&self) -> Result<String, NodeError> {
        let name = format!("test-{}", self.inner.counter.fetch_add(1, Ordering::Relaxed));
        self.add_vhost(&name).await?;
        self.set_permissions(&name, "guest", [".*"; 3]).await?;
        Ok(self.url_for(&name, "guest", "guest"))
    }

    /// Makes a virtual host that nobody may use yet.
    ///
    /// # Errors
    ///
    /// The node is down or refuses.
    pub async fn add_vhost(&self, vhost: &str) -> Result<(), NodeError> {
        self.must(format!("rabbit_vhost:add({}, <<\"tests\">>)", binary(vhost))).await
    }

    /// Makes a user without any right.
    ///
    /// # Errors
    ///
    /// The node is down or refuses, for example because the user exists.
    pub async fn add_user(&self, user: &str, password: &str) -> Result<(), NodeError> {
        let arguments = format!("{}, {}, <<\"tests\">>", binary(user), binary(password));
        self.must(format!("rabbit_auth_backend_internal:add_user({arguments})")).await
    }

    /// Gives a user rights in a virtual host: patterns of names to configure, to write to and to read from.
    ///
    /// # Errors
    ///
    /// The node is down or refuses.
    pub async fn set_permissions(
        &self,
        vhost: &str,
        user: &str,
        configure_write_read: [&str; 3],
    ) -> Result<(), NodeError> {
        let [configure, write, read] = configure_write_read.map(binary);
        let arguments = format!("{}, {}, {configure}, {write}, {read}, <<\"tests\">>", binary(user), binary(vhost));
        self.must(format!("rabbit_auth_backend_internal:set_permissions({arguments})")).await
    }

    /// Runs `rabbitmqctl` against this node and returns what it prints. Takes about a second; [`Node::eval`] is the
    /// quick way where speed counts.
    ///
    /// # Errors
    ///
    /// The node is down, or the command fails.
    pub async fn ctl(&self, arguments: &[&str]) -> Result<String, NodeError> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        self.with(move |inner| {
            inner.server()?;
            inner.rabbitmqctl(&arguments)
        })
        .await
    }

    /// Evaluates an Erlang expression (no dot at the end) on the node and returns its value as Erlang prints it.
    ///
    /// # Errors
    ///
    /// The node is down, or the expression does not parse or fails.
    pub async fn eval(&self, expression: impl Into<String>) -> Result<String, NodeError> {
        let expression = expression.into();
        self.with(move |inner| inner.evaluate(&expression)).await
    }

    async fn must(&self, expression: String) -> Result<(), NodeError> {
        match self.eval(expression.as_str()).await?.as_str() {
            "ok" => Ok(()),
            other => Err(NodeError::Refused { command: expression, answer: other.to_owned() }),
        }
    }
}

impl Inner {
    /// The value comes back through a file: the two tools print values in ways of their own.
    fn evaluate(&self, expression: &str) -> Result<String, NodeError> {
        self.server()?;
        let answer = self.folder.path().join(format!("answer-{}", self.counter.fetch_add(1, Ordering::Relaxed)));
        let path = binary(&answer.display().to_string());
        let whole = format!(
            "file:write_file({path}, unicode:characters_to_binary(io_lib:format(\"~tp\", [begin {expression} end])))"
        );
        let said = match &self.installation.erl_call {
            Some(program) => self.erl_call(program, &whole),
            None => self.rabbitmqctl(&["eval".to_owned(), format!("{whole}.")]),
        };
        match fs::read_to_string(&answer) {
            Ok(value) => {
                // If it stays, it goes with the folder.
                let _removed = fs::remove_file(&answer);
                Ok(value)
            }
            Err(_) => Err(NodeError::Refused { command: expression.to_owned(), answer: said? }),
        }
    }

    fn erl_call(&self, program: &Path, expression: &str) -> Result<String, NodeError> {
        let port = self.folder.ports.distribution.to_string();
        // Each call has a name of its own: a node hangs up on the second of two callers with one name.
        let caller = format!("caller-{}-{}", std::process::id(), self.counter.fetch_add(1, Ordering::Relaxed));
        let mut child = self
            .command(program)
            .args(["-address", &port, "-h", &caller, "-e"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(NodeError::os("run", program))?;
        if let Some(mut input) = child.stdin.take() {
            // A program that ended early says why by itself.
            let _broken_pipe = writeln!(input, "{expression}.");
        }
        let output = child.wait_with_output().map_err(NodeError::os("run", program))?;
        Ok(said(&output.stdout, &output.stderr))
    }

    fn rabbitmqctl(&self, arguments: &[String]) -> Result<String, NodeError> {
        let program = self.folder.scripts.join("rabbitmqctl");
        let output = self
            .command(&program)
            .arg("--quiet")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(NodeError::os("run", &program))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let command = format!("rabbitmqctl {}", arguments.join(" "));
            Err(NodeError::Refused { command, answer: said(&output.stdout, &output.stderr) })
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let environment = self.folder.environment.iter().map(|(name, value)| (name, value));
        command.env_clear().envs(environment).current_dir(self.folder.path());
        command
    }
}

fn said(stdout: &[u8], stderr: &[u8]) -> String {
    format!("{}{}", String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr)).trim().to_owned()
}

/// An Erlang binary by its bytes, so that no text can end the literal.
fn binary(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
    format!("<<{}>>", bytes.join(","))
}
