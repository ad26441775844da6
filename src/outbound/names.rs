//! Which host names are closed unless somebody opened them: those that mean this machine, its network or its cluster.

/// Whether `name` (lower case, no dot at its end) means something inside. An address is checked all the same; this is
/// what a search list or a resolver on the way cannot talk its way around, and what a proxy would resolve for us.
pub(super) fn is_inside(name: &str) -> bool {
    // One label alone is completed by the resolver's search list, in a cluster to a service of the same namespace.
    let Some((_, above)) = name.split_once('.') else { return true };
    let last = above.rsplit('.').next().unwrap_or(above);
    matches!(last, "localhost" | "localdomain" | "local" | "internal")
        // `api.team.svc` and `api.team.svc.cluster.example`, whatever the cluster is called.
        || above.split('.').any(|label| label == "svc")
        || name == "kubernetes.default"
}

#[cfg(test)]
mod tests {
    use super::is_inside;

    #[test]
    fn names_of_the_machine_and_the_cluster() {
        for name in [
            "localhost",
            "app.localhost",
            "localhost.localdomain",
            "printer.local",
            "metadata.google.internal",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "api.team.svc",
            "api.team.svc.cluster.local",
            "api.team.svc.k8s.example.com",
            "jira",
        ] {
            assert!(is_inside(name), "{name}");
        }
        for name in ["example.com", "hooks.example.com", "svc.example.com", "localhost.example.com", "internal.example"]
        {
            assert!(!is_inside(name), "{name}");
        }
    }
}
