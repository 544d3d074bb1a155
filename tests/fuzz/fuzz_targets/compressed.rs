//! Compressed bodies: never more than the limit comes out, and no more memory is taken for it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mq_protocol::compression::Compression;

const LIMIT: usize = 1 << 20;

// The first byte chooses the compression.
fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else { return };
    let _ = Compression::of_flags(i32::from(*which) << 8 | 1);
    let kind = [Compression::Zlib, Compression::Lz4, Compression::Zstd][usize::from(which % 3)];
    if let Ok(body) = kind.decompress(data, LIMIT) {
        assert!(body.len() <= LIMIT && body.capacity() <= 2 * LIMIT);
    }
    let packed = kind.compress(data, 5).expect("anything can be compressed");
    assert_eq!(kind.decompress(&packed, data.len()).expect("what we compressed"), data);
});
