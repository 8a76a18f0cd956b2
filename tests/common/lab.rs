//! Namespaces with a client `c`, routers and a server `s`.

use std::process::{Command, id};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Ended, Impaired, Process, Server, have, root};

/// Runs a script, which must go well: what it prints.
pub fn sh(script: &str) -> String {
    let out = Command::new("sh").args(["-ec", script]).output().expect("sh");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{script}\n{said}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Namespaces whose names begin alike; they go with it.
pub struct Lab {
    prefix: String,
    names: &'static [&'static str],
    /// The server's addresses.
    targets: [&'static str; 2],
}

impl Lab {
    /// `set_up` is a script that makes them, for a prefix of this `kind`; none where
    /// that takes rights or tools that are not there.
    pub fn new(
        kind: &str,
        names: &'static [&'static str],
        targets: [&'static str; 2],
        set_up: impl FnOnce(&str) -> String,
    ) -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        if !(root() && have("ip") && have("nft")) {
            return None;
        }
        let prefix = format!("{kind}{}x{}", id(), MADE.fetch_add(1, Ordering::Relaxed));
        let lab = Self { prefix, names, targets };
        sh(&set_up(&lab.prefix));
        Some(lab)
    }

    pub fn namespace(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub fn within(&self, name: &str, script: &str) -> String {
        sh(&format!("ip netns exec {} {script}", self.namespace(name)))
    }

    pub fn server(&self) -> Server {
        let mut command = Impaired::echotest_in(&self.namespace("s"));
        command.args(["server", "--port", "7007"]);
        Server::from(command.args(self.targets.iter().flat_map(|target| ["--bind", target])))
    }

    pub fn path(&self, arguments: &[&str]) -> Ended {
        let mut command = Impaired::echotest_in(&self.namespace("c"));
        Process::start(command.arg("path").args(arguments)).finish()
    }

    /// Has a router do to packets what an nft rule in `hook` says.
    pub fn rule(&self, router: &str, hook: &str, rule: &str) {
        self.within(
            router,
            &format!(
                "nft 'add table inet x; flush table inet x;
                 add chain inet x {hook} {{ type filter hook {hook} priority 0; }};
                 add rule inet x {hook} {rule}'"
            ),
        );
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in self.names {
            let _ = Command::new("ip").args(["netns", "del", &self.namespace(name)]).status();
        }
    }
}
