//! What every exported function shares: the panic fence, checked arguments, texts that C can read.

use std::ffi::{CStr, c_char};
use std::ptr;
use std::sync::OnceLock;
use std::time::Duration;

use mq_binding::{Error, ErrorCode, Queue, fence};

use crate::error::mq_error;
use crate::queue::mq_queue;

/// Runs a function that can fail; NULL means success.
pub(crate) fn call(body: impl FnOnce() -> Result<(), Error>) -> *mut mq_error {
    match fence(body) {
        Ok(()) => ptr::null_mut(),
        Err(error) => mq_error::give(error),
    }
}

/// Runs an accessor; a panic gives `otherwise`.
pub(crate) fn quiet<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    fence(|| Ok(body())).unwrap_or(otherwise)
}

/// A handle on something of the binding.
pub(crate) trait Handle {
    /// What it is on.
    type Core;
    /// The parameter's name, for messages.
    const NAME: &'static str;

    fn core(&self) -> &Self::Core;
}

/// A call of what a handle is on.
///
/// # Safety
/// `of` is NULL or points to a live handle.
pub(crate) unsafe fn on<H: Handle>(
    of: *const H,
    body: impl FnOnce(&H::Core) -> Result<(), Error>,
) -> *mut mq_error {
    // SAFETY: as the caller promises.
    call(|| body(unsafe { handle(of, H::NAME) }?.core()))
}

/// A call that has a result.
///
/// # Safety
/// As [`on`]; `place` is NULL or can be written.
pub(crate) unsafe fn get<H: Handle, T>(
    of: *const H,
    place: *mut T,
    what: &str,
    body: impl FnOnce(&H::Core) -> Result<T, Error>,
) -> *mut mq_error {
    call(|| {
        // SAFETY: as the caller promises.
        let (of, out) = unsafe { (handle(of, H::NAME)?, Out::new(place, what)?) };
        out.set(body(of.core())?);
        Ok(())
    })
}

/// A call whose end is an event on a queue.
///
/// # Safety
/// As [`on`]; `queue` is NULL or points to a live queue.
pub(crate) unsafe fn begin<H: Handle>(
    of: *const H,
    queue: *const mq_queue,
    body: impl FnOnce(&H::Core, &Queue) -> Result<(), Error>,
) -> *mut mq_error {
    call(|| {
        // SAFETY: as the caller promises.
        let (of, queue) = unsafe { (handle(of, H::NAME)?, handle(queue, "queue")?) };
        body(of.core(), &queue.queue)
    })
}

pub(crate) fn argument(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::Argument, message)
}

/// A handle that must not be NULL.
///
/// # Safety
/// `handle` is NULL or points to a live `T` that nobody changes.
pub(crate) unsafe fn handle<'a, T>(handle: *const T, what: &str) -> Result<&'a T, Error> {
    // SAFETY: as the caller promises.
    unsafe { handle.as_ref() }.ok_or_else(|| argument(format!("{what} is NULL; pass a handle")))
}

/// A handle that must not be NULL and is changed.
///
/// # Safety
/// `handle` is NULL or points to a live `T` that nobody else uses now.
pub(crate) unsafe fn handle_mut<'a, T>(handle: *mut T, what: &str) -> Result<&'a mut T, Error> {
    // SAFETY: as the caller promises.
    unsafe { handle.as_mut() }.ok_or_else(|| argument(format!("{what} is NULL; pass a handle")))
}

/// Where a result goes; checked before the work is done.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// `place` is NULL or can be written until [`Out::set`] is called.
    pub(crate) unsafe fn new(place: *mut T, what: &str) -> Result<Out<T>, Error> {
        if place.is_null() {
            return Err(argument(format!("{what} is NULL; pass the address of a variable for the result")));
        }
        Ok(Out(place))
    }

    pub(crate) fn set(self, value: T) {
        // SAFETY: not NULL, and writable as promised to `new`.
        unsafe { self.0.write(value) };
    }
}

