//! The body of a client-side batch: messages in a row, each with a short head (`MessageDecoder.encodeMessages`).

use bytes::BufMut;

use super::RecordError;

/// Bytes of an element beside its body and properties.
const HEAD: usize = 22;

/// One message of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are named as in the layout")]
pub struct BatchElement<'a> {
    pub flag: i32,
    pub body: &'a [u8],
    pub properties: &'a str,
}

impl<'a> BatchElement<'a> {
    /// Size of the element in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        HEAD + self.body.len() + self.properties.len()
    }

    /// Writes the element. Lengths must have been checked: properties ≤ 32767 bytes.
    pub fn encode(&self, out: &mut impl BufMut) {
        out.put_u32(u32::try_from(self.encoded_len()).unwrap_or(u32::MAX));
        out.put_u32(0);
        out.put_u32(0);
        out.put_i32(self.flag);
        out.put_u32(u32::try_from(self.body.len()).unwrap_or(u32::MAX));
        out.put_slice(self.body);
        out.put_u16(u16::try_from(self.properties.len()).unwrap_or(u16::MAX));
        out.put_slice(self.properties.as_bytes());
    }

    /// Takes the element at the front of `bytes`; `None` at the end.
    ///
    /// # Errors
    /// The element is cut off or its lengths contradict each other.
    pub fn take(bytes: &mut &'a [u8]) -> Result<Option<BatchElement<'a>>, RecordError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let have = bytes.len();
        let size = bytes
            .first_chunk::<4>()
            .map(|b| i32::from_be_bytes(*b))
            .ok_or(RecordError::Truncated { need: 4, have })?;
        let size =
            usize::try_from(size).ok().filter(|n| *n >= HEAD).ok_or(RecordError::Size(i64::from(size)))?;
        let element = bytes.get(..size).ok_or(RecordError::Truncated { need: size, have })?;
        let int = |at: usize| {
            element.get(at..).and_then(|b| b.first_chunk::<4>()).map_or(0, |b| i32::from_be_bytes(*b))
        };
        let flag = int(12);
        let body_length = usize::try_from(int(16)).map_err(|_| RecordError::Negative("body"))?;
        let body_end = body_length.checked_add(20).filter(|end| *end + 2 <= size);
        let body_end =
            body_end.ok_or(RecordError::Parts { parts: body_length.saturating_add(HEAD), size })?;
        let properties_length =
            element.get(body_end..).and_then(|b| b.first_chunk::<2>()).map_or(0, |b| i16::from_be_bytes(*b));
        let properties_length =
            usize::try_from(properties_length).map_err(|_| RecordError::Negative("properties"))?;
        let parts = body_end + 2 + properties_length;
        if parts != size {
            return Err(RecordError::Parts { parts, size });
        }
        let body = element.get(20..body_end).unwrap_or_default();
        let properties = std::str::from_utf8(element.get(body_end + 2..).unwrap_or_default())
            .map_err(|_| RecordError::Text("properties"))?;
        *bytes = bytes.get(size..).unwrap_or_default();
        Ok(Some(BatchElement { flag, body, properties }))
    }

    /// All elements of a batch.
    ///
    /// # Errors
    /// One of the elements is damaged.
    pub fn take_all(mut bytes: &'a [u8]) -> Result<Vec<BatchElement<'a>>, RecordError> {
        let mut all = Vec::new();
        while let Some(element) = BatchElement::take(&mut bytes)? {
            all.push(element);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_apaches_layout_and_truncations_are_errors() {
        let first =
            BatchElement { flag: 0, body: b"hello", properties: "UNIQ_KEY\u{1}X\u{2}WAIT\u{1}true\u{2}" };
        let mut out = Vec::new();
        first.encode(&mut out);
        let got: String = out.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            got,
            "0000003000000000000000000000000000000005\
             68656c6c6f0015554e49515f4b455901580257414954017472756502"
        );
        let second = BatchElement { flag: 7, body: b"", properties: "" };
        second.encode(&mut out);
        assert_eq!(BatchElement::take_all(&out).unwrap(), [first, second]);
        for end in (1..out.len()).filter(|end| *end != 48) {
            assert!(BatchElement::take_all(&out[..end]).is_err(), "{end}");
        }
    }
}
