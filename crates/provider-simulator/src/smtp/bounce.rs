//! A delivery status notification (RFC 3464) about a mail that could not be delivered.

use jiff::Timestamp;

use crate::digest;
use crate::message::Accepted;

pub(super) fn source(message: &Accepted, code: &str, now: Timestamp) -> String {
    // A status of three numbers is an enhanced one; what has no dots is a reply.
    let (reply, status) = match code {
        "" => ("550", "5.1.1"),
        code if code.contains('.') => ("550", code),
        code => (code, "5.0.0"),
    };
    let id = digest::stable_uuid(&[super::NAME, &message.receipts_key(), "bounce"]).simple().to_string();
    let envelope_id = match message.field("envelope-id") {
        "" => String::new(),
        id => format!("Original-Envelope-Id: {id}\r\n"),
    };
    let to = &message.to;
    let return_path = message.field("return-path");
    let date = now.strftime("%a, %d %b %Y %H:%M:%S +0000");
    let subject = message.subject.as_deref().unwrap_or_default().replace(['\r', '\n'], " ");
    let original = format!(
        "From: {}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{}>\r\n",
        message.from,
        message.field("Message-ID")
    );
    let boundary = format!("=_{id}");
    format!(
        "Return-Path: <>\r\nDate: {date}\r\nFrom: MAILER-DAEMON@simulator.invalid\r\nTo: {return_path}\r\n\
         Subject: Undelivered Mail Returned to Sender\r\nAuto-Submitted: auto-replied\r\n\
         Message-ID: <{id}@simulator.invalid>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"{boundary}\"\r\n\r\n\
         --{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nThe mail could not be delivered.\r\n\
         --{boundary}\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; simulator.invalid\r\n{envelope_id}Arrival-Date: {date}\r\n\r\n\
         Final-Recipient: rfc822; {to}\r\nAction: failed\r\nStatus: {status}\r\n\
         Diagnostic-Code: smtp; {reply} {status} The recipient was refused by a scripted fault\r\n\r\n\
         --{boundary}\r\nContent-Type: text/rfc822-headers\r\n\r\n{original}\r\n--{boundary}--\r\n"
    )
}
