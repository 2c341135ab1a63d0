//! A bundle of filters as a site would have it, in the words of no peer.

/// What tokens are signed with. It opens nothing.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub const ISSUER: &str = "load";
/// `{"alg":"HS256","typ":"JWT"}` and `{"iss":"load","sub":"alice","exp":4102444800}`, which is 2100.
pub const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
    eyJpc3MiOiJsb2FkIiwic3ViIjoiYWxpY2UiLCJleHAiOjQxMDI0NDQ4MDB9.\
    Nb89XuaANdH3HTt7fUxL3IMmxoUSIaim49phUgqEL4k";
/// The same, signed by somebody else.
pub const FORGED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
    eyJpc3MiOiJsb2FkIiwic3ViIjoiYWxpY2UiLCJleHAiOjQxMDI0NDQ4MDB9.\
    Nb89XuaANdH3HTt7fUxL3IMmxoUSIaim49phUgqEL4s";
/// The same, good until 2001.
pub const EXPIRED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
    eyJpc3MiOiJsb2FkIiwic3ViIjoiYWxpY2UiLCJleHAiOjEwMDAwMDAwMDB9.\
    uLaMz987BAJQbJMdodg3Iq9IGPfz_EeOjdi1Tu8MdZI";

/// So many requests a second may each address make: more than any peer can carry.
pub const RATE: u32 = 1_000_000;

/// What Aqueduct's `security_headers = true` tells browsers that came without TLS.
pub const FIELDS: [(&str, &str); 7] = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    (
        "Content-Security-Policy",
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'self'; \
         form-action 'self'; frame-ancestors 'none'",
    ),
    (
        "Permissions-Policy",
        "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), payment=(), usb=()",
    ),
];

/// Who may not come in: ten networks, none of them the load's.
pub fn networks() -> Vec<String> {
    (0..10).map(|number| format!("10.66.{number}.0/24")).collect()
}
