//! A path that was settled is safe, and settling it again changes nothing.

use aqueduct::http::path::{EmptySegments, Policy, normalize};

pub fn check(data: &[u8]) {
    let Some((choice, path)) = data.split_first() else { return };
    let Ok(path) = std::str::from_utf8(path) else { return };
    let policy = Policy {
        resolve_dots: choice & 1 == 0,
        keep_encoded_slash: choice & 2 == 0,
        empty_segments: [EmptySegments::Keep, EmptySegments::Merge, EmptySegments::Reject]
            [usize::from(choice >> 2) % 3],
    };
    let Ok(settled) = normalize(path, &policy) else { return };
    assert!(settled.starts_with('/'), "{settled}");
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte);
    assert!(settled.bytes().all(allowed), "{settled}");
    let lower = settled.to_ascii_lowercase();
    for segment in lower.split('/') {
        let decoded = segment.replace("%2e", ".");
        assert!(decoded != "." && decoded != "..", "{settled}");
    }
    assert!(policy.keep_encoded_slash || !(lower.contains("%2f") || lower.contains("%5c")), "{settled}");
    assert_eq!(normalize(&settled, &policy).as_deref(), Ok(&*settled));
}
