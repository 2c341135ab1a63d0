//! Whatever a block is, it is decoded or refused; the table stays within its size; and what was decoded is the same once it
//! was encoded and decoded again.

use aqueduct::http::{
    StatusCode,
    hpack::{Decoder, Encoder, Field, TABLE},
};

pub fn check(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let (mut decoder, mut encoder, mut again) = (Decoder::default(), Encoder::default(), Decoder::default());
    for block in data.chunks(usize::from(*cut) + 1) {
        let mut fields = Vec::new();
        let decoded = decoder.decode(block, |size, field| {
            assert!(size >= 32);
            fields.push(field.into_owned());
        });
        assert!(decoder.size() <= TABLE);
        let mut out = Vec::new();
        encoder.begin(&mut out);
        encoder.status(StatusCode::OK, &mut out);
        let plain: Vec<_> = fields.iter().filter(|field| matches!(field, Field::Plain(..))).collect();
        for field in &plain {
            let Field::Plain(name, _, value) = field else { continue };
            encoder.field(name, value.as_bytes(), &mut out);
        }
        let mut read = Vec::new();
        again.decode(&out, |_, field| read.push(field.into_owned())).expect("what we write can be read");
        assert!(read.iter().skip(1).eq(plain.into_iter()));
        assert_eq!(again.size(), encoder.size());
        if decoded.is_err() {
            // Neither does anything that follows make sense.
            return;
        }
    }
}
