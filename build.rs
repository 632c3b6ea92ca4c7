//! Compiles the one call of std that is not stable yet: to be asked when an allocation fails
//! (src/postgres/allocation.rs).
//!
//! Stable Rust aborts there, and a process of Postgres that aborts takes the whole server with it.
//! `RUSTC_BOOTSTRAP` opens the feature for this one file of a pinned compiler. In `.cargo/config.toml` it
//! would be in the environment of every build script, and some of those switch unstable features of their
//! crates on where they see it.

use std::env;
use std::path::Path;
use std::process::Command;

const SOURCE: &str = "src/postgres/allocation/error_hook.rs";
const NAME: &str = "ai_allocation_error";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    let folder = env::var("OUT_DIR").expect("cargo says where files go");
    let status = Command::new(env::var_os("RUSTC").expect("cargo says which compiler it is"))
        .env("RUSTC_BOOTSTRAP", NAME)
        .args(["--crate-type=rlib", "--edition=2024", "-Copt-level=2", "-Cpanic=unwind"])
        .args(["-Crelocation-model=pic", "--crate-name", NAME, "--target"])
        .arg(env::var("TARGET").expect("cargo says for what it builds"))
        .arg("-o")
        .arg(Path::new(&folder).join(format!("lib{NAME}.a")))
        .arg(SOURCE)
        .status();
    let status = status.expect("the compiler that compiled this can be run");
    assert!(status.success(), "{SOURCE} cannot be compiled: {status}");
    println!("cargo::rustc-link-search=native={folder}");
    println!("cargo::rustc-link-lib=static={NAME}");
}
