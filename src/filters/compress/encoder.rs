//! The three ways to compress, behind one face. Each writes into memory that is taken out after every step.

use std::io::{self, Write};

use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use zstd::zstd_safe::CParameter;

use super::{Coding, Level};

/// Compresses one body.
pub enum Encoder {
    /// Zstandard.
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    /// Brotli; in a box: it is large.
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
    /// gzip.
    Gzip(GzEncoder<Vec<u8>>),
}

/// How far back brotli and Zstandard look, as a power of two: with more, many streams at once would take too much memory.
const WINDOW: u32 = 18;

/// How large the tables of Zstandard are, in the same way: a stream of the program takes 0.9 MiB with `fast` (1.2 with 17). One of brotli takes 1.0,
/// and some 5 MiB with `small`; of gzip 0.4 MiB (tests/journeys/compress.rs).
const TABLES: u32 = 16;

impl Encoder {
    /// Begins.
    pub fn new(coding: Coding, level: Level) -> io::Result<Self> {
        Ok(match coding {
            Coding::Zstd => {
                let level = match level {
                    Level::Fast => 1,
                    Level::Balanced => 3,
                    Level::Small => 9,
                };
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level)?;
                encoder.window_log(WINDOW)?;
                // What a level has without these is for windows of its own: tens of MiB.
                encoder.set_parameter(CParameter::HashLog(TABLES))?;
                encoder.set_parameter(CParameter::ChainLog(TABLES))?;
                Self::Zstd(encoder)
            }
            Coding::Br => {
                let quality = match level {
                    Level::Fast => 2,
                    Level::Balanced => 4,
                    Level::Small => 6,
                };
                let lgwin = WINDOW as i32;
                let params = BrotliEncoderParams { quality, lgwin, ..BrotliEncoderParams::default() };
                Self::Br(Box::new(brotli::CompressorWriter::with_params(Vec::new(), BUFFER, &params)))
            }
            Coding::Gzip => {
                let level = match level {
                    Level::Fast => 3,
                    Level::Balanced => 6,
                    Level::Small => 9,
                };
                Self::Gzip(GzEncoder::new(Vec::new(), Compression::new(level)))
            }
        })
    }

    /// Takes this in; what comes out of it may have to wait for more.
    pub fn write(&mut self, plain: &[u8]) -> io::Result<()> {
        self.writer().write_all(plain)
    }

    /// Lets out all that was taken in.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }

    /// What has come out so far.
    pub fn take(&mut self) -> Bytes {
        std::mem::take(self.out()).into()
    }

    /// How much that is.
    pub fn waiting(&mut self) -> usize {
        self.out().len()
    }

    /// The end, with what has come out since.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Br(encoder) => Ok(encoder.into_inner()),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }

    /// A body that is there.
    pub fn whole(mut self, plain: &[u8]) -> io::Result<Vec<u8>> {
        self.write(plain)?;
        self.finish()
    }

    fn out(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Br(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Zstd(encoder) => encoder,
            Self::Br(encoder) => encoder,
            Self::Gzip(encoder) => encoder,
        }
    }
}

/// So much of what brotli lets out is put together before it is written.
const BUFFER: usize = 4096;
