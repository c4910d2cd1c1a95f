//! The roles that every cluster with RBAC has and that somebody with no role of his own lives by: discovery, health, and asking
//! what one may do. They are restored at each start, as kube-apiserver restores them. Entry point: [`objects`].

use serde_json::{Value, json};

/// Resources with the objects that must be there.
pub(super) fn objects() -> Vec<(&'static str, Value)> {
    let health = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
    let documents = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"];
    let paths = |urls: &[&str]| json!([{ "verbs": ["get"], "nonResourceURLs": urls }]);
    let all = json!([
        { "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] },
        { "verbs": ["*"], "nonResourceURLs": ["*"] },
    ]);
    let ask = json!([
        { "verbs": ["create"], "apiGroups": ["authorization.k8s.io"],
          "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"] },
        { "verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"] },
    ]);
    let (known, unknown) = ("system:authenticated", "system:unauthenticated");
    let roles: [(&str, Value, &[&str]); 4] = [
        ("cluster-admin", all, &["system:masters"]),
        ("system:basic-user", ask, &[known]),
        ("system:discovery", paths(&[&health[..], &documents[..]].concat()), &[known]),
        ("system:public-info-viewer", paths(&health), &[known, unknown]),
    ];
    let mut objects = Vec::new();
    for (name, rules, groups) in roles {
        let metadata = json!({
            "name": name,
            "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
            "annotations": { "rbac.authorization.kubernetes.io/autoupdate": "true" },
        });
        let group = "rbac.authorization.k8s.io";
        let subjects = groups.iter().map(|name| json!({ "apiGroup": group, "kind": "Group", "name": name }));
        let binding = json!({
            "metadata": metadata,
            "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": name },
            "subjects": subjects.collect::<Vec<_>>(),
        });
        objects.push(("clusterroles.rbac.authorization.k8s.io", json!({ "metadata": metadata, "rules": rules })));
        objects.push(("clusterrolebindings.rbac.authorization.k8s.io", binding));
    }
    objects
}