/// Text given as pointer and length, or NUL-terminated when the length is `MQ_CSTR`.
///
/// # Safety
/// `data` is NULL or points to `len` readable bytes (to a NUL-terminated text for `MQ_CSTR`) during `'a`.
pub(crate) unsafe fn text<'a>(data: *const c_char, len: usize, what: &str) -> Result<&'a str, Error> {
    let bytes = if len == usize::MAX && !data.is_null() {
        // SAFETY: NUL-terminated, as the caller promises.
        unsafe { CStr::from_ptr(data) }.to_bytes()
    } else {
        // SAFETY: as the caller promises.
        unsafe { bytes(data.cast(), len, what) }?
    };
    std::str::from_utf8(bytes)
        .map_err(|e| argument(format!("{what} is not UTF-8 (at byte {}); encode it first", e.valid_up_to())))
}

/// Bytes given as pointer and length; NULL is empty when the length is 0.
///
/// # Safety
/// `data` is NULL or points to `len` readable bytes during `'a`.
pub(crate) unsafe fn bytes<'a>(data: *const u8, len: usize, what: &str) -> Result<&'a [u8], Error> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(argument(format!("{what} is NULL; pass its bytes")));
    }
    if isize::try_from(len).is_err() {
        return Err(argument(format!("the length of {what} is {len}, more than an address space holds")));
    }
    // SAFETY: not NULL, not longer than an object can be, and readable as the caller promises.
    Ok(unsafe { std::slice::from_raw_parts(data, len) })
}

/// A timeout in milliseconds; `None` (the default) for 0 and negative values.
pub(crate) fn timeout(millis: i64) -> Option<Duration> {
    u64::try_from(millis).ok().filter(|millis| *millis > 0).map(Duration::from_millis)
}

/// Text followed by a NUL.
pub(crate) struct CText(Box<[u8]>);

impl CText {
    pub(crate) fn new(text: impl AsRef<str>) -> CText {
        let text = text.as_ref();
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        CText(bytes.into_boxed_slice())
    }

    pub(crate) fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }

    pub(crate) fn as_str(&self) -> &str {
        // Made from text, so it always is.
        std::str::from_utf8(&self.0[..self.len()]).unwrap_or_default()
    }

    /// Without the NUL.
    pub(crate) fn len(&self) -> usize {
        self.0.len() - 1
    }

    /// The pointer for C, and the length if it is wanted.
    ///
    /// # Safety
    /// `len` is NULL or can be written.
    pub(crate) unsafe fn lend(&self, len: *mut usize) -> *const c_char {
        // SAFETY: as the caller promises.
        unsafe { set_len(len, self.len()) };
        self.as_ptr()
    }
}

/// Writes a length where one is wanted.
///
/// # Safety
/// `len` is NULL or can be written.
pub(crate) unsafe fn set_len(len: *mut usize, value: usize) {
    if !len.is_null() {
        // SAFETY: not NULL, and writable as the caller promises.
        unsafe { len.write(value) };
    }
}

/// A text that is made when it is first asked for and then stays where it is; absent ones are NULL.
#[derive(Default)]
pub(crate) struct LazyText(OnceLock<Option<CText>>);

impl LazyText {
    /// # Safety
    /// `len` is NULL or can be written.
    pub(crate) unsafe fn lend<S: AsRef<str>>(
        &self,
        len: *mut usize,
        text: impl FnOnce() -> Option<S>,
    ) -> *const c_char {
        match self.0.get_or_init(|| text().map(CText::new)) {
            // SAFETY: as the caller promises.
            Some(text) => unsafe { text.lend(len) },
            // SAFETY: as the caller promises.
            None => unsafe { absent(len) },
        }
    }
}

/// NULL with length 0.
///
/// # Safety
/// `len` is NULL or can be written.
pub(crate) unsafe fn absent(len: *mut usize) -> *const c_char {
    // SAFETY: as the caller promises.
    unsafe { set_len(len, 0) };
    ptr::null()
}

/// Frees a handle made by `Box::into_raw`; NULL is allowed.
///
/// # Safety
/// `handle` is NULL or came from `Box::into_raw` and is not used any more.
pub(crate) unsafe fn free<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: as the caller promises.
        let owned = unsafe { Box::from_raw(handle) };
        quiet((), || drop(owned));
    }
}
