//! One frame (`RemotingCommand`): length, header word, header in either encoding, body.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::header::Fields;
use crate::{Header, HeaderError, RequestCode, ResponseCode, VERSION};

mod binary;
mod ext;
mod json;

pub use ext::ExtFields;

/// Largest frame that Apache's programs take by default, in bytes and including the four length bytes
/// (`com.rocketmq.remoting.frameMaxLength`).
pub const MAX_FRAME: usize = 16 * 1024 * 1024;

const RESPONSE_BIT: i32 = 1;
const ONEWAY_BIT: i32 = 2;

/// How the header of a frame is written; each frame tells its own (`SerializeType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Encoding {
    /// A JSON object; understood by every client.
    #[default]
    Json,
    /// The compact binary layout. Codes above 32767 do not fit into it.
    Binary,
}

/// The language of a peer (`LanguageCode`); unknown numbers and names are kept as [`Language::OTHER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Language(u8);

const LANGUAGES: [&str; 14] = [
    "JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO", "PHP", "OMS",
    "RUST", "NODE_JS",
];

#[allow(missing_docs, reason = "the names are the protocol's own")]
impl Language {
    pub const JAVA: Language = Language(0);
    pub const CPP: Language = Language(1);
    pub const DOTNET: Language = Language(2);
    pub const PYTHON: Language = Language(3);
    pub const OTHER: Language = Language(7);
    pub const GO: Language = Language(9);
    pub const PHP: Language = Language(10);
    pub const RUST: Language = Language(12);
    pub const NODE_JS: Language = Language(13);

    /// The language of a byte of the binary header.
    #[must_use]
    pub fn from_byte(byte: u8) -> Language {
        if usize::from(byte) < LANGUAGES.len() { Language(byte) } else { Language::OTHER }
    }

    /// The language of a name in the JSON header.
    #[must_use]
    pub fn from_name(name: &str) -> Language {
        let found = LANGUAGES.iter().position(|known| *known == name);
        found.and_then(|index| u8::try_from(index).ok()).map_or(Language::OTHER, Language)
    }

    /// The byte of the binary header.
    #[must_use]
    pub fn byte(self) -> u8 {
        self.0
    }

    /// The name in the JSON header and in admin answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        LANGUAGES.get(usize::from(self.0)).copied().unwrap_or("OTHER")
    }
}

/// Why bytes are not a frame; the connection they came from cannot be used any further.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum FrameError {
    #[error(
        "frame length {length} is outside 4..={max}; the peer does not speak the remoting protocol or exceeds the frame limit"
    )]
    Length { length: i64, max: usize },
    #[error("header length {header} does not fit into a frame of {length} bytes")]
    HeaderLength { header: usize, length: usize },
    #[error("header encoding {0} is not known; 0 is JSON and 1 is ROCKETMQ")]
    Encoding(u8),
    #[error("JSON header does not parse: {0}")]
    Json(String),
    #[error("binary header is damaged: {0}")]
    Binary(&'static str),
}

/// One request or response.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Request code or response code, by [`Frame::is_response`].
    pub code: i32,
    /// Language of the sender.
    pub language: Language,
    /// Version of the sender (`MQVersion` ordinal).
    pub version: i32,
    /// Chosen by the requester, echoed by the responder.
    pub opaque: i32,
    /// Bit 0: response; bit 1: one-way request.
    pub flag: i32,
    /// Free text for people, empty if absent.
    pub remark: String,
    /// The fields of the typed header.
    pub ext: ExtFields,
    /// Raw body; empty and absent are the same.
    pub body: Bytes,
    /// How the header was, or will be, written.
    pub encoding: Encoding,
}

impl Frame {
    fn new(code: i32, flag: i32) -> Frame {
        Frame {
            code,
            language: Language::RUST,
            version: VERSION,
            opaque: 0,
            flag,
            remark: String::new(),
            ext: ExtFields::default(),
            body: Bytes::new(),
            encoding: Encoding::Json,
        }
    }

    /// A request without header fields; `opaque` is set by the connection that sends it.
    #[must_use]
    pub fn bare_request(code: RequestCode) -> Frame {
        Frame::new(code.0, 0)
    }

    /// A request with a typed header.
    #[must_use]
    pub fn request<'a, H: Header<'a>>(code: RequestCode, header: &H) -> Frame {
        Frame::bare_request(code).with_header(header)
    }

    /// The answer to `request`: same opaque and encoding.
    #[must_use]
    pub fn response(request: &Frame, code: ResponseCode) -> Frame {
        let mut frame = Frame::new(code.0, RESPONSE_BIT);
        frame.opaque = request.opaque;
        frame.encoding = request.encoding;
        frame
    }

