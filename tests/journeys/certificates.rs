//! Files of certificates change while the server runs, and certificates end.

use std::{fs, os::unix::fs::symlink, time::Duration};

use tempfile::TempDir;

use super::support::{
    binary::{Binary, write},
    origin::Origin,
    tls::{Authority, over, shake_hands, shown},
};

const HOUR: Duration = Duration::from_secs(3600);

/// A listener that shows this, and a route that answers for itself.
fn answering(listener: &str) -> String {
    format!(
        "{listener}[routes]\n\"/\" = {{ respond = {{ body = \"here\" }} }}\n[log]\nlevel = \"info,aqueduct=debug\"\n"
    )
}

async fn shop(authority: &Authority, folder: &TempDir) -> Binary {
    authority.issue("shop", &["shop.example"]);
    write(folder.path(), "a.toml", answering(&authority.listener(&["shop"])));
    Binary::run(folder.path(), &["--settings", "a.toml"]).await
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

// -- files --------------------------------------------------------------------------------------------------------

#[actix_rt::test]
async fn a_new_pair_is_shown_without_a_signal_and_open_connections_go_on() {
    let (folder, authority) = (folder(), Authority::new());
    let mut server = shop(&authority, &folder).await;
    let stream = shake_hands(server.address, "shop.example", authority.client()).await.expect("they agree");
    let (before, mut old) = (shown(&stream), over(stream));

    authority.issue("shop", &["shop.example"]);
    let said = server.says("was read again").await;

    let new = shake_hands(server.address, "shop.example", authority.client()).await.expect("they agree");
    assert!(said.contains(&authority.path("shop.pem")) && said.contains("generation 2 is in force"), "{said}");
    assert_eq!(shown(&new), authority.certificate("shop"));
    assert_ne!(shown(&new), before);
    old.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    assert_eq!(old.read_response().await.text(), "here");
}

/// What a mounted Secret looks like.
#[actix_rt::test]
async fn a_link_that_is_swapped_as_kubernetes_does_is_followed_to_a_new_pair() {
    let (folder, authority) = (folder(), Authority::new());
    let mounted = folder.path().join("certificates");
    fs::create_dir(&mounted).expect("a folder");
    let publish = |version: &str| {
        authority.issue("shop", &["shop.example"]);
        fs::create_dir(mounted.join(version)).expect("a folder");
        for file in ["shop.pem", "shop.key"] {
            fs::copy(authority.path(file), mounted.join(version).join(file)).expect("a file");
        }
        symlink(version, mounted.join("..data_tmp")).expect("a link");
        fs::rename(mounted.join("..data_tmp"), mounted.join("..data")).expect("it can be moved");
    };
    publish("..1");
    for file in ["shop.pem", "shop.key"] {
        symlink(format!("..data/{file}"), mounted.join(file)).expect("a link");
    }
    let listener = authority.listener(&["shop"]).replace(&authority.path(""), "certificates/");
    write(folder.path(), "a.toml", answering(&listener));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;

    for (version, before) in [("..2", "..1"), ("..3", "..2")] {
        publish(version);
        fs::remove_dir_all(mounted.join(before)).expect("it is there");
        server.says("was read again").await;

        let new = shake_hands(server.address, "shop.example", authority.client()).await.expect("they agree");
        assert_eq!(shown(&new), authority.certificate("shop"), "{version}");
    }
}

#[actix_rt::test]
async fn a_pair_that_is_half_written_is_waited_for() {
    let (folder, authority) = (folder(), Authority::new());
    let mut server = shop(&authority, &folder).await;
    authority.issue("next", &["shop.example"]);
    let move_in = |file: &str, to: &str| fs::copy(authority.path(file), authority.path(to)).expect("a file");

    move_in("next.pem", "shop.pem");
    server.says("may be half written").await;
    move_in("next.key", "shop.key");
    let said = server.says_one_of(&["was read again", "cannot be used"]).await;

    let new = shake_hands(server.address, "shop.example", authority.client()).await.expect("they agree");
    assert!(said.contains("was read again"), "{said}");
    assert_eq!(shown(&new), authority.certificate("next"));
}

#[actix_rt::test]
async fn a_pair_that_does_not_fit_is_told_by_file_and_line_and_the_old_one_stays() {
    let (folder, authority) = (folder(), Authority::new());
    let mut server = shop(&authority, &folder).await;
    let before = authority.certificate("shop");
    authority.issue("other", &["other.example"]);

    fs::copy(authority.path("other.key"), authority.path("shop.key")).expect("a file");
    server.says("what files hold cannot be used, that of generation 1 stays in force").await;
    server.says(&authority.path("shop.key")).await;
    server.says("a.toml:2:").await;

    let old = shake_hands(server.address, "shop.example", authority.client()).await.expect("they agree");
    assert_eq!(shown(&old), before);
}

#[actix_rt::test]
async fn settings_that_are_wrong_keep_nobody_from_new_certificates() {
    let (folder, authority) = (folder(), Authority::new());
    let mut server = shop(&authority, &folder).await;
    write(folder.path(), "a.toml", "[routes]\n\"/\" = \"nobody\"\n");
    server.says("the settings are wrong").await;

    authority.issue("shop", &["shop.example"]);
    server.says("was read again").await;

    let new = shake_hands(server.address, "shop.example", authority.client()).await.expect("they agree");
    assert_eq!(shown(&new), authority.certificate("shop"));
}

#[actix_rt::test]
async fn settings_that_name_a_pair_which_comes_later_are_in_force_when_it_does() {
    let (folder, authority) = (folder(), Authority::new());
    let mut server = shop(&authority, &folder).await;
    authority.issue("late", &["shop.example"]);
    let key = fs::read(authority.path("late.key")).expect("a key");
    fs::remove_file(authority.path("late.key")).expect("it is there");

    write(folder.path(), "a.toml", answering(&authority.listener(&["late"])));
    server.says("the settings are wrong").await;
    fs::write(authority.path("late.key"), key).expect("a file");
    server.says("generation 2 is in force").await;

    let new = shake_hands(server.address, "shop.example", authority.client()).await.expect("they agree");
    assert_eq!(shown(&new), authority.certificate("late"));
}

#[actix_rt::test]
async fn another_authority_for_an_upstream_is_believed_without_a_signal() {
    let (folder, authority, stranger) = (folder(), Authority::new(), Authority::new());
    authority.issue("origin", &["127.0.0.1"]);
    let origin = Origin::answering("hello").start_tls(authority.origin("origin")).await;
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\n[routes]\n\"/\" = \"a\"\n[upstreams.a]\nservers = [{:?}]\ntls.ca = {:?}\n",
        origin.url(),
        stranger.path("ca.pem")
    );
    write(folder.path(), "a.toml", text);
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;
    assert_eq!(server.get("/").await.status, 502);

    fs::copy(authority.path("ca.pem"), stranger.path("ca.pem")).expect("a file");
    server.says("was read again").await;

    assert_eq!(server.get("/").await.text(), "hello");
}

