//! HTTPS in front of servers of the tests, by an authority that nobody knows but who is told.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::process::spawn;

/// A running proxy, one port for each server behind. Dropping it stops it.
pub struct Tls {
    proxy: Child,
    ports: Vec<u16>,
    folder: TempDir,
}

impl Tls {
    /// In front of the servers at these addresses, such as `http://127.0.0.1:1234/v1`.
    pub fn start(behind: &[&str]) -> Tls {
        let Some(python) = std::env::var_os("LANGCHAIN_PYTHON") else {
            panic!("LANGCHAIN_PYTHON is not set: run the tests with: make check ONLY=integration");
        };
        let folder = TempDir::new().expect("there is room for a folder");
        // The user of the server reads the certificate of the authority in it.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let port = |url: &&str| url.split([':', '/']).nth(4).expect("the address has a port").to_owned();
        let mut command = Command::new(python);
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tls.py"))
            .arg(folder.path())
            .args(behind.iter().map(port))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut proxy = spawn(command, Signal::KILL).expect("LANGCHAIN_PYTHON names a program that can be run");
        let mut line = String::new();
        let mut said = BufReader::new(proxy.stdout.take().expect("it is a pipe"));
        said.read_line(&mut line).expect("the proxy says its ports");
        let ports: Vec<u16> = line
            .split_whitespace()
            .map(|port| port.parse().expect("it is a number"))
            .collect();
        assert_eq!(ports.len(), behind.len(), "the proxy has started");
        Tls { proxy, ports, folder }
    }

    /// `https://127.0.0.1:PORT` in front of the server of that number.
    pub fn url(&self, number: usize) -> String {
        format!("https://127.0.0.1:{}", self.ports[number])
    }

    /// The certificate of the authority.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}
