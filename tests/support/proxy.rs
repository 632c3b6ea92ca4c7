//! A web server between two programs: it records each request, passes it on, and can be told to answer itself.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request, and what was answered.
#[derive(Clone, Debug)]
pub struct Request {
    /// Such as `GET`.
    pub method: String,
    /// Path and query, as on the wire.
    pub target: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    /// The body, as text.
    pub body: String,
    /// Status line, headers and body; empty until all of it is there.
    pub answer: String,
}

/// What is answered in place of the server behind.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Nothing, and the connection stays open.
    Hang,
    /// This status line (such as `403 Forbidden`) and body.
    Say(&'static str, String),
}

/// A running proxy on a free port of 127.0.0.1. Dropping it ends its connections.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    behind: SocketAddr,
    requests: Mutex<Vec<Request>>,
    /// By a part of the target; the last that fits counts.
    answers: Mutex<Vec<(String, Answer)>>,
    stopped: AtomicBool,
    hanging: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Passes everything on to `behind`.
    pub fn start(behind: SocketAddr) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("127.0.0.1 has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            behind,
            requests: Mutex::default(),
            answers: Mutex::default(),
            stopped: AtomicBool::new(false),
            hanging: Mutex::default(),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                if serving.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(connection), shared) = (connection, serving.clone()) else {
                    continue;
                };
                // Whoever went away in the middle is no concern of the proxy.
                std::thread::spawn(move || shared.serve(connection));
            }
        });
        Proxy { address, shared }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// From now on requests whose target contains `part` are answered so.
    pub fn answer(&self, part: &str, answer: Answer) {
        self.shared.answers.lock().unwrap().push((part.to_owned(), answer));
    }

    /// Everything is passed on again, and what hangs is cut.
    pub fn heal(&self) {
        self.shared.answers.lock().unwrap().clear();
        self.shared.cut();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees the order.
        let _ = TcpStream::connect(self.address);
        self.shared.cut();
    }
}

impl Shared {
    fn cut(&self) {
        for connection in self.hanging.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn serve(&self, mut connection: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(connection.try_clone()?);
        let mut head = Vec::new();
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            head.push(line.trim_end().to_owned());
        }
        head.pop();
        let first: Vec<&str> = head.first().map(|first| first.split(' ').collect()).unwrap_or_default();
        let headers = head.iter().skip(1).filter_map(|line| line.split_once(": "));
        let headers: HashMap<_, _> = headers
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length = headers
            .get("content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let target = first.get(1).copied().unwrap_or_default().to_owned();
        let number = {
            let mut requests = self.requests.lock().unwrap();
            requests.push(Request {
                method: first.first().copied().unwrap_or_default().to_owned(),
                target: target.clone(),
                headers,
                body: String::from_utf8_lossy(&body).into_owned(),
                answer: String::new(),
            });
            requests.len() - 1
        };
        let ordered = {
            let answers = self.answers.lock().unwrap();
            let fits = answers.iter().rev().find(|(part, _)| target.contains(part));
            fits.map(|(_, answer)| answer.clone())
        };
        let answer = match ordered {
            Some(Answer::Hang) => {
                self.hanging.lock().unwrap().push(connection.try_clone()?);
                // Until the client or the proxy closes the connection.
                let _ = reader.read(&mut [0]);
                return Ok(());
            }
            Some(Answer::Say(status, body)) => {
                let length = body.len();
                format!(
                    "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                )
                .into_bytes()
            }
            None => self.pass_on(&head, &body)?,
        };
        self.requests.lock().unwrap()[number].answer = String::from_utf8_lossy(&answer).into_owned();
        connection.write_all(&answer)
    }

    fn pass_on(&self, head: &[String], body: &[u8]) -> io::Result<Vec<u8>> {
        let mut behind = TcpStream::connect(self.behind)?;
        behind.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut request = String::new();
        for line in head
            .iter()
            .filter(|line| !line.to_lowercase().starts_with("connection:"))
        {
            request.push_str(line);
            request.push_str("\r\n");
        }
        request.push_str("Connection: close\r\n\r\n");
        behind.write_all(request.as_bytes())?;
        behind.write_all(body)?;
        let mut answer = Vec::new();
        behind.read_to_end(&mut answer)?;
        Ok(answer)
    }
}
