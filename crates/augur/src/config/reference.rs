//! The reference page of all settings, made from the code: [`reference`].

use super::sections::Config;

const HEAD: &str = "# Configuration

This page is made from the code: `augur config --reference > docs/configuration.md`.

`augur scheduler --config FILE` and `augur up --config FILE` read one file, of either kind. A document with `kind` or `apiVersion`
is a `KubeSchedulerConfiguration`; any other is `augur.yaml`. Flags win over the file. `augur config --config FILE` checks a
file and prints all settings that result from it; `augur scheduler --config FILE --print-config` does so with the flags.
Unknown and repeated keys are errors that name them.

";

const KUBE: &str = "
## KubeSchedulerConfiguration

`kubescheduler.config.k8s.io/v1`, read as kube-scheduler 1.36 reads it: strict decoding, its defaults, its merging of plugin
sets, its checks and messages. What Augur does not do is an error that names it; what has no effect on a pod is told once in the
log. Augur is one more plugin, the last of the default set: its weight is that of scoring over live signals, its arguments are
the keys of `augur.yaml`, and a profile that disables it at `score` decides exactly as kube-scheduler does. Profiles may differ
in the `scheduler` part of these arguments; everything else is one for the process.

```yaml
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: default-scheduler
- schedulerName: packing
  plugins:
    score:
      disabled: [{name: ImageLocality}]
      enabled: [{name: NodeResourcesFit, weight: 5}]
  pluginConfig:
  - name: NodeResourcesFit
    args: {scoringStrategy: {type: MostAllocated}}
  - name: Augur
    args: {scheduler: {scoring: {taint_weight: 0}}}
```

`--scheduler-name a,b` serves these names instead: each with the profile of its name, or with the first one.

";

/// The page, in Markdown.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("## augur.yaml\n\n| key | default | |\n|---|---|---|\n");
    for key in Config::keys() {
        let default = match &key.default {
            serde_json::Value::Null => String::new(),
            serde_json::Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        page.push_str(&format!("| `{}` | {default} | {} |\n", key.path, key.meaning));
    }
    page.push_str(KUBE);
    page.push_str(&augur_config::reference());
    page
}
