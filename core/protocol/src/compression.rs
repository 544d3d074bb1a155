//! Compression of message bodies, both ways and bounded (`CompressionType`, `CompressorFactory`).

use std::io::{Read, Write};

use crate::message::sys_flag;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compression {
    /// RFC 1950 stream; the only one that every client understands.
    #[default]
    Zlib,
    /// LZ4 frame format; clients from 4.9.4 on.
    Lz4,
    /// Zstandard frame; clients from 4.9.4 on.
    Zstd,
}

/// Why a body could not be compressed or decompressed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum CompressionError {
    #[error("compressed body needs more than the limit of {limit} bytes when inflated")]
    TooLarge { limit: usize },
    #[error("body is marked as {kind:?} but does not decompress: {source}")]
    Damaged { kind: Compression, source: std::io::Error },
    #[error(
        "compression type {0} of the message's sysFlag is not known; 0 and 3 are ZLIB, 1 is LZ4, 2 is ZSTD"
    )]
    UnknownType(i32),
    #[error("body does not compress: {0}")]
    Compress(std::io::Error),
}

impl Compression {
    /// The bits of a message's sysFlag for a body compressed this way.
    #[must_use]
    pub fn flags(self) -> i32 {
        let kind = match self {
            Compression::Lz4 => 1,
            Compression::Zstd => 2,
            Compression::Zlib => 3,
        };
        sys_flag::COMPRESSED | (kind << sys_flag::COMPRESSION_SHIFT)
    }

    /// The compression that a sysFlag tells; `None` if the body is plain.
    ///
    /// # Errors
    /// The type bits hold a number that nobody uses.
    pub fn of_flags(flags: i32) -> Result<Option<Compression>, CompressionError> {
        if flags & sys_flag::COMPRESSED == 0 {
            return Ok(None);
        }
        match (flags & sys_flag::COMPRESSION_MASK) >> sys_flag::COMPRESSION_SHIFT {
            0 | 3 => Ok(Some(Compression::Zlib)),
            1 => Ok(Some(Compression::Lz4)),
            2 => Ok(Some(Compression::Zstd)),
            other => Err(CompressionError::UnknownType(other)),
        }
    }

    /// Compresses a body; `level` counts for zlib (0–9) and zstd (1–22) and is clamped to their range.
    ///
    /// # Errors
    /// The library refuses, which it does not for bytes in memory.
    pub fn compress(self, body: &[u8], level: i32) -> Result<Vec<u8>, CompressionError> {
        let done = match self {
            Compression::Zlib => {
                let level = flate2::Compression::new(u32::try_from(level.clamp(0, 9)).unwrap_or(5));
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::with_capacity(body.len() / 2), level);
                encoder.write_all(body).and_then(|()| encoder.finish())
            }
            Compression::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::with_capacity(body.len() / 2));
                encoder.write_all(body).and_then(|()| encoder.finish().map_err(std::io::Error::other))
            }
            Compression::Zstd => zstd::stream::encode_all(body, level.clamp(1, 22)),
        };
        done.map_err(CompressionError::Compress)
    }

    /// Inflates a body to at most `limit` bytes.
    ///
    /// # Errors
    /// The bytes are damaged or inflate to more than `limit`.
    pub fn decompress(self, body: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
        let mut out = Vec::with_capacity(body.len().saturating_mul(3).min(limit));
        let bound = limit as u64 + 1;
        let read = match self {
            Compression::Zlib => flate2::read::ZlibDecoder::new(body).take(bound).read_to_end(&mut out),
            Compression::Lz4 => lz4_flex::frame::FrameDecoder::new(body).take(bound).read_to_end(&mut out),
            Compression::Zstd => zstd::stream::Decoder::with_buffer(body).and_then(|mut decoder| {
                // A window of at most 128 MiB, as the reference decoder's own default.
                decoder.window_log_max(27)?;
                decoder.take(bound).read_to_end(&mut out)
            }),
        };
        read.map_err(|source| CompressionError::Damaged { kind: self, source })?;
        if out.len() > limit { Err(CompressionError::TooLarge { limit }) } else { Ok(out) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_round_trip_and_bombs_are_cut() {
        let body = vec![b'a'; 1_000_000];
        for kind in [Compression::Zlib, Compression::Lz4, Compression::Zstd] {
            let small = kind.compress(&body, 5).unwrap();
            assert!(small.len() < body.len() / 10);
            assert_eq!(Compression::of_flags(kind.flags()).unwrap(), Some(kind));
            assert_eq!(kind.decompress(&small, body.len()).unwrap(), body);
            assert!(matches!(kind.decompress(&small, 1000), Err(CompressionError::TooLarge { limit: 1000 })));
            assert!(
                matches!(
                    kind.decompress(&small[..small.len() / 2], body.len()),
                    Err(CompressionError::Damaged { .. })
                ),
                "{kind:?}"
            );
            assert!(kind.decompress(b"not compressed", 1000).is_err());
        }
        assert!(Compression::of_flags(0x701).is_err());
        assert_eq!(Compression::of_flags(0x001).unwrap(), Some(Compression::Zlib));
        assert_eq!(Compression::of_flags(0x300).unwrap(), None);
    }
}
