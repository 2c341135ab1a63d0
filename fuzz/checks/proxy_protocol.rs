//! A PROXY header is told apart from what comes behind it wherever it is cut, and what it says can be written again.

use aqueduct::http::proxy_protocol::{self, LONGEST, Version};

pub fn check(data: &[u8]) {
    let whole = proxy_protocol::read(data);
    let Ok(Some(header)) = whole else {
        assert!(whole.is_err() || data.len() < LONGEST, "nobody waits for more than the longest header");
        return;
    };
    assert!(header.length <= data.len() && header.length <= LONGEST);
    assert!(proxy_protocol::seems_begun(data));
    for cut in 0..header.length {
        assert_eq!(proxy_protocol::read(&data[..cut]), Ok(None), "cut at {cut}");
    }
    assert_eq!(proxy_protocol::read(&data[..header.length]), Ok(Some(header)), "what comes behind it changes nothing");
    for version in [Version::V1, Version::V2] {
        let mut written = Vec::new();
        proxy_protocol::write(version, header.ends.as_ref(), &mut written);
        let again = proxy_protocol::read(&written).expect("a header").expect("a whole one");
        assert_eq!((again.ends, again.length), (header.ends, written.len()));
    }
}
