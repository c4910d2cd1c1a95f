//! The text format in which Prometheus scrapes: [`Exposition`].

use std::fmt::Write as _;

/// A page of metrics, family by family. Samples of a family stand together below its name, help and type.
#[derive(Debug, Clone, Default)]
pub struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    /// Begins a family: its name, its type (`counter` or `gauge`) and what it tells.
    pub fn family(&mut self, name: &'static str, kind: &'static str, help: &'static str) {
        // Writing into a string cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self.family = name;
    }

    /// A sample of the family begun last, with labels in the order of their names.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(self.family);
        for (index, (name, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// The page.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        let mut page = Exposition::default();
        page.family("up", "gauge", "Whether it is.");
        page.sample(&[], 1.0);
        page.sample(&[("a", "x\"\\\n"), ("b", "")], 0.25);
        let expected = "# HELP up Whether it is.\n# TYPE up gauge\nup 1\nup{a=\"x\\\"\\\\\\n\",b=\"\"} 0.25\n";
        assert_eq!(page.into_text(), expected);
    }
}
