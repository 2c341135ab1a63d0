//! Settings that are well formed and still cannot be done. A test's name is its snapshot's.

use aqueduct::{
    Proxy,
    kinds::Kinds,
    plan::Plan,
    settings::{Layers, Place},
};

/// What is told of these settings. `hunter2` is secret in all of them.
pub fn told(text: &str) -> String {
    let reading = Layers::new().text("settings/default.toml", text).read();
    let drawn = reading.draw(|settings| Plan::draw(settings, &Kinds::built_in(), None));
    let told = drawn.map(|_| ()).expect_err("no plan can be drawn").render(false);
    assert!(!told.contains("hunter2"), "{told}");
    told
}

macro_rules! impossible {
    ($($name:ident: $text:expr;)*) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(told($text));
        })*
    };
}

pub(crate) use impossible;

impossible! {
    nowhere_to_listen: "listen = []\n";
    an_address_that_is_none: "listen = [\"127.0.0.1\", \"127.0.0.1:99999\", \"example.com:80\", \"unix:\"]\n";
    a_time_for_handshakes_that_are_none: "listen = [{ addr = \"127.0.0.1:80\", timeouts = { tls_handshake = \"1s\" } }]\n";
    a_listener_for_nobody: "listen = [{ addr = \"127.0.0.1:80\", max_connections = 0 }]\n";
    a_mode_of_no_file: "listen = [{ addr = \"127.0.0.1:80\", mode = \"0660\" }]\n";
    proxy_headers_from_nobody: "listen = [{ addr = \"127.0.0.1:80\", proxy_protocol = { from = [\"unix\"] } }, { addr = \"unix:a.sock\", proxy_protocol = { from = [\"10.0.0.0/8\"] } }, { addr = \"127.0.0.1:81\", proxy_protocol = { from = [] } }]\n";
    an_address_twice: "listen = [\"127.0.0.1:80\", \"127.0.0.1:80\"]\n";
    an_admin_address_for_everybody: "admin.listen = \"0.0.0.0:9901\"\n";
    an_admin_token_that_can_be_guessed: "admin.listen = \"0.0.0.0:9901\"\nadmin.token = \"hunter2\"\n";
    an_admin_address_that_is_none: "admin.listen = \"9901\"\n";
    an_admin_address_where_clients_are: "listen = [\"127.0.0.1:80\"]\nadmin.listen = \"127.0.0.1:80\"\n";
    a_name_that_cannot_stand_in_via: "server_name = \"edge 1\"\n";
    a_limit_that_lets_nothing_through: "[server.http]\nmax_headers = 0\nmax_head = 0\n";
    limits_of_http_2_that_no_client_could_keep:
        "[server.http.h2]\nmax_streams = 0\nmax_resets_per_minute = 0\nmax_control_frames_per_minute = 5\nstream_window = \"1KiB\"\nconnection_window = \"4096MiB\"\n";
    more_streams_than_a_connection_can_look_after: "[server.http.h2]\nmax_streams = 4097\n";
    a_method_that_is_none: "[server.http]\nmethods = [\"GET\", \"PO ST\"]\n";
    a_log_level_that_is_none: "[log]\nlevel = \"wran\"\n";
    an_unknown_field_of_the_access_log: "[log.access]\nformat = \"${client} ${statsu} ${nothing}\"\n";
    a_brace_that_is_never_closed: "[log.access]\nformat = \"${client} ${status\"\n";
    filters_nobody_knows: "[defaults]\nheader_rule = {}\n[policies.staff]\nheaders_rules = {}\n[routes]\n\"/\" = { to = \"http://a\", headerrules = true }\n";
    policies_that_are_not_there: "[defaults]\nuse = \"everyone\"\n[policies.everybody]\n[policies.\"Staff Only\"]\n[routes]\n\"/\" = { to = \"http://a\", use = [\"everybody\", \"staf\"] }\n\"/b\" = { to = \"http://a\", use = [1] }\n";
    policies_that_both_have_it: "[policies.a]\nheader_rules = {}\n[policies.b]\nheader_rules = true\n[routes]\n\"/\" = { to = \"http://a\", use = [\"a\", \"b\"] }\n\"/own\" = { to = \"http://a\", use = [\"a\", \"b\"], header_rules = false }\n";
    a_filter_that_is_wrong_for_all: "[defaults]\nheader_rules = { request = { set = { host = \"a\" } } }\n[policies.x]\nheader_rules = 5\n[routes]\n\"/\" = \"http://a\"\n\"/b\" = { to = \"http://a\", use = \"x\" }\n\"/c\" = { to = \"http://a\", use = \"x\" }\n";
    addresses_that_are_none: "[policies.office]\nip_access = { allow = [\"10.0.0.0/8\", \"10.0.0.0/33\", \"office\", 7], deny_files = [\"no/such/list\"], form = [] }\n[routes]\n\"/a\" = { to = \"http://a\", ip_access = true }\n\"/b\" = { to = \"http://a\", ip_access = { deny_files = [\"no/such/list\"] } }\n";
    limits_that_nobody_could_keep:
        "[policies.api]\nrate_limit = [{ rate = \"100\", key = [\"ip\", \"header:host\"] }, { rate = \"1/s\", burst = 0, key = \"claim:sub\", nmae = \"a\" }]\n[defaults]\nquota = { rate = \"1/s\", key = [], max_keys = 0 }\n[routes]\n\"/\" = \"http://a\"\n\"/a\" = { to = \"http://a\", rate_limit = { rate = \"1/s\", key = \"identity\", ipv6_prefix = 8 } }\n\"/b\" = { to = \"http://a\", rate_limit = [{ rate = \"1/s\", name = \"a\" }, { rate = \"2/s\", name = \"a\" }] }\n";
    security_headers_that_say_nothing: "[defaults]\nsecurity_headers = { hsts = { max_age = \"off\" }, csp = \"a\\nb\", frame = \"none\", coop = 1, remove = [\"a b\"] }\n[policies.x]\nsecurity_headers = \"secure\"\n[policies.y]\nsecurity_headers = { hsts = { maxage = \"1d\", preload = true } }\n";
    origins_that_are_everybody: "[policies.a]\ncors = { origins = \"*\", credentials = true }\n[policies.b]\ncors = true\n[policies.c]\ncors = { origins = [\"https://a.example/\", \"*.example\"], methods = [\"PU T\"], max_age = 5 }\n";
    answers_that_cannot_be_shaped_so: "[policies.a]\ncompress = { algorithms = [\"zip\"], types = \"html\", level = 5 }\n[policies.b]\ncompress = { algorithms = [], types = [] }\n[policies.c]\nerror_pages = { 302 = \"a.html\" }\n[policies.f]\nerror_pages = { 404 = \"/none.html\", 4xx = \"settings/schemas\", 5xx = {}, 503 = { html = \"/none.html\" } }\n[policies.g]\nerror_pages = { intercept = true }\n[policies.d]\nerror_pages = { 404 = { html = \"/none.html\", xml = \"a.xml\" } }\n[policies.e]\nsubstitute = [{ find = \"\", with = \"a\", types = [\"text\"] }]\n";
    requests_that_cannot_be_shaped_so: "[policies.a]\nrewrite = { path = \"new/${rst}?a\" }\n[policies.b]\nrewrite = { path = \"/a\", strip_prefix = \"b\" }\n[policies.c]\nrewrite = { regex = { find = \"(\", with = \"a\" }, query = { set = { a = \"${headr.x}\" } } }\n[policies.d]\nvalidate = true\n[policies.e]\nvalidate = { json_schema = \"settings/default.toml\", max_depth = 0 }\n[routes.\"~^/v(?<major>[0-9]+)\"]\nto = \"http://a\"\nrewrite = { path = \"/${group.maior}\" }\n";
    policies_for_nobody_knows_whom: "[policies.a]\nwhen = \"method = 'POST'\"\n[policies.b]\nwhen = \"path starts_with 'x' and\"\n[policies.c]\nwhen = true\n[policies.d]\nwhen = \"claim('tier') == 'free'\"\nrate_limit = { rate = \"1/s\" }\nquota = { rate = \"1/s\" }\n[policies.e]\nwhen = \"claim('tier') == 'free'\"\nquota = { rate = \"1/s\" }\n[routes]\n\"/\" = { to = \"http://a\", use = [\"a\", \"b\"] }\n";
    limits_of_clients_that_nobody_knows: "[policies.a]\nwhen = \"claim('tier') == 'free'\"\nconcurrency = { requests = 1, key = \"identity\" }\nbandwidth = { pace = \"1MiB/s\", key = \"claim:sub\" }\n[policies.b]\nquota = { rate = \"1/s\", key = \"identity\" }\n[routes]\n\"/a\" = { to = \"http://a\", concurrency = { requests = 1, key = [\"ip\", \"identity\"] } }\n\"/b\" = { to = \"http://a\", use = \"b\" }\n\"/c\" = { to = \"http://a\", use = \"b\", client_cert = true }\n";
    users_that_nobody_can_be: "[routes]\n\"/\" = { to = \"http://a\", basic_auth = { users = \"tests/settings/files/weak.htpasswd\", realm = \"a\\nb\", forward = { host = \"sub\" } } }\n\"/b\" = { to = \"http://a\", basic_auth = { users = \"tests/settings/files/none\" } }\n\"/c\" = { to = \"http://a\", basic_auth = { user = \"x\" } }\n";
    services_that_cannot_be_asked: "[policies.a]\nforward_auth = { url = \"ftp://me:hunter2@auth\", timeout = \"off\", send = [\"x-forwarded-uri\", \"a b\"], copy = [\"host\"] }\n[policies.b]\nforward_auth = { url = \"https://auth/\", ca = \"no/such.pem\", require = \"claim(\" }\n[policies.c]\nforward_auth = { uri = \"http://auth/\" }\n[routes]\n\"/a\" = { to = \"http://a\", auth = { any = [{ forward_auth = { url = \"http://127.0.0.1:9000\" } }, { forward_auth = { url = \"http://127.0.0.1:9000\", timeout = \"0s\" } }] } }\n\"/b\" = { to = \"http://a\", use = \"a\" }\n\"/c\" = { to = \"http://a\", use = \"b\" }\n\"/d\" = { to = \"http://a\", use = \"c\" }\n";
    caches_that_cannot_keep_that:
        "[routes]\n\"/a\" = { to = \"http://a\", cache = { max_object = \"1GiB\", default_ttl = \"off\", stale_if_error = \"off\", status_ttl = { 206 = \"1s\", 404 = \"off\", many = \"1s\" } } }\n\"/b\" = { to = \"http://a\", cache = { key = { query = false, ignore = \"*\", headers = [\"host\", \"a b\"], cookies = \"\" } } }\n\"/c\" = { to = \"http://a\", cache = { max_objects = 1 } }\n\"/d\" = { to = \"http://a\", cache = { purge = [\"10.0.0.0/33\", \"unix\"] } }\n\"/e\" = { to = \"http://a\", cache = { purge = [\"10.0.0.0/8\"] } }\n\"/f\" = { to = \"http://a\", cache = { slice = \"1KiB\", max_query = \"2MiB\" } }\n\"/g\" = { to = \"http://a\", cache = { slice = \"1GiB\" } }\n";
    stores_that_keep_nothing:
        "[stores.a]\n[stores.b]\nmemory = { size = \"1KiB\" }\n[stores.c]\nmemory = { size = \"1GiB\" }\nredis = { url = \"redis://a\" }\n[stores.d]\nmemory = {}\n[stores.limits]\nredis = { url = \"redis://a\" }\n[stores.pages]\nmemory = { size = \"1GiB\" }\n[routes]\n\"/a\" = { to = \"http://a\", cache = { store = \"page\" } }\n\"/b\" = { to = \"http://a\", cache = { store = \"limits\" } }\n\"/c\" = { to = \"http://a\", rate_limit = { rate = \"1/s\", store = \"pages\" } }\n";
    stores_on_disk_that_have_no_place:
        "[stores]\na.disk = { path = \"Cargo.toml\", size = \"1MiB\" }\nb.disk = { path = \"target/x\", size = \"1GiB\" }\nc.disk = { path = \"./target/x/y\", size = \"1GiB\" }\nd.disk = { path = \"a/../b\", size = \"1GiB\" }\ne.disk = { path = \"e\", size = \"1GiB\" }\n[routes]\n\"/\" = { to = \"http://a\", cache = { store = \"e\", max_object = \"129MiB\" } }\n";
    a_disk_that_others_purge: "[stores.pages]\nmemory = { size = \"1GiB\" }\ndisk = { path = \"p\", size = \"1GiB\" }\nredis = { url = \"redis://a\" }\n";
    stores_that_share_nothing:
        "[stores.state]\nredis = { url = \"http://me:hunter2@a\", timeout = \"off\" }\n[routes]\n\"/a\" = { to = \"http://a\", rate_limit = { rate = \"1/s\", store = \"stat\" } }\n\"/b\" = { to = \"http://a\", rate_limit = { rate = \"1/s\", lease = \"5%\" } }\n\"/c\" = { to = \"http://a\", rate_limit = { rate = \"1/s\", key = \"route\", store = \"state\" } }\n\"/d\" = { to = \"http://a\", quota = { rate = \"1000000/s\", burst = 9000000, store = \"state\" } }\n";
    stores_that_prove_nothing: "[stores]\na.redis = { url = \"redis://a\", ca = \"ca.pem\" }\nb.redis = { url = \"rediss://me:hunter2@a/#insecure\" }\nc.redis = { url = \"rediss://a\", ca = \"no/such.pem\" }\n";
    a_length_that_nobody_knows_any_more: "[policies.a.header_rules]\nrequest.set = { x-length = '${content_length}' }\nresponse.set = { x-length = '${content_length}' }\nresponse.add = { x-type = '${content_type}' }\n";
    a_route_to_nowhere: "[routes]\n\"/a\" = { strip = true }\n\"/b\" = {}\n";
    a_route_to_two_places: "[routes]\n\"/a\" = { to = \"http://a\", redirect = \"/b\" }\n";
    a_url_without_a_host: "[routes]\n\"/a\" = \"http://\"\n\"/b\" = \"http://:80\"\n";
    a_url_with_a_bad_port: "[routes]\n\"/a\" = \"http://a:99999\"\n\"/b\" = \"http://a:port\"\n";
    a_url_of_another_scheme: "[routes]\n\"/a\" = \"ftp://a\"\n\"/c\" = \"//a\"\n";
    a_url_with_a_query: "[routes]\n\"/a\" = \"http://a/?x=1\"\n\"/b\" = \"http://a/#x\"\n";
    a_url_with_a_password: "[routes]\n\"/a\" = \"http://me:hunter2@a/\"\n";
    a_socket_without_a_path: "[routes]\n\"/a\" = \"http+unix:\"\n";
    an_unknown_upstream: "[routes]\n\"/api\" = { to = \"apii\", strip = true }\n\n[upstreams.api]\nservers = [\"http://a\"]\n";
    a_split_between_nobody: "[routes]\n\"/a\" = { to = { web = 0, \"http://b\" = 0 } }\n\"/b\" = { to = {} }\n\n[upstreams.web]\nservers = [\"http://a\"]\n";
    a_cohort_of_nobody:
        "[routes]\n\"/a\" = { to = \"http://a\", sticky = { cookie = \"a\" } }\n\"/b\" = { redirect = \"/c\", sticky = { cookie = \"b\" } }\n\"/c\" = { to = { \"http://a\" = 1 }, sticky = { cookie = \"c;\", ttl = \"off\" } }\n";
    a_side_that_is_none:
        "[routes]\n\"/\" = { to = { web = 9, web_nxt = 1, \"ftp://a\" = 1 } }\n\n[upstreams.web]\nservers = [\"http://a\"]\n\n[upstreams.web_next]\nservers = [\"http://b\"]\n";
    a_hedge_that_asks_nobody:
        "[defaults]\nhedge = { budget = \"0%\" }\n[routes]\n\"/\" = { to = \"http://a\", hedge = { at = \"p99\", budget = \"0.01%\" } }\n";
    a_mirror_of_nothing:
        "[routes]\n\"/a\" = { redirect = \"/b\", mirror = \"http://a\" }\n\"/b\" = { to = \"http://b\", mirror = { to = \"http://a\", sample = \"0%\", requests = 0 } }\n";
    a_mirror_that_is_nowhere:
        "[routes]\n\"/a\" = { to = \"web\", mirror = \"web_nxt\" }\n\"/b\" = { to = \"web\", mirror = { to = \"ftp://a\", sample = \"1%\" } }\n\n[upstreams.web]\nservers = [\"http://a\"]\n\n[upstreams.web_next]\nservers = [\"http://b\"]\n";
    an_upstream_without_servers: "[routes]\n\"/\" = \"api\"\n\n[upstreams.api]\nservers = []\n";
    an_upstream_that_no_variable_could_name: "[upstreams.\"My-API\"]\nservers = [\"http://a\"]\n";
    an_affinity_that_keeps_nobody:
        "[upstreams.api]\nservers = [\"http://a\"]\nsticky = { cookie = \"s r v\", secret = \"hunter2\", ttl = \"off\" }\n\n[upstreams.web]\nservers = [\"http://a\"]\nsticky = { cookie = \"\", ttl = \"10ms\" }\n";
    an_endpoint_with_a_path: "[upstreams.api]\nservers = [\"http://a/v1\"]\n";
    an_endpoint_twice: "[upstreams.api]\nservers = [\"http://a\", { url = \"http://a:80\", weight = 2 }]\n";
    a_weight_of_nothing: "[upstreams.api]\nservers = [\"http://a\", { url = \"http://b\", weight = 0 }]\n";
    nothing_to_be_found:
        "[upstreams.a]\nservers = [\"http://a\"]\ndiscover = {}\n[upstreams.b.discover]\ndns = \"http://b:80\"\nrecord = \"SRV\"\nport = 0\nmin_ttl = \"1ms\"\nmax_ttl = \"1s\"\ntimeout = \"off\"\nnameservers = [\"dns.test\"]\n[upstreams.c]\nprotocol = \"h2\"\ndiscover = { dns = \"10.0.0.1\", max_ttl = \"1s\" }\n[upstreams.d]\nprotocol = \"h2c\"\ndiscover = { dns = \"d.test\", scheme = \"https\" }\n";
    a_file_that_is_asked_like_a_name:
        "[upstreams.a.discover]\ndns = \"a.test\"\nfile = \"a.toml\"\n[upstreams.b.discover]\nfile = \"b.toml\"\nrecord = \"A\"\nport = 80\n";
    an_unknown_balancer: "[upstreams.api]\nservers = [\"http://a\"]\nbalance = \"round_robbin\"\n";
    a_balancer_that_is_told_what_it_does_not_know:
        "[upstreams.api]\nservers = [\"http://a\"]\nbalance = { policy = \"consistent_hash\", key = \"header\", bound = 1, kee = 1 }\n";
    a_balancer_that_can_be_told_nothing: "[upstreams.api]\nservers = [\"http://a\"]\nbalance = { policy = \"random\", key = \"path\" }\n";
    a_bound_below_the_mean_and_a_key_that_is_none:
        "[upstreams.api]\nservers = [\"http://a\"]\nbalance = { policy = \"consistent_hash\", key = \"header\", bound = 1.0 }\n";
    nothing_to_try_again_after: "[upstreams.api]\nservers = [\"http://a\"]\nretry.on = [\"conect\", \"200\", \"5xx\", \"503\"]\n";
    nobody_would_be_well:
        "[upstreams.api]\nservers = [\"http://a\"]\noutlier = { latency_factor = 1.0, error_rate = \"0%\", panic = \"half\", consecutive = -1 }\n[upstreams.b]\nservers = [\"http://a\"]\noutlier = { latency_factor = 1.0, error_rate = \"0%\" }\n";
    checks_that_tell_nothing:
        "[upstreams.api]\nservers = [\"http://a\"]\n[upstreams.api.health]\nkind = \"grpc\"\npath = \"healthz\"\nhost = \"\"\nstatus = \"299-200\"\nevery = \"1ms\"\ntimeout = \"off\"\nrise = 0\nfall = 0\n";
    a_breaker_that_never_closes: "[upstreams.a]\nservers = [\"http://a\"]\nbreaker = { error_rate = \"0%\", requests = 0, trials = 0, open = \"off\" }\n";
    limits_that_limit_nothing_or_everything:
        "[upstreams.a]\nservers = [\"http://a\"]\nlimit = { queue = 5, adaptive = true }\n[upstreams.b]\nservers = [\"http://a\"]\nlimit = { requests = 0, per_endpoint = 0, adaptive = true, queue_timeout = \"off\", class_header = \"x class\" }\n";
    no_attempt_at_all: "[upstreams.api]\nservers = [\"http://a\"]\nretry.attempts = 0\n";
    no_connection_at_all: "[upstreams.api]\nservers = [\"http://a\"]\npool.max_total = 0\n";
    slashes_that_no_path_has: "[routes]\n\"/a//b\" = \"http://a\"\n\"GET a.example/c//\" = \"http://a\"\n\"~^/d//\" = \"http://a\"\n\"/e\" = \"http://a\"\n";
    two_patterns_that_tie: "[routes]\n\"~^/a\" = \"http://a\"\n\"/x\" = \"http://x\"\n\"~^/a.*b\" = \"http://b\"\n";
    one_pattern_in_two_spellings: "[routes]\n\"Shop.example/a\" = \"http://a\"\n\"shop.example/a\" = \"http://b\"\n";
    a_pattern_without_a_path: "[routes]\n\"shop.example\" = \"http://a\"\n\"\" = \"http://a\"\n";
    a_pattern_with_a_bad_host: "[routes]\n\"sh_op..example/\" = \"http://a\"\n\"shop.example:80/\" = \"http://a\"\n";
    a_pattern_with_a_bad_method: "[routes]\n\"get /\" = \"http://a\"\n";
    a_pattern_with_a_bad_expression: "[routes]\n\"~^/(a\" = \"http://a\"\n";
    a_redirect_with_a_bad_status: "[routes]\n\"/a\" = { redirect = \"/b\", status = 200 }\n";
    rules_of_requests_that_are_wrong: "[policies.x.request_rules]\nmethods = [\"GET\", \"get\"]\ncontent_types = [\"json\"]\ndeny = [\n  \"path starts_with '/a'\",\n  \"pth == '/a' and not client.ip in cidr('10.0.0.0/8')\",\n]\nallow = ['client.ip starts_with \"10.\"', \"path == '/a%20b'\"]\n[policies.w.request_rules]\nuser_agent = []\n[policies.y]\nrequest_rules = true\n[policies.z.request_rules]\nmethods = [\"get\"]\ndeny = ['''path == '/a' or header.x == \"1\"''', '''host == 'A'''', '''client.ip == '10.0.0.0/8'''']\n[routes]\n\"/\" = \"http://a\"\n";
    rules_of_answers_that_are_wrong: "[policies.x]\nresponse_rules = { content_types = [\"json\"], max_body = \"ten\" }\n[policies.y.response_rules]\ncontent_types = []\ndeny = [\n  { when = \"pth == '/a'\", status = 500 },\n  { when = \"path == '/a'\" },\n  { content_types = \"text\", headers = { \"a b\" = \"*\" } },\n]\n[policies.w.response_rules]\ndeny = [{ status = [\"6xx\", 99] }]\n[policies.v]\nresponse_rules = true\n[policies.u.response_rules]\ndeny = [{ header = { a = \"*\" } }]\n[routes]\n\"/\" = \"http://a\"\n";
    names_of_clients_that_are_none: "[policies.x]\nrequest_rules = { user_agents = { deny_files = [\"/none.txt\"], allow = [\"a\\u0007\"] } }\n[routes]\n\"/\" = \"http://a\"\n";
    variables_that_are_none: "[routes]\n\"/a\" = { redirect = '''/${pth}''' }\n\"/b\" = { redirect = \"\"\"\n/b${headers.x}\"\"\" }\n\"/c\" = { redirect = \"/\\u0063${hots}\" }\n\"/d\" = { to = \"http://a\", header_rules = { request = { set = { x-a = '${clientip}' } } } }\n";
    a_redirect_with_a_group_that_is_not_there:
        "[routes]\n\"~^/v(?<major>[0-9]+)/\" = { redirect = \"/${majr}/${rest}\" }\n\"/b\" = { redirect = \"/${x\" }\n";
    a_redirect_that_breaks_the_line: "[routes]\n\"/a\" = { redirect = \"/b\\r\\nx: y\" }\n";
    a_status_without_a_redirect: "[routes]\n\"/a\" = { to = \"http://a\", status = 308 }\n";
    an_answer_with_a_bad_status: "[routes]\n\"/a\" = { respond = { status = 99 } }\n";
    an_answer_with_a_bad_field: "[routes]\n\"/a\" = { respond = { headers = { \"a b\" = \"c\", d = \"e\\nf\" } } }\n";
    a_host_that_is_none: "[routes]\n\"/a\" = { to = \"http://a\", host = \"a b\" }\n\n[defaults]\nhost = \"\"\n";
    an_unknown_key_of_a_route: "[routes]\n\"/a\" = { to = \"http://a\", stirp = true, header_rule = {} }\n";
    an_unknown_key_of_a_filter: "[routes]\n\"/a\" = { to = \"http://a\", header_rules = { reqest = {}, response = 5 } }\n";
    a_filter_that_may_not_do_that:
        "[routes.\"/a\"]\nto = \"http://a\"\nheader_rules.request.set = { content-length = \"0\" }\n";
    four_filters_that_may_not_do_that: "\
[routes.\"/a\"]
to = \"http://a\"

[routes.\"/a\".header_rules.request]
remove = [\"x-debug\", \"transfer-encoding\"]
set = { host = \"a b\", x-forwarded-for = \"10.0.0.1\", authorization = \"Bearer hunter2\\n\" }
add.x-tier = \"hunter2\\n\"

[routes.\"/a\".header_rules.response.add]
\"a b\" = \"c\"
";
    a_path_of_a_target_that_can_be_read_two_ways: "[routes]\n\"/a\" = \"http://a/%zz/../x\"\n\"/b\" = \"http://a/x/../..\"\n";
    a_password_that_was_not_encoded:
        "[routes]\n\"/a\" = \"http://me:hun@ter2@a/\"\n\"/b\" = \"http://me:hun#ter2@a\"\n\"/c\" = \"http://me:hun/ter2@a\"\n";
    unknown_certificates: "listen = [{ addr = \"127.0.0.1:443\", tls = \"mian\" }]\n\n[tls.main]\ncertificates = []\n";
    certificates_at_a_unix_socket: "listen = [{ addr = \"unix:/run/a.sock\", tls = \"main\" }]\n";
    certificates_that_no_variable_could_name: "[tls.\"My-Site\"]\n";
    an_upstream_with_half_a_certificate: "[upstreams.a]\nservers = [\"https://a\"]\ntls = { cert = \"a.pem\" }\n\n\
        [upstreams.b]\nservers = [\"https://b\"]\ntls.key = \"b.key\"\n";
    an_upstream_that_believes_everybody_and_somebody:
        "[upstreams.a]\nservers = [\"https://a\"]\ntls = { ca = \"ca.pem\", insecure = true }\n";
    an_upstream_with_tls_for_nobody: "[upstreams.a]\nservers = [\"http://a\"]\ntls = { insecure = true }\n";
    a_server_name_that_is_none:
        "[upstreams.a]\nservers = [\"https://a\"]\ntls = { insecure = true, server_name = \"a b\" }\n";
    an_authority_that_is_not_there: "[upstreams.a]\nservers = [\"https://a\"]\ntls = { ca = \"no/such/ca.pem\" }\n";
    protocols_that_do_not_fit: "\
[upstreams.a]
servers = [\"http://a\", \"http+unix:/a\", \"https://a\"]
protocol = \"h2\"

[upstreams.b]
servers = [\"https://b\", \"http://b\"]
protocol = \"h2c\"
tls.insecure = true

[upstreams.c]
servers = [\"https://c\"]
transport = \"awc\"
protocol = \"h2\"
h2 = { max_streams = 0, ping_timeout = \"off\" }

[upstreams.d]
servers = [\"http://d\"]
protocol = \"h2c\"
proxy_protocol = \"v2\"
";
    a_priority_of_what_is_no_expression: "[routes]\n\"/a\" = { to = \"http://a\", priority = 5 }\n";
    more_fields_than_can_be_read: "[server.http]\nmax_headers = 5000\n";
    an_answer_that_frames_itself:
        "[routes]\n\"/a\" = { respond = { headers = { content-length = \"0\", transfer-encoding = \"chunked\" } } }\n";
    what_is_badly_formed_and_what_cannot_be_done: "\
[routes]
\"/a\" = { to = 5 }
\"/b\" = \"apii\"
\"/c\" = \"web\"

[upstreams.api]
servers = [5]

[upstreams.web]
servers = [\"http://a\"]
retry = { attempts = 0 }
transport = \"h3\"
";
}

#[test]
fn files_of_certificates_that_are_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    let issue = || rcgen::generate_simple_self_signed(["shop.example".to_owned()]).expect("a certificate");
    let (one, other) = (issue(), issue());
    write("one.pem", &one.cert.pem());
    write("one.key", &one.signing_key.serialize_pem());
    write("other.key", &other.signing_key.serialize_pem());
    write("torn.pem", one.cert.pem().split("-----END").next().expect("a beginning"));
    write("empty.pem", "");
    let text = "\
[tls.main]
min_version = \"1.2\"
certificates = [
    { cert = \"DIR/one.pem\", key = \"DIR/one.key\" },
    { cert = \"DIR/one.pem\", key = \"DIR/other.key\" },
    { cert = \"DIR/one.pem\", key = \"DIR/one.pem\" },
    { cert = \"DIR/one.key\", key = \"DIR/one.key\" },
    { cert = \"DIR/torn.pem\", key = \"DIR/one.key\" },
    { cert = \"DIR/empty.pem\", key = \"DIR/one.key\" },
    { cert = \"DIR/nothing.pem\", key = \"DIR/one.key\" },
    { cert = \"DIR/one.pem\", key = \"DIR/nothing.key\" },
]
";
    insta::assert_snapshot!(told_of_files(&folder, text));
}

#[test]
fn clients_that_are_asked_for_what_cannot_be_verified() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    let own = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).expect("a certificate");
    write("own.pem", &own.cert.pem());
    write("own.key", &own.signing_key.serialize_pem());
    write("bad.crl", "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n");
    let text = "\
listen = [\"127.0.0.1:80\", { addr = \"127.0.0.1:0\", tls = \"a\" }]
[tls.a]
certificates = [{ cert = \"DIR/own.pem\", key = \"DIR/own.key\" }]
redirect_http = true
[tls.b]
certificates = [{ cert = \"DIR/own.pem\", key = \"DIR/own.key\" }]
client = { ca = \"DIR/none.pem\" }
[tls.c]
certificates = [{ cert = \"DIR/own.pem\", key = \"DIR/own.key\" }]
client = { ca = \"DIR/own.key\" }
[tls.d]
certificates = [{ cert = \"DIR/own.pem\", key = \"DIR/own.key\" }]
client = { ca = \"DIR/own.pem\", crl = \"DIR/own.pem\" }
[tls.e]
certificates = [{ cert = \"DIR/own.pem\", key = \"DIR/own.key\" }]
client = { ca = \"DIR/own.pem\", crl = \"DIR/bad.crl\" }
[tls.off]
certificates = [{ cert = \"DIR/own.pem\", key = \"DIR/own.key\" }]
client = { ca = \"DIR/none.pem\", mode = \"off\" }
";

    insta::assert_snapshot!(told_of_files(&folder, text));
}

#[test]
fn a_directory_that_cannot_be_asked_for_what_is_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).expect("a certificate");
    std::fs::write(folder.path().join("ca.pem"), own.cert.pem()).expect("a file");
    let text = "\
[tls.a]
acme = { domains = [\"shop.example\"], ca = \"DIR/ca.pem\" }
[tls.b]
acme = { agree = true, ca = \"DIR/none.pem\", directory = \"http://ca.example/dir\" }
[tls.c.acme]
agree = true
challenge = \"http-01\"
email = \"ops\"
ca = \"DIR/ca.pem\"
domains = [
    \"shop.example\",
    \"*.shop.example\",
    \"192.0.2.1\",
    \"a b\",
]
";

    insta::assert_snapshot!(told_of_files(&folder, text));
}

#[test]
fn cookies_that_get_in_each_others_way_are_a_warning() {
    let text = "[upstreams.shop]\nservers = [\"http://a\"]\nsticky = { cookie = \"srv\" }\n\
        [upstreams.blog]\nservers = [\"http://b\"]\nsticky = { cookie = \"srv\" }\n\
        [upstreams.api]\nservers = [\"http://c\"]\nsticky = { cookie = \"api\" }\n\
        [routes.\"/a\"]\nto = { api = 1 }\nsticky = { cookie = \"api\" }\n\
        [routes.\"/b\"]\nto = { api = 1 }\nsticky = { cookie = \"b\" }\n\
        [routes.\"/c\"]\nto = { api = 1 }\nsticky = { cookie = \"b\" }\n";
    let settings = Layers::new().text("a.toml", text).load().expect("they are good").settings;
    let plan = Plan::draw(settings, &Kinds::built_in(), None).unwrap_or_else(|problems| panic!("{problems}"));

    let [first, second] = &plan.warnings[..] else { panic!("{:?}", plan.warnings) };
    assert!(first.contains("`api` and `/a`") && first.contains("`api`:"), "{first}");
    assert!(second.contains("`blog` and `shop`") && second.contains("`srv`:"), "{second}");
}

#[test]
fn a_hedge_that_nothing_can_come_of_is_a_warning() {
    let text = "[routes]\n\"/\" = { to = \"web\", hedge = {} }\n\"/a\" = { to = \"api\", hedge = {} }\n\"/b\" = { to = \"blog\", hedge = {} }\n\
        [upstreams.web]\nservers = [\"http://a\"]\nsticky = { cookie = \"srv\" }\n\
        [upstreams.api]\nservers = [\"http://b\"]\nretry.attempts = 1\n\
        [upstreams.blog]\nservers = [\"http://c\"]\n";
    let settings = Layers::new().text("a.toml", text).load().expect("they are good").settings;
    let plan = Plan::draw(settings, &Kinds::built_in(), None).unwrap_or_else(|problems| panic!("{problems}"));

    assert_eq!(
        plan.warnings,
        [
            "`/` is not hedged: `web` keeps clients with their endpoints",
            "`/a` is not hedged: `api` has one attempt for each request",
        ]
    );
}

#[test]
fn what_would_keep_a_directory_from_validating_is_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).expect("a certificate");
    std::fs::write(folder.path().join("ca.pem"), own.cert.pem()).expect("a file");
    let acme = format!("agree = true, domains = [\"shop.example\"], ca = {:?}", folder.path().join("ca.pem"));
    let text = format!(
        "listen = [{{ addr = \"127.0.0.1:443\", tls = \"a\" }}]\n\
         [tls]\na.acme = {{ challenge = \"http-01\", {acme} }}\nb.acme = {{ {acme} }}\n"
    );

    let reading = Layers::new().text("settings/default.toml", &text).read();
    let (plan, _) = reading.draw(|settings| Plan::draw(settings, &Kinds::built_in(), None)).expect("it can be done");

    assert_eq!(
        plan.warnings,
        [
            "tls.a.acme: http-01 is asked at port 80, and no listener speaks plain HTTP",
            "tls.b.acme: no listener shows this certificate, so none is asked for",
        ]
    );
}

#[test]
fn that_anybody_may_say_who_he_is_is_a_warning() {
    let text = "listen = [{ addr = \"0.0.0.0:80\", proxy_protocol = { from = [\"10.0.0.0/8\", \"0.0.0.0/0\"] } }]\n";

    let reading = Layers::new().text("settings/default.toml", text).read();
    let (plan, _) = reading.draw(|settings| Plan::draw(settings, &Kinds::built_in(), None)).expect("it can be done");

    let warning = "listen.0.proxy_protocol.from: whoever can connect to 0.0.0.0:80 can say that he is anybody else";
    assert_eq!(plan.warnings, [warning]);
}

/// What is told of settings that name files in this folder as `DIR`.
fn told_of_files(folder: &tempfile::TempDir, text: &str) -> String {
    let at = folder.path().to_str().expect("text");
    // Columns and marks are as long as the folder's name.
    let told = told(&text.replace("DIR", at)).replace(at, "DIR");
    let lines = told.lines().map(|line| match line.split_once('^') {
        Some((before, rest)) => format!("{} ^ {}", before.trim_end(), rest.trim_start_matches('^').trim_start()),
        None if line.contains("-->") => line.rsplit_once(':').expect("a column").0.to_owned(),
        None => line.to_owned(),
    });

    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_can_be_done_and_should_be_known_is_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut params = rcgen::CertificateParams::new(["shop.example".to_owned()]).expect("names");
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("a.pem"), params.self_signed(&key).expect("a certificate").pem()).expect("a file");
    std::fs::write(path("a.key"), key.serialize_pem()).expect("a file");
    let text = format!(
        "[tls.main]\ncertificates = [{{ cert = {:?}, key = {:?} }}]\n\
         [upstreams.a]\nservers = [\"https://a\"]\ntls.insecure = true\n",
        path("a.pem"),
        path("a.key")
    );

    let reading = Layers::new().text("settings/default.toml", &text).read();
    let (plan, _) = reading.draw(|settings| Plan::draw(settings, &Kinds::built_in(), None)).expect("it can be done");

    let at = folder.path().to_str().expect("text");
    let warnings = plan.expiring(std::time::SystemTime::now()).into_iter().chain(plan.warnings.clone());
    assert_eq!(
        warnings.map(|warning| warning.replace(at, "DIR")).collect::<Vec<_>>(),
        [
            "tls.main: the certificate in `DIR/a.pem` expired on Wed, 01 Jan 2020 00:00:00 GMT",
            "upstreams.a.tls.insecure: its endpoints need not prove who they are: whoever is on the way can read along",
        ]
    );
}

#[test]
fn no_part_of_a_password_is_told() {
    for url in ["http://me:hun@ter2@a/", "http://me:hun#ter2@a", "http://me:hun/ter2@a", "http://me:hun?ter2@a"] {
        let told = told(&format!("[routes]\n\"/a\" = \"{url}\"\n"));

        assert!(!told.contains("hun") && !told.contains("ter2"), "{url}: {told}");
    }
}

#[test]
fn a_problem_of_a_proxy_in_code_is_placed_there_and_named_by_its_key() {
    let problems = Proxy::builder().route("/a", "nobody").build().expect_err("there is no such upstream");

    assert_eq!(problems.0[0].place, Some(Place::Code));
    insta::assert_snapshot!(problems.render(false));
}

#[test]
fn what_is_made_of_one_client_behind_the_cache_is_warned_of() {
    let text = r#"
        [routes]
        "/a" = { to = "http://a", use = "told", cache = true }
        "/b" = { to = "http://a", use = "told" }
        "/c" = { to = "http://a", cache = true, header_rules = { response = { set = { x-host = "${host}" } }, request = { set = { x-ip = "${client.ip}" } } } }
        "/d" = { to = "http://a", cache = { key = { headers = ["x-shop"] } }, rewrite = { path = "/${header.x-shop}/${cookie.lang}" } }
        "/e" = { to = "http://a", cache = true, use = "some" }
        [policies.told]
        header_rules = { response = { add = { x-you = "${client.ip}" } } }
        [policies.some]
        when = "client.ip in cidr('10.0.0.0/8')"
        substitute = [{ find = "a", with = "b" }]
    "#;
    let loaded = Layers::new().text("test.toml", text).load();
    let settings = loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false))).settings;

    let plan = Plan::draw(settings, &Kinds::built_in(), None).unwrap_or_else(|problems| panic!("{problems}"));

    insta::assert_snapshot!(plan.warnings.join("\n"));
}
