//! Errors of the core as JavaScript errors.

use mq_binding::{Error, ErrorCode};
use napi::bindgen_prelude::{Env, JsValue, Object};

/// A result of the core whose error is to be thrown.
pub(crate) trait Throw<T> {
    fn throw(self, env: Env) -> napi::Result<T>;
}

impl<T> Throw<T> for Result<T, Error> {
    fn throw(self, env: Env) -> napi::Result<T> {
        self.map_err(|error| thrown(&env, &error))
    }
}

/// An error of the core to be thrown: one that `lib/errors.js` makes an `MqError` of.
pub(crate) fn thrown(env: &Env, error: &Error) -> napi::Error {
    match object(env, error) {
        Ok(object) => napi::Error::from_unknown_without_coercion(object.to_unknown()),
        Err(failure) => failure,
    }
}

fn object<'env>(env: &'env Env, error: &Error) -> napi::Result<Object<'env>> {
    let mut object = env.create_error(napi::Error::from_reason(error.message()))?;
    object.set("mq", true)?;
    object.set("code", error.code().name())?;
    object.set("brokerCode", error.broker_code())?;
    object.set("retryable", error.retryable())?;
    object.set("throttled", error.throttled())?;
    object.set("fatal", error.fatal())?;
    Ok(object)
}

pub(crate) fn argument(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::Argument, message)
}
