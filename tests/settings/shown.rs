//! What `settings show` prints.

use aqueduct::{
    kinds::Kinds,
    settings::{Layers, Loaded, Settings, show},
};

const SITE: &str = r#"
listen = [{ addr = "0.0.0.0:443", tls = "main" }, "0.0.0.0:80", { addr = "unix:/run/aqueduct.sock" }]

[routes]
"/" = "web"
"/api" = { to = "api", strip = true, timeout.connect = "250ms" }
"=/ping" = { respond = { body = "pong\n" } }
"/old" = { redirect = "/web", status = 308 }
"/door" = { to = "web", guard = { token = "hunter2", realm = "a", levels = [1, 2.5], rules = [{ a = 1 }, { b = true }] } }
"/next" = { to = { web = 9, "http://me:hunter2@10.0.0.3:8000" = 1 } }
"/beta" = { to = { web = 9, api = 1 } }

[upstreams.web]
servers = ["http://me:hunter2@10.0.0.1:8000"]

[upstreams.api]
tls = { ca = "ca.pem", server_name = "api.example" }
servers = [{ url = "http://10.0.0.1:8000", weight = 2 }]

[tls.main]
certificates = [{ cert = "a.pem", key = "a.key" }]

[[tests]]
name = "api"
request = "GET /api/x"
expect = { upstream = "api", path = "/x" }

[[tests]]
request = { url = "/old", headers = { x = "y" }, from = "10.0.0.1" }
expect.status = 308
"#;

fn site() -> Loaded {
    let variables = [("AQUEDUCT__LOG__LEVEL".to_owned(), "warn".to_owned())];
    let layers = Layers::new().text("settings/default.toml", SITE).environment(variables);
    layers.flag(["server", "workers"], 2, "--workers").load().expect("it is good")
}

#[test]
fn every_value_is_shown_with_its_origin() {
    let Loaded { settings, origins } = site();

    insta::assert_snapshot!(show::show(&settings, Some(&origins)));
}

#[test]
fn no_secret_is_shown() {
    let Loaded { settings, origins } = site();

    assert!(!show::show(&settings, Some(&origins)).contains("hunter2"));
}

#[test]
fn what_is_shown_can_be_read_again() {
    let Loaded { mut settings, origins } = site();
    settings.routes.shift_remove("/door");
    settings.routes.shift_remove("/next");
    settings.upstreams.shift_remove("web");

    for text in [show::show(&settings, None), show::show(&settings, Some(&origins))] {
        let again = Layers::new().text("shown", &text).load().unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        assert_eq!(again.settings, settings);
    }
}

#[test]
fn the_defaults_can_be_read_again() {
    let text = show::show(&Settings::default(), None);

    assert_eq!(toml::from_str::<Settings>(&text).expect("it is TOML"), Settings::default());
}

/// Filters whose settings have names as secrets have them.
const WHO_MAY: &str = r#"
[policies.programs]
api_key = { keys = "shop.keys", header = "x-api-key", query = "key", cookie = "key", realm = "shop", pass_on = true, forward = { x-user = "sub" }, require = "claim('sub') == 'a'" }
jwt = { secret = "hunter2", cookie = "session" }
cors = { origins = "https://a.example", credentials = true }

[policies.either]
auth = { any = [{ api_key = { keys = "shop.keys", key = "hunter2" } }, { jwt = { secret = { file = "jwt.secret" } } }] }
"#;

#[test]
fn of_filters_secrets_are_hidden_and_nothing_else() {
    let settings = Layers::new().text("a.toml", WHO_MAY).load().expect("it is good").settings;

    let shown = show::show(&settings, None);

    assert!(!shown.contains("hunter2") && !show::tree(&settings).to_string().contains("hunter2"), "{shown}");
    let mut hidden: Vec<_> = shown.lines().filter(|line| line.contains("***")).collect();
    hidden.sort_unstable();
    let [either, secret] = hidden[..] else { panic!("{shown}") };
    assert_eq!(secret, "secret = \"***\"");
    assert_eq!(
        either,
        "any = [{ api_key = { key = \"***\", keys = \"shop.keys\" } }, { jwt = { secret = { file = \"jwt.secret\" } } }]"
    );
}

#[test]
fn every_setting_of_api_keys_is_shown() {
    let kinds = Kinds::built_in();
    let kind = kinds.filters().iter().find(|kind| kind.name == "api_key").expect("a filter");
    let schema = kind.schema().expect("it has one");
    let keys = schema["properties"].as_object().expect("a table").keys();
    let written: Vec<_> = keys.map(|key| format!("{key} = \"seen\"")).collect();
    let text = format!("[policies.a]\napi_key = {{ {} }}\n", written.join(", "));
    let settings = Layers::new().text("a.toml", &text).load().expect("it is good").settings;

    assert!(!written.is_empty() && !show::show(&settings, None).contains("***"));
}
