//! A message view as one block of bytes, for languages in which each call into C costs.

use mq_binding::MessageView;

use crate::call::{quiet, set_len};
use crate::view::mq_message_view;

/// Bytes before the texts.
const HEADER: u32 = 104;
/// Where the lengths of the texts are.
const LENGTHS: usize = 56;

/// Everything about a message in one block, borrowed from the view: for languages in which each call into C costs. `len`
/// takes its length. NULL with length 0 for NULL.
///
/// Numbers are in the machine's own byte order; the block and they are aligned as a struct would be:
/// @code
///  offset  type         what
///       0  uint32_t     size of this header, where the texts begin: 104 or, in later versions, more
///       4  int32_t      queue id
///       8  int64_t      queue offset
///      16  int64_t      born timestamp
///      24  int64_t      store timestamp
///      32  int32_t      reconsume times
///      36  int32_t      flag
///      40  uint64_t     address of the body, which is valid as long as the view; 0 for an empty one
///      48  uint64_t     length of the body
///      56  int32_t[10]  lengths of the texts, -1 for those that the message does not have: topic, tag, keys (joined by one
///                       space), message group, message id, offset message id, broker name, born host, store host, properties
///                       (name, byte 1, value, byte 2, repeated; RocketMQ's own ones included)
///      96               nothing yet
///     104  char[]       the texts, one after the other, without NULs between them
/// @endcode
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_packed(view: *const mq_message_view, len: *mut usize) -> *const u8 {
    // SAFETY: the header asks for a live view or NULL, and a length that can be written or NULL.
    let (view, len) = unsafe { (view.as_ref(), &mut |value| set_len(len, value)) };
    let block = quiet(None, || view.map(mq_message_view::packed));
    len(block.map_or(0, |block| block.len));
    block.map_or(std::ptr::null(), |block| block.words.as_ptr().cast())
}

/// The bytes of a block, in words so that they begin where a number may.
pub(crate) struct Packed {
    words: Box<[u64]>,
    len: usize,
}

impl Packed {
    fn new(bytes: &[u8]) -> Packed {
        let (whole, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let words = whole.iter().chain(std::iter::once(&last)).map(|word| u64::from_ne_bytes(*word));
        Packed { words: words.collect(), len: bytes.len() }
    }
}

/// The block of a message whose body is at this address.
pub(crate) fn pack(message: &MessageView, body: &[u8]) -> Packed {
    let mut block = Vec::with_capacity(512);
    let address = if body.is_empty() { 0 } else { body.as_ptr().addr() as u64 };
    block.extend_from_slice(&HEADER.to_ne_bytes());
    block.extend_from_slice(&message.queue_id().to_ne_bytes());
    block.extend_from_slice(&message.queue_offset().to_ne_bytes());
    block.extend_from_slice(&message.born_timestamp().to_ne_bytes());
    block.extend_from_slice(&message.store_timestamp().to_ne_bytes());
    block.extend_from_slice(&message.reconsume_times().to_ne_bytes());
    block.extend_from_slice(&message.flag().to_ne_bytes());
    block.extend_from_slice(&address.to_ne_bytes());
    block.extend_from_slice(&(body.len() as u64).to_ne_bytes());
    block.resize(HEADER as usize, 0);
    let mut texts = Texts { block, number: 0 };
    texts.add(Some(message.topic()));
    texts.add(message.tag());
    texts.add_joined(message.keys());
    texts.add(message.message_group());
    texts.add(Some(&message.message_id()));
    texts.add(Some(&message.offset_message_id()));
    texts.add(Some(message.broker_name()));
    texts.add(Some(&message.born_host().to_string()));
    texts.add(Some(&message.store_host().to_string()));
    texts.add_pairs(message.properties());
    Packed::new(&texts.block)
}

/// A block to which texts are added in their order.
struct Texts {
    block: Vec<u8>,
    number: usize,
}

impl Texts {
    fn add(&mut self, text: Option<&str>) {
        let start = self.block.len();
        self.block.extend_from_slice(text.unwrap_or_default().as_bytes());
        self.note(text.map(|_| start));
    }

    fn add_joined<'a>(&mut self, parts: impl Iterator<Item = &'a str>) {
        let start = self.block.len();
        for part in parts {
            if self.block.len() > start {
                self.block.push(b' ');
            }
            self.block.extend_from_slice(part.as_bytes());
        }
        self.note((self.block.len() > start).then_some(start));
    }

    fn add_pairs<'a>(&mut self, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
        let start = self.block.len();
        for (name, value) in pairs {
            self.block.extend_from_slice(name.as_bytes());
            self.block.push(1);
            self.block.extend_from_slice(value.as_bytes());
            self.block.push(2);
        }
        self.note(Some(start));
    }

    /// Writes the length of the text that begins here; a stored message is far from the limit.
    fn note(&mut self, start: Option<usize>) {
        let len = start.map_or(-1, |start| i32::try_from(self.block.len() - start).unwrap_or(i32::MAX));
        let at = LENGTHS + 4 * self.number;
        if let Some(place) = self.block.get_mut(at..at + 4) {
            place.copy_from_slice(&len.to_ne_bytes());
        }
        self.number += 1;
    }
}
