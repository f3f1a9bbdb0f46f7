//! A call with what has to be said of it, in one expression.

use serde_json::Value;

/// A malformed variant: another target or another body, with its code and field.
pub(crate) struct Bad {
    pub(crate) target: String,
    pub(crate) body: Option<Value>,
    pub(crate) code: &'static str,
    pub(crate) field: Option<&'static str>,
}

/// A call of the API.
pub(crate) struct Case {
    pub(crate) method: &'static str,
    pub(crate) template: &'static str,
    pub(crate) target: String,
    pub(crate) body: Option<Value>,
    /// Header fields beside those of every request.
    pub(crate) fields: Vec<(String, String)>,
    /// Who may.
    pub(crate) by: &'static str,
    /// Who may not although they have a part in the same scope, and the code.
    pub(crate) refused: Option<(&'static str, &'static str)>,
    pub(crate) bad: Vec<Bad>,
}

impl Case {
    pub(super) fn new(
        method: &'static str,
        template: &'static str,
        target: impl Into<String>,
        by: &'static str,
    ) -> Self {
        Self {
            method,
            template,
            target: target.into(),
            body: None,
            fields: Vec::new(),
            by,
            refused: None,
            bad: Vec::new(),
        }
    }

    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(super) fn shows(mut self, token: &str) -> Self {
        let field = ("authorization".to_owned(), format!("Bearer {token}"));
        self.fields.push(field);
        self
    }

    pub(super) fn refuses(mut self, who: &'static str, code: &'static str) -> Self {
        self.refused = Some((who, code));
        self
    }

    pub(super) fn bad_body(
        mut self,
        body: Value,
        code: &'static str,
        field: Option<&'static str>,
    ) -> Self {
        let target = self.target.clone();
        self.bad.push(Bad {
            target,
            body: Some(body),
            code,
            field,
        });
        self
    }

    /// The target with `from` replaced by `to`.
    pub(super) fn bad_target(mut self, from: &str, to: &str, field: &'static str) -> Self {
        let target = self.target.replacen(from, to, 1);
        assert_ne!(target, self.target, "{from}");
        self.bad.push(Bad {
            target,
            body: self.body.clone(),
            code: "malformed",
            field: Some(field),
        });
        self
    }

    pub(crate) fn namespaced(&self) -> bool {
        self.target.starts_with("/v1/namespaces/shop") || self.target.contains("namespace=shop")
    }

    pub(crate) fn what(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}
