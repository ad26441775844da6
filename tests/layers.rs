//! Imports go downward only. The order is the one of ARCHITECTURE.md.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room, and what it may not name.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "src/domain",
        &[
            "crate::replay",
            "crate::store",
            "crate::bus",
            "crate::query",
            "crate::gateway",
            "crate::pipeline",
            "crate::effects",
            "crate::app",
            "crate::cli",
            "tokio::",
            "sled::",
            "async_nats",
            "axum::",
            "Utc::now",
            "SystemTime",
            "Instant::now",
            "new_v4",
            "rand::",
        ],
    ),
    (
        "src/store",
        &[
            "crate::replay",
            "crate::bus",
            "crate::query",
            "crate::gateway",
            "crate::pipeline",
            "crate::effects",
            "crate::app",
            "crate::cli",
            "async_nats",
            "axum::",
            "Utc::now",
            "new_v4",
        ],
    ),
    (
        "src/bus",
        &[
            "crate::replay",
            "crate::store",
            "crate::query",
            "crate::gateway",
            "crate::pipeline",
            "crate::effects",
            "crate::app",
            "crate::cli",
            "sled::",
            "axum::",
        ],
    ),
    (
        "src/query",
        &[
            "crate::replay",
            "crate::bus",
            "crate::gateway",
            "crate::pipeline",
            "crate::effects",
            "crate::app",
            "crate::cli",
            "sled::",
            "async_nats",
        ],
    ),
    (
        "src/gateway",
        &[
            "crate::replay",
            "crate::store",
            "crate::query",
            "crate::pipeline",
            "crate::effects",
            "crate::app",
            "crate::cli",
            "sled::",
            "async_nats",
            "Utc::now",
            "SystemTime",
        ],
    ),
    (
        "src/outbound",
        &[
            "crate::domain",
            "crate::store",
            "crate::bus",
            "crate::query",
            "crate::gateway",
            "crate::rules",
            "crate::shipyard",
            "crate::pipeline",
            "crate::effects",
            "crate::app",
            "crate::cli",
            "crate::http",
            "sled::",
            "async_nats",
            "axum::",
        ],
    ),
    ("src/secrets.rs", &["crate::", "sled::", "async_nats", "axum::"]),
    ("src/secrets", &["crate::", "sled::", "async_nats", "axum::"]),
    ("src/http.rs", &["crate::", "sled::", "async_nats"]),
    (
        "src/effects",
        &[
            "crate::replay",
            "crate::query",
            "crate::gateway",
            "crate::app",
            "crate::cli",
            "sled::",
            "async_nats",
            "axum::",
        ],
    ),
    (
        "src/pipeline.rs",
        &[
            "crate::query",
            "crate::gateway",
            "crate::app",
            "crate::cli",
            "sled::",
            "async_nats",
            "axum::",
            "Utc::now",
            "new_v4",
        ],
    ),
    (
        "src/pipeline",
        &[
            "crate::query",
            "crate::gateway",
            "crate::app",
            "crate::cli",
            "sled::",
            "async_nats",
            "axum::",
            "Utc::now",
            "new_v4",
        ],
    ),
    (
        "src/shipyard.rs",
        &[
            "crate::store",
            "crate::bus",
            "crate::query",
            "crate::rules",
            "crate::pipeline",
            "crate::effects",
            "crate::app",
            "crate::cli",
            "tokio::",
            "clap::",
        ],
    ),
    (
        "src/rules",
        &[
            "crate::replay",
            "crate::query",
            "crate::pipeline",
            "crate::effects",
            "crate::app",
            "crate::cli",
            "sled::",
            "async_nats",
            "axum::",
        ],
    ),
    (
        "src/replay",
        &[
            "crate::query",
            "crate::gateway",
            "crate::pipeline",
            "crate::effects",
            "crate::outbound",
            "crate::app",
            "crate::cli",
            "Publisher",
            "sled::",
            "async_nats",
            "axum::",
            "Utc::now",
            "SystemTime",
            "new_v4",
        ],
    ),
    ("src/cli", &["sled::", "async_nats::"]),
    ("src/app.rs", &["sled::", "async_nats", "crate::cli"]),
];

fn files(at: &Path, into: &mut Vec<PathBuf>) {
    if at.is_file() {
        into.push(at.to_owned());
        return;
    }
    for entry in fs::read_dir(at).unwrap_or_else(|e| panic!("{}: {e}", at.display())) {
        let path = entry.unwrap_or_else(|e| panic!("{}: {e}", at.display())).path();
        if path.is_dir() || path.extension().is_some_and(|e| e == "rs") {
            files(&path, into);
        }
    }
}

#[test]
fn imports_go_downward_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for (room, names) in FORBIDDEN {
        let mut found = Vec::new();
        files(&root.join(room), &mut found);
        for file in found {
            let text = fs::read_to_string(&file).unwrap();
            // Tests at the end of a file, and whole test files, may look up.
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let lines = code.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//"));
            for (number, line) in lines {
                for name in names.iter().filter(|name| line.contains(*name)) {
                    wrong.push(format!(
                        "{}:{}: {name} in {room}",
                        file.strip_prefix(root).unwrap().display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports that go upward:\n{}", wrong.join("\n"));
}
