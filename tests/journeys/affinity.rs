//! Clients that stay with their endpoint.

use super::support::{origin::Origin, proxy::TestProxy};

#[actix_rt::test]
async fn requests_that_have_a_field_in_common_go_to_one_endpoint_and_others_elsewhere() {
    let origins = [Origin::echo().start().await, Origin::echo().start().await];
    let text = format!(
        "routes.\"/\" = \"shop\"\n[upstreams.shop]\nservers = [{:?}, {:?}]\n\
         balance = {{ policy = \"consistent_hash\", key = \"header:x-tenant\" }}\n",
        origins[0].url(),
        origins[1].url()
    );
    let proxy = TestProxy::with(&text).start().await;

    for tenant in 0..40 {
        let before = origins.each_ref().map(Origin::requests_seen);
        for _ in 0..3 {
            let ask = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Tenant: {tenant}\r\nConnection: close\r\n\r\n");
            assert_eq!(proxy.send(ask).await.status, 200);
        }
        let after = origins.each_ref().map(Origin::requests_seen);
        assert!(before[0] == after[0] || before[1] == after[1], "tenant {tenant} went to both");
    }

    assert!(origins.iter().all(|origin| origin.requests_seen() > 0), "all tenants went to one");
}