// -- their end ----------------------------------------------------------------------------------------------------

#[actix_rt::test]
async fn a_certificate_that_ends_is_told_of_ahead_of_time_and_then_each_step_once() {
    let (folder, authority) = (folder(), Authority::new());
    // Of ten seconds the last third is told of, and it begins within a second or two.
    authority.issue_for("shop", &["shop.example"], Duration::from_secs(5), Duration::from_secs(5));
    authority.issue_for("other", &["other.example"], 24 * HOUR, 30 * HOUR);
    write(folder.path(), "a.toml", answering(&authority.listener(&["shop", "other"])));
    let mut server = Binary::run(folder.path(), &["--settings", "a.toml"]).await;

    let soon = server.says_one_of(&["expires on", "expired on"]).await;
    let over = server.says_one_of(&["expires on", "expired on"]).await;
    // A reload has nothing to add.
    server.signal(libc::SIGHUP);
    let quiet = server.says_one_of(&["expires on", "expired on", "is in force"]).await;

    let what = format!("tls.main: the certificate in `{}`", authority.path("shop.pem"));
    assert!(soon.contains(&format!("{what} expires on")), "{soon}");
    assert!(over.contains(&format!("{what} expired on")), "{over}");
    assert!(quiet.contains("is in force"), "{quiet}");
}

#[actix_rt::test]
async fn what_is_shown_can_be_asked_for() {
    let authority = Authority::new();
    authority.issue_for("shop", &["shop.example", "*.shop.example", "127.0.0.1"], HOUR, HOUR);
    let text = answering(&authority.listener(&["shop"]));
    let proxy = super::support::proxy::TestProxy::with(&text).start().await;

    let status = proxy.certificates.as_ref().expect("it speaks TLS").status();

    assert_eq!(status.len(), 1);
    assert_eq!((status[0].tls.as_str(), status[0].names.join(" ").as_str()), ("main", "shop.example *.shop.example"));
    assert_eq!(status[0].source.to_str(), Some(authority.path("shop.pem").as_str()));
    let left = status[0].not_after.duration_since(std::time::SystemTime::now()).expect("it is in the future");
    assert!(left <= HOUR && left > HOUR - Duration::from_secs(60), "{left:?}");
}
