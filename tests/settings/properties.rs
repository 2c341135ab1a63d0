//! What holds of any settings at all.

use std::{net::IpAddr, path::PathBuf};

use aqueduct::settings::{
    BalanceSettings, BreakerSettings, CohortSettings, Destination, DiscoverSettings, FileMode, HealthSettings,
    HedgeRule, HedgeSettings, Layers, LimitSettings, Listener, MirrorSettings, Names, OutlierSettings, RetrySettings,
    RouteDefaults, RouteSettings, Settings, Size, Source, StickySettings, Time, UpstreamSettings,
    discover::Record,
    layers::BUILT_IN,
    limit::Class,
    listener::{ListenerTimeouts, ProxyProtocolSettings},
    route::{ForwardedFields, RespondSettings, TimeoutSettings},
    server::Workers,
    show::show,
    test::{TestExpectation, TestRequest, TestSettings},
    tls::{AcmeSettings, CertificateFiles, ClientMode, ClientSettings, TlsSettings, TlsVersion},
    upstream::{EndpointHttp2, EndpointTls, PoolSettings, Protocol, ProxyHeader, ServerUrl, TransportKind},
};
use indexmap::IndexMap;
use proptest::{collection::vec, option, prelude::*, sample::Index};
use serde_json::json;

/// Any text, and what the built-in settings become when pieces of them are cut out, moved and broken.
fn file() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        ".{0,20}",
        "[\\[\\]{}\"'=.,#\n a-z0-9-]{0,40}",
        "(routes|upstreams|tests|server|listen|defaults)(\\.[a-z\"/]{1,9}){0,3} = [\\[{\"0-9a-z}\\]]{1,9}\n",
        any::<(Index, Index)>().prop_map(|(from, to)| {
            let lines: Vec<&str> = BUILT_IN.lines().collect();
            let (from, to) = (from.index(lines.len()), to.index(lines.len()));
            lines[from.min(to)..from.max(to)]
                .iter()
                .map(|line| format!("{}\n", line.trim_start_matches("# ")))
                .collect()
        }),
    ];
    vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn route() -> impl Strategy<Value = RouteSettings> {
    let time = prop_oneof![Just(Time::OFF), (1u64..100_000).prop_map(Time::millis)];
    let timeout = (option::of(time.clone()), option::of(time)).prop_map(|(connect, total)| TimeoutSettings {
        connect,
        total,
        ..TimeoutSettings::default()
    });
    let overrides =
        (option::of(timeout), option::of(Just(ForwardedFields::X)), option::of(".{0,9}"), option::of(0u64..9))
            .prop_map(|(timeout, forwarded, host, size)| RouteDefaults {
                timeout,
                forwarded,
                host,
                class: size.map(|_| Class::Sheddable),
                hedge: size.map(|size| if size > 4 { HedgeRule::Off } else { HedgeRule::On(HedgeSettings::default()) }),
                max_body: size.map(Size::kib),
                policies: size.map(|size| Names(vec!["a".into(); size as usize % 3])),
                filters: IndexMap::new(),
            });
    let respond = (0u16..999, ".{0,9}", vec((".{0,4}", ".{0,9}"), 0..3)).prop_map(|(status, body, headers)| {
        RespondSettings { status, body, headers: headers.into_iter().collect(), ..RespondSettings::default() }
    });
    let to = prop_oneof![
        "[^@]{0,9}".prop_map(Destination::from),
        vec(("[^@]{1,9}", any::<u32>()), 1..4).prop_map(|sides| Destination::Split(sides.into_iter().collect())),
    ];
    let own = (option::of(to), any::<bool>(), option::of("[^@]{0,9}"), option::of(any::<u16>()), -9i64..9);
    (own, option::of(respond), overrides, any::<bool>()).prop_map(
        |((to, strip, redirect, status, priority), respond, overrides, filter)| RouteSettings {
            sticky: strip.then(|| Box::new(CohortSettings::new("cohort"))),
            mirror: filter.then(|| Box::new(MirrorSettings { requests: 7, ..MirrorSettings::to("next") })),
            to,
            strip,
            redirect,
            status,
            respond: respond.map(Box::new),
            priority,
            overrides: overrides.into(),
            filters: filter.then(|| ("guard".into(), json!({ "a": [1, 2.5, { "b c": "d\n" }] }))).into_iter().collect(),
        },
    )
}

fn listener() -> impl Strategy<Value = Listener> {
    let sender = prop_oneof![Just(Source::Unix), any::<IpAddr>().prop_map(|address| Source::Network(address.into()))];
    let proxy_protocol = (vec(sender, 0..3), 1u64..99)
        .prop_map(|(from, timeout)| ProxyProtocolSettings { from, timeout: Time::secs(timeout) });
    let mode = option::of((0u32..=0o777).prop_map(FileMode));
    let timeouts = option::of(1u64..99).prop_map(|keep_alive| ListenerTimeouts {
        keep_alive: keep_alive.map(Time::secs),
        ..ListenerTimeouts::default()
    });
    let own = (option::of(1usize..9), option::of(timeouts), mode, option::of(proxy_protocol));
    (".{0,9}", option::of(".{0,9}"), any::<bool>(), own).prop_map(
        |(addr, tls, h2, (max_connections, timeouts, mode, proxy_protocol))| Listener {
            addr,
            tls,
            h2,
            max_connections,
            timeouts,
            mode,
            proxy_protocol,
        },
    )
}

