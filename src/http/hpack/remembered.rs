//! What a [`Decoder`] remembers, in the least of memory: as the block of fields that would make another one remember it.

use std::borrow::Cow;

use super::{Decoder, Field, Line, OVERHEAD, Pseudo, encoder, integer, table::STATIC};

/// A decoder's table while nothing comes.
#[derive(Debug)]
pub struct Remembered {
    block: Box<[u8]>,
    most: usize,
}

impl Remembered {
    /// The decoder that remembers it.
    pub fn decoder(&self) -> Decoder {
        let mut decoder = Decoder::holding(self.most);
        let read = decoder.decode(&self.block, |_, _| ());
        debug_assert!(read.is_ok(), "it was written here");
        decoder
    }
}

impl Decoder {
    /// What it remembers.
    pub fn remembered(&self) -> Remembered {
        let mut block = Vec::new();
        // The oldest first: so they have come.
        for line in self.lines().rev() {
            line.write(&mut block);
        }
        Remembered { block: block.into_boxed_slice(), most: self.most() }
    }
}

impl Line {
    fn write(&self, out: &mut Vec<u8>) {
        let number = STATIC.iter().position(|known| known.has_name_of(self)).map_or(0, |place| place + 1);
        integer::put(0x40, 6, number, out);
        if number == 0 {
            encoder::text(&self.name(), out);
        }
        encoder::text(&self.value(), out);
    }

    fn has_name_of(&self, other: &Self) -> bool {
        match (&self.field, &other.field) {
            (Field::Plain(name, ..), Field::Plain(other, ..) | Field::BadValue(other, _)) => name == other,
            (Field::Pseudo(name, _), Field::Pseudo(other, _)) => name == other,
            _ => false,
        }
    }

    /// Its name; where that is not known any more because it was none, another one that is as long and as wrong.
    fn name(&self) -> Cow<'_, [u8]> {
        let length = self.name_length as usize;
        match &self.field {
            Field::Pseudo(Pseudo::Protocol, _) => Cow::Borrowed(b":protocol"),
            Field::Pseudo(..) => [b":", &*vec![b'?'; length - 1]].concat().into(),
            Field::Plain(name, ..) | Field::BadValue(name, _) => name.as_str().as_bytes().into(),
            Field::BadName => vec![b'?'; length].into(),
        }
    }

    fn value(&self) -> Cow<'_, [u8]> {
        let length = self.size as usize - OVERHEAD - self.name_length as usize;
        match &self.field {
            Field::Pseudo(_, value) => Cow::Borrowed(value),
            Field::Plain(.., value) => value.as_bytes().into(),
            Field::BadName | Field::BadValue(..) => vec![0; length].into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A block of fields that are to be remembered.
    fn block(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0x40);
            encoder::text(name, &mut block);
            encoder::text(value, &mut block);
        }
        block
    }

    fn lines(decoder: &Decoder) -> Vec<Line> {
        decoder.lines().cloned().collect()
    }

    #[test]
    fn what_a_browser_says_takes_little_more_than_its_text() {
        let fields: Vec<_> = [(":authority", "shop.example"), ("user-agent", "a browser"), ("x-own", "yes")]
            .map(|(name, value)| (name.into(), value.into()))
            .into();
        let mut decoder = Decoder::default();
        decoder.decode(&block(&fields), |_, _| ()).expect("it is a block");

        let remembered = decoder.remembered();

        assert_eq!(remembered.block.len(), (2 + 12) + (2 + 9) + (2 + 5 + 1 + 3));
        assert_eq!(lines(&remembered.decoder()), lines(&decoder));
    }

    const KNOWN: &[&str] = &["", ":", ":path", ":protocol", ":unknown", "user-agent", "cookie", "X", "te st", "x-own"];

    fn any_field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let names = prop_oneof![
            proptest::sample::select(KNOWN).prop_map(|name| name.as_bytes().to_vec()),
            proptest::collection::vec(any::<u8>(), 0..40),
        ];
        let values = prop_oneof![Just(Vec::new()), proptest::collection::vec(any::<u8>(), 0..400)];
        (names, values)
    }

    proptest! {
        #[test]
        fn another_decoder_remembers_the_same(
            fields in proptest::collection::vec(any_field(), 0..60),
            most in 0..=4096_usize,
        ) {
            let mut decoder = Decoder::holding(most);
            decoder.decode(&block(&fields), |_, _| ()).expect("it is a block");

            let other = decoder.remembered().decoder();

            prop_assert_eq!(lines(&other), lines(&decoder));
            prop_assert_eq!((other.size(), other.most()), (decoder.size(), most));
        }
    }
}
