//! Named places where a test may end the process, to prove what a restart finds. They do nothing in release builds.

/// Ends the process at once, as a power cut would, where `SHIPWATCH_FAIL_POINT` names this place (`<name>` or
/// `<name>:<n>` for the n-th time it is reached). Debug builds only.
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    {
        use std::sync::LazyLock;
        use std::sync::atomic::{AtomicU64, Ordering};
        static WANTED: LazyLock<Option<(String, AtomicU64)>> = LazyLock::new(|| {
            let text = std::env::var("SHIPWATCH_FAIL_POINT").ok()?;
            let (name, n) = text.split_once(':').unwrap_or((&text, "1"));
            Some((name.to_owned(), AtomicU64::new(n.parse().ok()?)))
        });
        if let Some((wanted, left)) = &*WANTED
            && wanted == name
            && left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            std::process::abort();
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