    /// Adds a typed header's fields.
    #[must_use]
    pub fn with_header<'a, H: Header<'a>>(mut self, header: &H) -> Frame {
        header.write(&mut self.ext);
        self
    }

    /// Sets the remark.
    #[must_use]
    pub fn with_remark(mut self, remark: impl Into<String>) -> Frame {
        self.remark = remark.into();
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Frame {
        self.body = body.into();
        self
    }

    /// Marks a request as one-way: it never gets an answer, whatever happens.
    #[must_use]
    pub fn oneway(mut self) -> Frame {
        self.flag |= ONEWAY_BIT;
        self
    }

    /// Whether this is a response.
    #[must_use]
    pub fn is_response(&self) -> bool {
        self.flag & RESPONSE_BIT != 0
    }

    /// Whether this request must not be answered.
    #[must_use]
    pub fn is_oneway(&self) -> bool {
        self.flag & ONEWAY_BIT != 0
    }

    /// The code of a request.
    #[must_use]
    pub fn request_code(&self) -> RequestCode {
        RequestCode(self.code)
    }

    /// The code of a response.
    #[must_use]
    pub fn response_code(&self) -> ResponseCode {
        ResponseCode(self.code)
    }

    /// Reads the typed header; it borrows its strings from this frame.
    ///
    /// # Errors
    /// Names the field that is missing or not of its type.
    pub fn header<'a, H: Header<'a>>(&'a self) -> Result<H, HeaderError> {
        H::read(&self.ext)
    }

    /// Takes the next whole frame from the front of `buffer`; `None` if more bytes are needed.
    ///
    /// # Errors
    /// After an error the stream has no defined position any more: close the connection.
    pub fn decode(buffer: &mut BytesMut, max_frame: usize) -> Result<Option<Frame>, FrameError> {
        let Some(prefix) = buffer.first_chunk::<4>() else { return Ok(None) };
        let length = i32::from_be_bytes(*prefix);
        let whole = usize::try_from(length).ok().filter(|n| *n >= 4 && *n <= max_frame.saturating_sub(4));
        let Some(whole) = whole else {
            return Err(FrameError::Length { length: i64::from(length), max: max_frame.saturating_sub(4) });
        };
        if buffer.len() < 4 + whole {
            return Ok(None);
        }
        buffer.advance(4);
        Frame::decode_unprefixed(buffer.split_to(whole).freeze()).map(Some)
    }

    /// Decodes a frame from the bytes that follow its length.
    ///
    /// # Errors
    /// Says what is wrong with the header.
    pub fn decode_unprefixed(mut bytes: Bytes) -> Result<Frame, FrameError> {
        let length = bytes.len();
        if length < 4 {
            return Err(FrameError::HeaderLength { header: 4, length });
        }
        let word = bytes.get_u32();
        let header_length = (word & 0x00FF_FFFF) as usize;
        if header_length > bytes.len() {
            return Err(FrameError::HeaderLength { header: header_length, length });
        }
        let body = bytes.split_off(header_length);
        let mut frame = match word.to_be_bytes()[0] {
            0 => json::decode(&bytes)?,
            1 => binary::decode(&bytes)?,
            other => return Err(FrameError::Encoding(other)),
        };
        frame.body = body;
        Ok(frame)
    }

    /// Appends the whole frame.
    pub fn encode(&self, out: &mut BytesMut) {
        self.encode_head(self.body.len(), out);
        out.put_slice(&self.body);
    }

    /// Appends all but the body, for a body of `body_length` bytes that follows from elsewhere.
    ///
    /// A code that the binary header cannot hold is written as JSON.
    pub fn encode_head(&self, body_length: usize, out: &mut BytesMut) {
        self.encode_fields(body_length, out, |_| ());
    }

    /// The same with a typed header's fields behind the frame's own, which spares keeping them in the frame.
    pub fn encode_head_with<'a, H: Header<'a>>(&self, header: &H, body_length: usize, out: &mut BytesMut) {
        self.encode_fields(body_length, out, |fields| header.write(fields));
    }

    fn encode_fields(&self, body_length: usize, out: &mut BytesMut, more: impl FnOnce(&mut FieldWriter<'_>)) {
        let start = out.len();
        out.put_u64(0);
        let fits = i16::try_from(self.code).is_ok();
        let encoding =
            if self.encoding == Encoding::Binary && fits { Encoding::Binary } else { Encoding::Json };
        let before = match encoding {
            Encoding::Binary => binary::encode_before_fields(self, out),
            Encoding::Json => json::encode_before_fields(self, out),
        };
        let mut fields = FieldWriter { out, encoding, empty: true };
        for (name, value) in self.ext.iter() {
            fields.add(name, value);
        }
        more(&mut fields);
        let word = match encoding {
            Encoding::Binary => {
                binary::encode_after_fields(before, out);
                1_u32
            }
            Encoding::Json => {
                json::encode_after_fields(self, out);
                0
            }
        };
        let header_length = out.len() - start - 8;
        let length = u32::try_from(4 + header_length + body_length).unwrap_or(u32::MAX);
        let word = (word << 24) | (u32::try_from(header_length).unwrap_or(u32::MAX) & 0x00FF_FFFF);
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        out[start + 4..start + 8].copy_from_slice(&word.to_be_bytes());
    }
}

/// Writes fields behind each other to the wire.
struct FieldWriter<'a> {
    out: &'a mut BytesMut,
    encoding: Encoding,
    empty: bool,
}

impl Fields for FieldWriter<'_> {
    fn add(&mut self, name: &str, value: &str) {
        match self.encoding {
            Encoding::Binary => binary::encode_field(name, value, self.out),
            Encoding::Json => json::encode_field(self.empty, name, value, self.out),
        }
        self.empty = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::GetRouteInfoRequest;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|c| u8::from_str_radix(std::str::from_utf8(c).unwrap(), 16).unwrap()).collect()
    }

    fn route_request() -> Frame {
        let mut frame = Frame::request(
            RequestCode::GET_ROUTEINFO_BY_TOPIC,
            &GetRouteInfoRequest { topic: "TBW102", accept_standard_json_only: None },
        );
        frame.opaque = 1;
        frame.language = Language::JAVA;
        frame
    }

    #[test]
    fn binary_header_matches_the_layout_byte_for_byte() {
        let mut frame = route_request();
        frame.encoding = Encoding::Binary;
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        let want = hex(
            "0000002a 01000026 0069 00 01df 00000001 00000000 00000000 00000011 0005 746f706963 00000006 544257313032",
        );
        assert_eq!(out.to_vec(), want);
        assert_eq!(Frame::decode(&mut out, MAX_FRAME).unwrap().unwrap(), frame);
        assert!(out.is_empty());
    }

    #[test]
    fn json_header_round_trips_and_takes_bare_numbers() {
        let frame = route_request();
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        assert_eq!(Frame::decode(&mut out, MAX_FRAME).unwrap().unwrap(), frame);

        let text = br#"{"code":11,"language":"XX","version":333,"opaque":7,"flag":0,"remark":null,
            "extFields":{"queueId":3,"topic":"T\u00e9","ok":true,"none":null},"extra":[1,{"a":2}]}"#;
        let mut wire = BytesMut::new();
        wire.put_u32(4 + text.len() as u32);
        wire.put_u32(text.len() as u32);
        wire.put_slice(text);
        let frame = Frame::decode(&mut wire, MAX_FRAME).unwrap().unwrap();
        assert_eq!(frame.ext.get("queueId"), Some("3"));
        assert_eq!(frame.ext.get("topic"), Some("Té"));
        assert_eq!(frame.ext.get("ok"), Some("true"));
        assert_eq!(frame.ext.get("none"), None);
        assert_eq!(frame.language, Language::OTHER);
    }

    #[test]
    fn lengths_that_lie_are_errors() {
        for bytes in
            ["ffffffff00000000", "00000003000000", "7fffffff00000000", "0000000400000001", "0000000402000000"]
        {
            let mut buffer = BytesMut::from(&hex(bytes)[..]);
            assert!(Frame::decode(&mut buffer, MAX_FRAME).is_err(), "{bytes}");
        }
        assert_eq!(Frame::decode(&mut BytesMut::from(&[0, 0][..]), MAX_FRAME), Ok(None));
    }

    #[test]
    fn a_code_too_large_for_the_binary_header_goes_out_as_json() {
        let mut frame = Frame::bare_request(RequestCode::POP_MESSAGE);
        frame.encoding = Encoding::Binary;
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        let back = Frame::decode(&mut out, MAX_FRAME).unwrap().unwrap();
        assert_eq!((back.code, back.encoding), (200_050, Encoding::Json));
    }

    #[test]
    fn a_typed_header_is_written_as_if_the_frame_had_its_fields() {
        for encoding in [Encoding::Json, Encoding::Binary] {
            for fields in 0..3 {
                let mut frame = Frame::bare_request(RequestCode::GET_ROUTEINFO_BY_TOPIC);
                frame.encoding = encoding;
                (0..fields).for_each(|n| frame.ext.push(&format!("own{n}"), "\"1\""));
                let header = GetRouteInfoRequest { topic: "T\u{1}", accept_standard_json_only: Some(true) };
                let (mut direct, mut copied) = (BytesMut::new(), BytesMut::new());
                frame.encode_head_with(&header, 7, &mut direct);
                frame.with_header(&header).encode_head(7, &mut copied);
                assert_eq!(direct, copied);
            }
        }
    }
}
