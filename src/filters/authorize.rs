//! What clients may do, once they have proved who they are.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Filter, JsonSchema, Kind, Schema, Site, Step,
    conditions::{Asks, Conditions},
    schemars,
};
use crate::{
    exchange::Exchange,
    http::{Refusal, Response, StatusCode},
    settings::{Problem, Problems},
};

const ABOUT: &str = r#"
```toml
[routes]
"/" = "http://127.0.0.1:8000"
[routes."/admin"]
to = "http://127.0.0.1:8000"
authorize = { allow = ["'admin' in claim('roles')", "client_cert.subject ends_with 'O=Ops'"], deny = ["claim('sub') == 'intern' and method != 'GET'"] }
```

`deny` and `allow` are [conditions](../conditions.md), asked behind every filter that proves who a client is: `claim('..')` is what one of them has verified. A
request is refused (403) if one of `deny` holds, or if there is an `allow` and none of it does. Of whom nothing is proved, claims are missing, and
`allow` does not hold; but neither does `deny`: a policy that only denies is for clients that had to prove themselves before. What came twice may be
read either way: it is enough for `deny` if one of them is meant, and not for `allow`.

What asks nothing of the kind is refused earlier, and cheaper, by [`request_rules`](request_rules.md).
"#;

/// Refuses clients what they may not do.
pub struct Authorize {
    conditions: Conditions,
}

/// What is written under `authorize`.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuthorizeSettings {
    /// Conditions of which none may hold.
    pub deny: Vec<String>,
    /// Conditions of which one must hold, if there are any.
    pub allow: Vec<String>,
}

impl Kind for Authorize {
    const NAME: &'static str = "authorize";
    const SUMMARY: &'static str = "refuses clients what they may not do, by what was proved of them";
    const ABOUT: &'static str = ABOUT;
    type Settings = AuthorizeSettings;

    fn schema() -> Option<Schema> {
        Some(schemars::schema_for!(AuthorizeSettings))
    }

    fn build(AuthorizeSettings { deny, allow }: Self::Settings, _: &Site<'_>) -> Result<Step, Problems> {
        let mut problems = Problems::default();
        if deny.is_empty() && allow.is_empty() {
            problems.push(
                Problem::at([] as [&str; 0], "there is no rule")
                    .help("allow = [\"'admin' in claim('roles')\"], or deny"),
            );
        }
        let conditions = Conditions::read(&deny, &allow, Asks::Proofs, &mut problems);
        problems.none_or(Step::Plain(Arc::new(Self { conditions })))
    }
}

impl Filter for Authorize {
    fn on_request(&self, exchange: &mut Exchange) -> Option<Response> {
        let against = self.conditions.check(exchange).err()?;
        Some(Refusal::new(Self::NAME, StatusCode::FORBIDDEN, against).into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        exchange::Identity,
        filters::testing::{built, passed, problems, request},
    };

    #[actix_rt::test]
    async fn only_what_is_proved_counts() {
        let step = [built::<Authorize>(json!({
            "allow": ["'admin' in claim('roles')", "claim('sub') == 'bob'"], "deny": ["claim('sub') == 'mallory'"],
        }))];
        for (sub, roles, fields, expected) in [
            (Some("alice"), json!(["dev", "admin"]), vec![], 200),
            (Some("bob"), json!(null), vec![], 200),
            (Some("alice"), json!(["administrator"]), vec![], 403),
            (Some("alice"), json!("Admin"), vec![], 403),
            (Some("mallory"), json!(["admin"]), vec![], 403),
            (None, json!(null), vec![], 403),
            (None, json!(null), vec![("sub", "bob"), ("x-user", "bob"), ("roles", "admin"), ("claim", "sub=bob")], 403),
        ] {
            let mut exchange = request("GET /?sub=bob&roles=admin", &fields);
            if let Some(sub) = sub {
                let claims = [("roles".to_owned(), roles.clone())].into_iter().collect();
                exchange.identities.push(Identity { scheme: "jwt", subject: Some(sub.into()), claims });
            }

            assert_eq!(passed(&step, &mut exchange).await.status.as_u16(), expected, "{sub:?} {roles}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_at_its_place() {
        let told = problems::<Authorize>(json!({ "allow": ["claim('a') == 1", "clam('a') == 1"] }));

        assert_eq!(told.len(), 1);
        assert_eq!((told[0].key.join("."), told[0].help.as_deref()), ("allow.1".into(), Some("did you mean `claim`?")));
        assert_eq!(problems::<Authorize>(json!({})).len(), 1);
    }
}
