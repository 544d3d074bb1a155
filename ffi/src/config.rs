//! Settings: an ordered map of strings, checked against the one table of the core.

use std::ffi::c_char;
use std::sync::Mutex;

use mq_binding::Config;

use crate::call::{CText, absent, call, free, handle_mut, quiet, text};
use crate::error::mq_error;

/// Settings of a client, a producer, a consumer or an embedded broker, as pairs of strings.
///
/// Names are those of the settings page, for instance `namesrv` or `send_timeout`; the names of the Java client
/// (`namesrvAddr`, `sendMsgTimeout`) are accepted too. Not for use by two threads at once. It is copied by
/// the functions that take it: it can be changed, used again or freed after the call.
pub struct mq_config {
    pub(crate) config: Config,
    /// What was lent, until the next change.
    lent: Mutex<Vec<CText>>,
}

/// The settings behind a pointer that may be NULL for "all defaults".
///
/// # Safety
/// `config` is NULL or points to live settings that nobody changes now.
pub(crate) unsafe fn config_or_default(config: *const mq_config) -> Config {
    // SAFETY: as the caller promises.
    unsafe { config.as_ref() }.map_or_else(Config::new, |config| config.config.clone())
}

/// Makes empty settings: everything has its default. Free them with `mq_config_free`.
#[unsafe(no_mangle)]
pub extern "C" fn mq_config_new() -> *mut mq_config {
    let config = mq_config { config: Config::new(), lent: Mutex::default() };
    Box::into_raw(Box::new(config))
}

/// Sets `key` to `value`; a later value replaces an earlier one. The key is checked at once, the value too.
///
/// Errors: `MQ_ERR_CONFIG` for an unknown key (the text names the nearest one) or a bad value, `MQ_ERR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_config_set(
    config: *mut mq_config,
    key: *const c_char,
    key_len: usize,
    value: *const c_char,
    value_len: usize,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for settings of one thread or NULL, and for texts with their lengths.
        let (config, key, value) = unsafe {
            (
                handle_mut(config, "config")?,
                text(key, key_len, "the key")?,
                text(value, value_len, "the value")?,
            )
        };
        config.config.set(key, value)?;
        config.lent.get_mut().unwrap_or_else(|poison| poison.into_inner()).clear();
        Ok(())
    })
}

/// The value that was set for `key` (or for an alias of it), or NULL when none was.
///
/// `len` (may be NULL) takes the length in bytes; a NUL follows. Valid until the settings are changed or freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_config_get(
    config: *const mq_config,
    key: *const c_char,
    key_len: usize,
    len: *mut usize,
) -> *const c_char {
    quiet(std::ptr::null(), || {
        // SAFETY: the header asks for live settings or NULL, a text with its length, and a length that can be written or NULL.
        unsafe {
            let (Some(config), Ok(key)) = (config.as_ref(), text(key, key_len, "the key")) else {
                return absent(len);
            };
            let Some(value) = config.config.get(key) else { return absent(len) };
            let value = CText::new(value);
            // The text's own bytes do not move when the list grows.
            let lent = value.lend(len);
            config.lent.lock().unwrap_or_else(|poison| poison.into_inner()).push(value);
            lent
        }
    })
}

/// Frees settings. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_config_free(config: *mut mq_config) {
    // SAFETY: the header asks for settings that the caller owns, or NULL.
    unsafe { free(config) };
}
