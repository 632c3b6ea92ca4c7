//! S3 and STS: moto, one process for all tests of a program, and for each test a bucket and a proxy of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::ops::Deref;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::blocking::Client;
use rustix::process::Signal;

use super::process::spawn;
use super::{Options, Proxy};

/// Who the server is. moto takes any key.
pub const ACCESS_KEY: &str = "AKIAIOSFODNN7TESTKEY";
/// Must never be seen anywhere.
pub const SECRET_KEY: &str = "canary-secret-access-key-0123456789";

/// moto decides by this header which service is meant, and does not check the signature.
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=TEST/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

/// A bucket, and the proxy by which the server under test reaches it.
pub struct S3 {
    proxy: Proxy,
    bucket: String,
    client: Client,
}

impl Deref for S3 {
    type Target = Proxy;

    fn deref(&self) -> &Proxy {
        &self.proxy
    }
}

impl S3 {
    /// A new empty bucket.
    pub fn start() -> S3 {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let s3 = S3 {
            proxy: Proxy::start(*MOTO),
            bucket: format!("bucket-{}", NUMBER.fetch_add(1, Ordering::Relaxed)),
            client: Client::builder().no_proxy().build().expect("a client needs nothing"),
        };
        s3.request("", vec![], false);
        s3
    }

    /// The variables by which an AWS SDK finds this S3 and this STS, with keys.
    pub fn environment(&self, options: Options) -> Options {
        options
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ENDPOINT_URL", self.proxy.url())
    }

    /// The address of an object.
    pub fn uri(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// Stores an object that only signed requests may read; returns its address.
    pub fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) -> String {
        self.request(key, bytes.into(), false);
        self.uri(key)
    }

    /// Stores an object that everybody may read; returns its address.
    pub fn put_public(&self, key: &str, bytes: impl Into<Vec<u8>>) -> String {
        self.request(key, bytes.into(), true);
        self.uri(key)
    }

    /// Removes an object.
    pub fn delete(&self, key: &str) {
        let url = format!("http://{}/{}/{key}", *MOTO, self.bucket);
        let answer = self.client.delete(url).header("Authorization", SIGNED).send();
        let answer = answer.expect("moto answers");
        assert!(answer.status().is_success(), "moto: {answer:?}");
    }

    /// How often an object was asked for.
    pub fn gets(&self, key: &str) -> usize {
        let path = format!("/{}/{key}", self.bucket);
        let asks = |target: &str| target.split('?').next() == Some(&path);
        self.requests()
            .iter()
            .filter(|request| request.method == "GET" && asks(&request.target))
            .count()
    }

    /// Past the proxy: what the tests do is not recorded.
    fn request(&self, key: &str, bytes: Vec<u8>, public: bool) {
        let acl = if public { "public-read" } else { "private" };
        let url = format!("http://{}/{}/{key}", *MOTO, self.bucket);
        let request = self
            .client
            .put(url)
            .header("Authorization", SIGNED)
            .header("x-amz-acl", acl);
        let answer = request.body(bytes).send().expect("moto answers");
        assert!(answer.status().is_success(), "moto: {answer:?}");
    }
}

/// Where moto listens.
static MOTO: LazyLock<SocketAddr> = LazyLock::new(|| {
    let Some(program) = std::env::var_os("MOTO_SERVER") else {
        panic!("MOTO_SERVER is not set: it names the program of moto. Run the tests with: make check ONLY=integration");
    };
    let mut command = Command::new(program);
    command.args(["-H", "127.0.0.1", "-p", "0"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut moto = spawn(command, Signal::KILL).expect("MOTO_SERVER names a program that can be run");
    let mut lines = BufReader::new(moto.stderr.take().expect("it is a pipe")).lines();
    let address = loop {
        let line = lines
            .next()
            .expect("moto says where it listens before it ends")
            .expect("it says it in UTF-8");
        if let Some((_, url)) = line.split_once("Running on http://") {
            break url.trim().parse().expect("it is an address");
        }
    };
    // Read on, so that moto never waits for room in the pipe.
    std::thread::spawn(move || {
        lines.for_each(drop);
        moto.wait()
    });
    address
});
