//! Requests that brokers send to this client.

use std::sync::Arc;

use mq_protocol::header::{ConsumerGroupRequest, ConsumerStatusRequest, ResetOffsetRequest};
use mq_protocol::{Frame, RequestCode, ResponseCode};

use super::{Inner, Member};
use crate::remoting::{Connection, Inbound};
use crate::{Error, ErrorCode};

impl Inbound for Inner {
    fn request(&self, frame: Frame, from: &Arc<Connection>) {
        match self.answer(&frame, from) {
            Ok(Some(answer)) if !frame.is_oneway() => from.reply(&answer),
            Ok(_) => {}
            Err(error) if frame.is_oneway() => {
                tracing::debug!(code = %frame.request_code(), %error, "request of a broker ignored");
            }
            Err(error) => {
                let answer = Frame::response(&frame, ResponseCode::SYSTEM_ERROR);
                from.reply(&answer.with_remark(error.to_string()));
            }
        }
    }

    fn connected(&self, address: &Arc<str>) {
        tracing::info!(address = &**address, "connected");
        if let Some(main) = self.routes.main_address(address) {
            self.connected.lock().insert(main);
            self.changed.notify_one();
        }
    }
}

impl Inner {
    /// The answer, or `None` if there is none or it comes later.
    fn answer(&self, frame: &Frame, from: &Arc<Connection>) -> Result<Option<Frame>, Error> {
        let ok = |body: String| Some(Frame::response(frame, ResponseCode::SUCCESS).with_body(body));
        match frame.request_code() {
            RequestCode::NOTIFY_CONSUMER_IDS_CHANGED => {
                let header: ConsumerGroupRequest<'_> = frame.header()?;
                self.consumer(header.consumer_group)?.members_changed();
                Ok(None)
            }
            RequestCode::RESET_CONSUMER_CLIENT_OFFSET => {
                let header: ResetOffsetRequest<'_> = frame.header()?;
                self.consumer(header.group)?.reset_offsets(&frame.body);
                Ok(None)
            }
            RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT => {
                let header: ConsumerStatusRequest<'_> = frame.header()?;
                self.consumer(header.group)?.status_body(header.topic).map(ok)
            }
            RequestCode::GET_CONSUMER_RUNNING_INFO => {
                let header: ConsumerGroupRequest<'_> = frame.header()?;
                let stacks =
                    frame.ext.get("jstackEnable").is_some_and(|text| text.eq_ignore_ascii_case("true"));
                self.consumer(header.consumer_group)?.running_info_body(stacks).map(ok)
            }
            RequestCode::CONSUME_MESSAGE_DIRECTLY => {
                let header: ConsumerGroupRequest<'_> = frame.header()?;
                self.consumer(header.consumer_group)?.consume_directly(frame.clone(), from.clone())?;
                Ok(None)
            }
            code => {
                let answer = Frame::response(frame, ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
                Ok(Some(answer.with_remark(format!("request type {code} not supported"))))
            }
        }
    }

    fn consumer(&self, group: &str) -> Result<Member, Error> {
        self.consumers.lock().get(group).cloned().ok_or_else(|| {
            Error::new(ErrorCode::NotFound, format!("this client has no consumer of group '{group}'"))
        })
    }
}
