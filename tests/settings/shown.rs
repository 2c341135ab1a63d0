//! What `settings show` prints.

use aqueduct::settings::{Layers, Loaded, Settings, show::show};

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

    insta::assert_snapshot!(show(&settings, Some(&origins)));
}

#[test]
fn no_secret_is_shown() {
    let Loaded { settings, origins } = site();

    assert!(!show(&settings, Some(&origins)).contains("hunter2"));
}

#[test]
fn what_is_shown_can_be_read_again() {
    let Loaded { mut settings, origins } = site();
    settings.routes.shift_remove("/door");
    settings.routes.shift_remove("/next");
    settings.upstreams.shift_remove("web");

    for text in [show(&settings, None), show(&settings, Some(&origins))] {
        let again = Layers::new().text("shown", &text).load().unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        assert_eq!(again.settings, settings);
    }
}

#[test]
fn the_defaults_can_be_read_again() {
    let text = show(&Settings::default(), None);

    assert_eq!(toml::from_str::<Settings>(&text).expect("it is TOML"), Settings::default());
}
