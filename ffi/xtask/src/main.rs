//! Writes `ffi/include/mq.h`, `mq.ffi.h` and `ffi/symbols.txt` from `ffi/src`: `cargo run -p mq-ffi-xtask -- header [--check]`.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

/// The families of the header, in its order: the files of `ffi/src` that export functions.
const FAMILIES: [&str; 19] = [
    "version",
    "error",
    "config",
    "message",
    "receipt",
    "view",
    "packed",
    "message_queues",
    "queue",
    "event",
    "client",
    "producer",
    "push_consumer",
    "pull_consumer",
    "pull_consumer_async",
    "dead_letters",
    "log",
    "broker",
    "faults",
];

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["header"] => false,
        ["header", "--check"] => true,
        _ => {
            eprintln!("usage: mq-ffi-xtask header [--check]");
            return ExitCode::from(2);
        }
    };
    match headers(check) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mq-ffi-xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes or compares the headers and the list of symbols; false when a committed one differs.
fn headers(check: bool) -> Result<bool, Failure> {
    let ffi = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the crate has no parent folder")?;
    let header = generate(ffi)?;
    let plain = declarations(&header)?;
    let symbols = symbols(&plain);
    let mut same = true;
    for (name, text) in [("include/mq.h", &header), ("include/mq.ffi.h", &plain), ("symbols.txt", &symbols)] {
        let path = ffi.join(name);
        if check {
            let committed = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            if committed != *text {
                eprintln!(
                    "{} is not what ffi/src says; run `cargo run -p mq-ffi-xtask -- header`",
                    path.display()
                );
                same = false;
            }
        } else {
            std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        }
    }
    Ok(same)
}

/// The C header.
fn generate(ffi: &Path) -> Result<String, Failure> {
    let config = cbindgen::Config::from_file(ffi.join("cbindgen.toml"))?;
    let sources = ffi.join("src");
    for entry in std::fs::read_dir(&sources)? {
        let path = entry?.path();
        let family = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if std::fs::read_to_string(&path)?.contains("no_mangle") && !FAMILIES.contains(&family) {
            return Err(format!(
                "{} exports functions; add it to the families of the header",
                path.display()
            )
            .into());
        }
    }
    let files = FAMILIES.map(|family| sources.join(format!("{family}.rs")));
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in files {
        builder = builder.with_src(file);
    }
    let mut bytes = Vec::new();
    builder.generate()?.write(&mut bytes);
    Ok(String::from_utf8(bytes)?)
}

/// The bare declarations, without comments, macros and C++ parts: what PHP's `FFI::cdef` takes.
fn declarations(header: &str) -> Result<String, Failure> {
    let mut text = String::with_capacity(header.len());
    let mut rest = header;
    while let Some(start) = rest.find("/*") {
        text.push_str(&rest[..start]);
        let end = rest[start..].find("*/").ok_or("a comment does not end")?;
        rest = &rest[start + end + 2..];
    }
    text.push_str(rest);

    let mut out = String::from(
        "/* mq.h without comments, macros and preprocessor lines, for PHP's FFI::cdef and the like. Generated; do not edit. */\n",
    );
    let mut in_cplusplus = false;
    let mut continued = false;
    for line in text.lines() {
        let line = line.trim_end();
        let directive = continued || line.starts_with('#');
        if directive {
            continued = line.ends_with('\\');
            in_cplusplus = match line {
                "#ifdef __cplusplus" => true,
                _ if line.starts_with("#endif") => false,
                _ => in_cplusplus,
            };
        } else if !line.is_empty() && !in_cplusplus {
            out.push_str(line);
            out.push('\n');
        }
    }
    Ok(out)
}

/// The functions that the bare declarations name, one a line and in order: what the library must export, and nothing else.
fn symbols(declarations: &str) -> String {
    let mut names: Vec<&str> = declarations
        .split('(')
        .filter_map(|before| before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next())
        .filter(|name| name.starts_with("mq_"))
        .collect();
    names.sort_unstable();
    names.dedup();
    names.iter().flat_map(|name| [name, "\n"]).collect()
}