fn upstream() -> impl Strategy<Value = UpstreamSettings> {
    let balance = (".{0,9}", any::<bool>()).prop_map(|(policy, told)| {
        let balance = BalanceSettings::new(policy);
        if told { balance.with("bound", 1.5).with("a b", "c") } else { balance }
    });
    let server = ("[^@]{0,9}", 0u32..3, any::<bool>());
    let server = server.prop_map(|(url, weight, backup)| ServerUrl { url, weight, backup });
    let tls = (option::of(".{0,9}"), option::of(".{0,9}"), any::<bool>());
    let tls = tls.prop_map(|(ca, server_name, insecure)| EndpointTls {
        ca: ca.map(PathBuf::from),
        server_name,
        insecure,
        ..EndpointTls::default()
    });
    (vec(server, 0..3), balance, 0u32..4, tls).prop_map(|(servers, balance, attempts, tls)| UpstreamSettings {
        breaker: (attempts > 1).then(|| BreakerSettings { trials: attempts, ..BreakerSettings::default() }),
        limit: (attempts > 1).then(|| LimitSettings {
            requests: Some(attempts),
            class_header: Some("x-class".into()),
            ..LimitSettings::default()
        }),
        sticky: (attempts > 2).then(|| StickySettings::new("srv")),
        discover: (attempts > 1).then(|| DiscoverSettings {
            dns: Some("a.b".into()),
            record: Some(Record::Srv),
            max_ttl: Some(Time::secs(7)),
            nameservers: vec!["::1".into()],
            ..DiscoverSettings::default()
        }),
        servers,
        balance,
        transport: TransportKind::Awc,
        protocol: Protocol::H1,
        proxy_protocol: ProxyHeader::V2,
        h2: EndpointHttp2 { max_streams: 7, ..EndpointHttp2::default() },
        pool: PoolSettings { max_idle: 3, ..PoolSettings::default() },
        retry: RetrySettings { attempts, ..RetrySettings::default() },
        outlier: OutlierSettings { latency_factor: Some(2.5), ..OutlierSettings::default() },
        slow_start: Time::secs(7),
        health: Some(HealthSettings { service: "a.B".into(), port: Some(9), ..HealthSettings::default() }),
        tls,
    })
}

fn test() -> impl Strategy<Value = TestSettings> {
    let lines = |(name, lines): (String, Vec<String>)| -> Vec<(String, String)> {
        lines.into_iter().map(|line| (name.clone(), line)).collect()
    };
    // The lines of one name stay in their order.
    let headers = (".{0,4}", vec(".{0,9}", 0..3)).prop_map(lines);
    (option::of(".{0,9}"), "[^@]{0,6}", "[^@]{0,9}", headers, option::of(any::<u16>())).prop_map(
        |(name, method, url, headers, status)| TestSettings {
            name,
            request: TestRequest { method, url, headers, from: None },
            expect: TestExpectation { status, ..TestExpectation::default() },
        },
    )
}

fn certificates(files: Vec<(String, String)>) -> TlsSettings {
    let files = files.into_iter().map(|(cert, key)| CertificateFiles { cert: cert.into(), key: key.into() });
    let client = ClientSettings { ca: "ca.pem".into(), mode: ClientMode::Optional, crl: None };
    TlsSettings {
        certificates: files.collect(),
        min_version: TlsVersion::Tls13,
        acme: Some(AcmeSettings::default()),
        client: Some(client),
        redirect_http: true,
    }
}

prop_compose! {
    fn settings()(
        listen in vec(listener(), 0..3),
        tls in vec((".{0,9}", vec((".{0,9}", ".{0,9}"), 0..3)), 0..3),
        name in ".{0,9}",
        workers in prop_oneof![Just(Workers::Auto), (1usize..99).prop_map(Workers::Exactly)],
        routes in vec(("[^@]{0,9}", route()), 0..4),
        upstreams in vec((".{0,6}", upstream()), 0..3),
        tests in vec(test(), 0..3),
    ) -> Settings {
        let mut settings = Settings {
            listen,
            tls: tls.into_iter().map(|(name, files)| (name, certificates(files))).collect(),
            server_name: name,
            routes: routes.into_iter().collect(),
            upstreams: upstreams.into_iter().collect(),
            tests,
            ..Settings::default()
        };
        settings.server.workers = workers;
        settings
    }
}

proptest! {
    #[test]
    fn any_file_is_read_or_refused_with_places(text in file()) {
        let reading = Layers::new().text("a", &text).read();

        for problem in &reading.problems.0 {
            prop_assert!(problem.place.is_some() && !problem.what.is_empty());
        }
        let _ = (reading.problems.render(true), show(&reading.settings, Some(&reading.origins)));
    }

    #[test]
    fn any_variable_is_read_or_refused_with_its_name(name in "AQUEDUCT__[A-Z_]{0,20}", value in ".{0,40}") {
        let reading = Layers::new().environment([(name.clone(), value)]).read();

        for problem in reading.problems.0 {
            prop_assert_eq!(problem.place.map(|place| place.to_string()), Some(format!("environment variable {name}")));
        }
    }

    #[test]
    fn any_settings_are_read_as_they_were_shown(settings in settings()) {
        let text = show(&settings, None);

        let again = Layers::new().text("shown", &text).load();

        let mut expected = settings;
        expected.routes.sort_keys();
        expected.upstreams.sort_keys();
        let mut found = again.unwrap_or_else(|problems| panic!("{problems}\n{text}")).settings;
        found.routes.sort_keys();
        found.upstreams.sort_keys();
        prop_assert_eq!(found, expected, "{}", text);
    }
}
