//! How `status` and `result` of several executors become those of the task, as Keptn merges them.

/// `status` and `result` over all `finished` of a task, each as the event says it.
pub fn merge<'a>(finished: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>) -> (&'static str, &'static str) {
    let (mut errored, mut aborted, mut succeeded) = (false, false, true);
    let (mut fail, mut warning) = (false, false);
    for (status, result) in finished {
        errored |= status == Some("errored");
        aborted |= status == Some("aborted");
        succeeded &= status == Some("succeeded");
        warning |= result == Some("warning");
        fail |= !matches!(result, Some("pass" | "warning"));
    }
    let status = match () {
        () if errored => "errored",
        () if aborted => "aborted",
        () if succeeded => "succeeded",
        () => "unknown",
    };
    let result = match () {
        () if fail || status == "unknown" => "fail",
        () if warning => "warning",
        () => "pass",
    };
    (status, result)
}

/// The worst of some results; words that Keptn does not know count as `fail`, as they do there.
pub fn worst<'a>(results: impl Iterator<Item = &'a str>) -> Option<&'static str> {
    let known = |word: &str| match word {
        "pass" => (0, "pass"),
        "warning" => (1, "warning"),
        _ => (2, "fail"),
    };
    results.map(known).max().map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_keptn_merges() {
        for (finished, want) in [
            (&[("succeeded", "pass")][..], ("succeeded", "pass")),
            (&[("succeeded", "pass"), ("succeeded", "warning")], ("succeeded", "warning")),
            (&[("succeeded", "warning"), ("succeeded", "fail")], ("succeeded", "fail")),
            (&[("errored", "pass"), ("aborted", "pass")], ("errored", "pass")),
            (&[("aborted", "pass"), ("succeeded", "pass")], ("aborted", "pass")),
            (&[("unknown", "pass")], ("unknown", "fail")),
            (&[("succeeded", "excellent")], ("succeeded", "fail")),
        ] {
            assert_eq!(merge(finished.iter().map(|(s, r)| (Some(*s), Some(*r)))), want, "{finished:?}");
        }
        assert_eq!(merge([(None, None)].into_iter()), ("unknown", "fail"));
        assert_eq!(worst(["pass", "odd", "warning"].into_iter()), Some("fail"));
        assert_eq!(worst(std::iter::empty()), None);
    }
}
