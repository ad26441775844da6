//! Arithmetic of NATS subject patterns: `*` is one token, `>` is one or more at the end.

/// Whether every subject that `inner` matches is matched by `outer`.
pub fn covers(outer: &str, inner: &str) -> bool {
    intersection(outer, inner).as_deref() == Some(inner)
}

/// The pattern of all subjects that both match; `None` where there are none.
pub fn intersection(a: &str, b: &str) -> Option<String> {
    let (mut a, mut b) = (a.split('.').peekable(), b.split('.').peekable());
    let mut out: Vec<&str> = Vec::new();
    loop {
        match (a.peek().copied(), b.peek().copied()) {
            (None, None) => return Some(out.join(".")),
            (None, _) | (_, None) => return None,
            (Some(">"), Some(_)) => {
                out.extend(b);
                return Some(out.join("."));
            }
            (Some(_), Some(">")) => {
                out.extend(a);
                return Some(out.join("."));
            }
            (Some(x), Some(y)) => {
                out.push(match (x, y) {
                    ("*", y) => y,
                    (x, "*") => x,
                    (x, y) if x == y => x,
                    _ => return None,
                });
                a.next();
                b.next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_meet_where_both_match() {
        for (a, b, both) in [
            ("sh.keptn.>", "sh.keptn.event.>", Some("sh.keptn.event.>")),
            ("a.*", "*.b", Some("a.b")),
            ("a.>", "*.b", Some("a.b")),
            (">", "a.b", Some("a.b")),
            ("a.>", "a", None),
            ("a.b", "a.c", None),
            ("a.*", "a.b.c", None),
            ("a.*.c", "a.>", Some("a.*.c")),
        ] {
            assert_eq!(intersection(a, b).as_deref(), both, "{a} {b}");
            assert_eq!(intersection(b, a).as_deref(), both, "{b} {a}");
        }
    }

    #[test]
    fn covering_is_one_sided() {
        assert!(covers("sh.>", "sh.keptn.>"));
        assert!(!covers("sh.keptn.>", "sh.>"));
        assert!(covers("a.b", "a.b"));
        assert!(!covers("a.*", "a.>"));
    }
}
