//! Addresses as Python's `ipaddress` shows them.

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};

use super::quoted;

/// `inet` is an address, or an interface with the length of its network; `cidr` is a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Inet,
    Cidr,
}

/// `str()`
pub fn shown(text: &str) -> Option<String> {
    let (address, length) = split(text);
    let mut shown = match address.parse().ok()? {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => compressed(&address),
    };
    if let Some(length) = length {
        let _ = write!(shown, "/{length}");
    }
    Some(shown)
}

/// `repr()`
pub fn write_repr(out: &mut String, text: &str, family: Family) -> Option<()> {
    let shown = shown(text)?;
    let (address, length) = split(&shown);
    let version = if address.contains(':') { 6 } else { 4 };
    let kind = match (family, length) {
        (Family::Cidr, _) => "Network",
        (Family::Inet, Some(_)) => "Interface",
        (Family::Inet, None) => "Address",
    };
    let _ = write!(out, "IPv{version}{kind}(");
    quoted::write_text(out, &shown);
    out.push(')');
    Some(())
}

fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    }
}

/// Without the dots that Postgres, the standard library and Python from 3.13 on have in `::ffff:1.2.3.4`:
/// pgai's image has Python 3.12.
fn compressed(address: &Ipv6Addr) -> String {
    let segments = address.segments();
    let (mut begin, mut length, mut at) = (0, 0, 0);
    while at < segments.len() {
        let zeros = segments[at..].iter().take_while(|segment| **segment == 0).count();
        if zeros > length {
            (begin, length) = (at, zeros);
        }
        at += zeros.max(1);
    }
    let hex = |segments: &[u16]| {
        let texts: Vec<String> = segments.iter().map(|segment| format!("{segment:x}")).collect();
        texts.join(":")
    };
    if length > 1 {
        format!("{}::{}", hex(&segments[..begin]), hex(&segments[begin + length..]))
    } else {
        hex(&segments)
    }
}
