//! Where we read otherwise than hyper, and why. In nearly all of them we refuse what others read in two ways.

use crate::{
    Reading,
    support::wire::{text, values_of},
};

/// One difference that is meant.
#[derive(Clone, Copy)]
pub struct Rule {
    pub name: &'static str,
    applies: fn(&Case) -> bool,
}

struct Case<'c> {
    method: &'c str,
    bytes: &'c [u8],
    /// The last head: after the interim ones.
    head: String,
    ours: &'c Reading,
    hypers: &'c Reading,
}

/// In the order of how little they allow.
pub const H1: [Rule; 11] = [
    // Only who asked for it can know what comes next (RFC 9110, 15.2.2); hyper leaves that to its user.
    Rule {
        name: "a switch nobody asked for is no answer",
        applies: |case| case.refused() && case.status() == Some(101),
    },
    // A sender that means something else by it has desynchronised us (RFC 9112, 6.1 and 11.2).
    Rule {
        name: "the only coding is one chunked",
        applies: |case| case.refused() && !matches!(case.codings().as_slice(), [] | ["chunked"]),
    },
    // A bad length is refused even where no body is to come: the value would be passed on.
    Rule {
        name: "a length is a number also where nothing comes",
        applies: |case| case.refused() && case.has_no_body() && !values_of(&case.head, "content-length").is_empty(),
    },
    // RFC 9112, 2.2 allows it, and it is how one message becomes two.
    Rule {
        name: "a line feed alone ends no line",
        applies: |case| case.are_stricter() && has_bare_line_feed(case.bytes),
    },
    // RFC 9112, 7.1: whitespace belongs to an extension, and there is none.
    Rule { name: "a chunk's size is not padded", applies: |case| case.are_stricter() && case.has_padded_size() },
    // RFC 9112, 7.1.1: an extension is of tokens and quoted strings.
    Rule { name: "an extension is text", applies: |case| case.are_stricter() && case.has_control_in_extension() },
    // RFC 9110, 15: a status beyond 599 has no class, so nobody knows what to do with it.
    Rule { name: "a status has a class", applies: |case| case.refused() && case.status() >= Some(600) },
    // RFC 9112, 2.2 forgives clients an empty line before a request; before an answer it is somebody's leftover.
    Rule {
        name: "nothing comes before the status line",
        applies: |case| {
            let behind_interim = || text(case.bytes).contains("\r\n\r\n\r\nHTTP/1.");
            case.refused() && (case.bytes.starts_with(b"\r\n") || behind_interim())
        },
    },
    // RFC 9110, 6.5.1: they would change what the message is when it is too late.
    Rule { name: "trailers do not frame", applies: |case| case.differ_in_trailers_only() },
    // hyper counts only so far, we only so many bytes.
    Rule {
        name: "the largest number is a length",
        applies: |case| case.refused_by_hyper() && text(case.bytes).contains("18446744073709551615"),
    },
    // What comes with the head is looked at while the client can still be told; hyper gives the head out first.
    Rule {
        name: "chunks that are malformed from the start are no answer",
        applies: |case| case.refused() && case.is_chunked() && case.hypers.is_cut(),
    },
];

/// awc's reader: what it takes and should not.
pub const AWC: [Rule; 2] = [
    // It takes whatever stands there for trailers, and forgets it.
    Rule {
        name: "trailers are not looked at",
        applies: |case| case.is_chunked() && case.differ_behind_the_body_only(),
    },
    // RFC 9112, 5.1 lets a proxy take it out.
    Rule {
        name: "a space before a colon is taken out",
        applies: |case| case.refused_by_hyper() && case.has_padded_name(),
    },
];

/// The rule that explains the difference.
pub fn explanation(
    rules: &[Rule],
    method: &str,
    bytes: &[u8],
    ours: &Reading,
    hypers: &Reading,
) -> Option<&'static str> {
    let case = Case { method, bytes, head: last_head(bytes), ours, hypers };
    rules.iter().find(|rule| (rule.applies)(&case)).map(|rule| rule.name)
}

impl Case<'_> {
    fn refused(&self) -> bool {
        *self.ours == Reading::Refused
    }

    /// We found no end, or not even an answer.
    fn are_stricter(&self) -> bool {
        matches!(self.ours, Reading::Refused | Reading::Answer { whole: false, .. })
    }

    fn status(&self) -> Option<u16> {
        self.head.trim_start().get(9..12)?.parse().ok()
    }

    fn has_no_body(&self) -> bool {
        self.method == "HEAD" || self.status() == Some(304)
    }

    fn codings(&self) -> Vec<&str> {
        values_of(&self.head, "transfer-encoding")
    }

    fn refused_by_hyper(&self) -> bool {
        *self.hypers == Reading::Refused
    }

    fn has_padded_name(&self) -> bool {
        let names = self.head.lines().filter_map(|line| Some(line.split_once(':')?.0));
        names.into_iter().any(|name| name.ends_with([' ', '\t']))
    }

    fn has_padded_size(&self) -> bool {
        let text = text(self.bytes);
        let is_padded = |line: &str| {
            let digits = line.trim_end_matches([' ', '\t']);
            digits.len() < line.len() && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        self.is_chunked() && text.split("\r\n").any(is_padded)
    }

    fn has_control_in_extension(&self) -> bool {
        let text = text(self.bytes);
        let mut extensions = text.split("\r\n").filter_map(|line| Some(line.split_once(';')?.1));
        self.is_chunked()
            && extensions
                .any(|extension| extension.contains(|letter| (letter < ' ' && letter != '\t') || letter == '\x7f'))
    }

    fn is_chunked(&self) -> bool {
        !self.codings().is_empty()
    }

    /// One reader may think it whole and the other not: that is decided there.
    fn differ_behind_the_body_only(&self) -> bool {
        let before = |reading: &Reading| match reading.clone() {
            Reading::Answer { status, fields, body, .. } => Some((status, fields, body)),
            Reading::Refused => None,
        };
        before(self.ours).is_some() && before(self.ours) == before(self.hypers)
    }

    fn differ_in_trailers_only(&self) -> bool {
        let without = |reading: &Reading| match reading.clone() {
            Reading::Answer { status, fields, body, whole, .. } => Some((status, fields, body, whole)),
            Reading::Refused => None,
        };
        without(self.ours).is_some() && without(self.ours) == without(self.hypers)
    }
}

/// The first head that is not an interim one.
fn last_head(bytes: &[u8]) -> String {
    let text = text(bytes).to_ascii_lowercase();
    let mut rest = text.as_str();
    while let Some((head, behind)) = rest.split_once("\r\n\r\n") {
        if !head.starts_with("http/1.1 1") || head.starts_with("http/1.1 101") {
            return head.to_owned();
        }
        rest = behind;
    }
    rest.to_owned()
}

fn has_bare_line_feed(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().any(|(at, byte)| *byte == b'\n' && (at == 0 || bytes[at - 1] != b'\r'))
}
