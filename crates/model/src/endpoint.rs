//! Endpoints: addresses in the one form in which they are stored and compared.

use std::fmt;

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumber, Region};

use crate::Medium;
use crate::known_numbers::Packed;

/// A normalised address: an E.164 number (`+12025550100`), a short code (`12345`), an alphanumeric sender id
/// (`ACME`), an email address, or WhatsApp's id of somebody who shows no number (`US.13491208655302741918`). `Debug`
/// shows no more than its ends: endpoints are personal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint(String);

impl Endpoint {
    /// An endpoint that was normalised before, as it comes out of the database.
    pub fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which participants are compared: an address of email in lower case.
    pub fn grouping_key(&self) -> String {
        if self.0.contains('@') { self.0.to_lowercase() } else { self.0.clone() }
    }

    pub fn into_string(self) -> String {
        self.0
    }

    pub fn is_e164(&self) -> bool {
        self.0.starts_with('+')
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoint(…)")
    }
}

/// Why a text is no endpoint. Its sentences name the rule, never the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("is empty")]
    Empty,
    #[error(
        "is not a phone number; write it with a plus and country code (E.164), e.g. +12025550100, \
         or set [addresses] default_region"
    )]
    NotAPhoneNumber,
    #[error("is an email address; this channel takes phone numbers")]
    EmailForPhone,
    #[error("is a phone number; this channel takes email addresses")]
    PhoneForEmail,
    #[error("is not an email address, e.g. ann@example.com")]
    NotAnEmailAddress,
    #[error("has the wrong number of digits for its country")]
    ImpossibleNumber,
    #[error("carries an extension, which messages cannot be sent to")]
    Extension,
    #[error("is not a country such as US or DE (ISO 3166-1 alpha-2)")]
    NotARegion,
}

impl EndpointError {
    /// The stable `code` of a validation error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "required",
            Self::NotAPhoneNumber | Self::ImpossibleNumber | Self::Extension => "invalid_phone_number",
            Self::EmailForPhone | Self::PhoneForEmail => "wrong_medium",
            Self::NotAnEmailAddress => "invalid_email_address",
            Self::NotARegion => "invalid_region",
        }
    }
}

/// How texts become endpoints. Configuration section `[addresses]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addressing {
    default_region: Option<Region>,
}

const EMAIL_BYTES_MAX: usize = 254;
const EMAIL_LOCAL_BYTES_MAX: usize = 64;
const PHONE_TEXT_BYTES_MAX: usize = 64;

impl Endpoint {
    /// The country of a number (ISO 3166-1 alpha-2), where its numbering plan tells.
    pub fn country(&self) -> Option<String> {
        let number = PhoneNumber::parse(self.as_str(), None).ok().filter(|_| self.is_e164())?;
        PHONE_NUMBER_UTIL.get_region_for_number(&number).map(|region| region.to_string())
    }
}

impl Addressing {
    /// Numbers without a plus are taken as dialled in this country (ISO 3166-1 alpha-2). Without one, only
    /// international numbers are understood.
    ///
    /// # Errors
    /// [`EndpointError::NotARegion`] where the text names no country.
    pub fn with_default_region(region: &str) -> Result<Self, EndpointError> {
        let region: Region = region.to_ascii_uppercase().parse().map_err(|_| EndpointError::NotARegion)?;
        let has_numbers = PHONE_NUMBER_UTIL.get_country_code_for_region(region).is_some();
        if has_numbers { Ok(Self { default_region: Some(region) }) } else { Err(EndpointError::NotARegion) }
    }

    /// Who a message goes to: a phone number, an email address, or on WhatsApp also a user's id.
    ///
    /// # Errors
    /// An [`EndpointError`] that says what is wrong with it.
    pub fn recipient(&self, medium: Medium, text: &str) -> Result<Endpoint, EndpointError> {
        match medium {
            Medium::Phone => self.phone_number(text),
            Medium::Whatsapp if is_whatsapp_user_id(text.trim()) => Ok(Endpoint(text.trim().to_owned())),
            Medium::Whatsapp => self.phone_number(text),
            Medium::Email => email_address(text),
        }
    }

    /// Who a message comes from: a recipient's forms, or on the phone also a short code (3 to 8 digits) or an alphanumeric sender id (up to 11 characters with a letter among them).
    ///
    /// # Errors
    /// An [`EndpointError`] that says what is wrong with it.
    pub fn sender(&self, medium: Medium, text: &str) -> Result<Endpoint, EndpointError> {
        let trimmed = text.trim();
        if medium == Medium::Phone && (is_short_code(trimmed) || is_alphanumeric_sender_id(trimmed)) {
            return Ok(Endpoint(trimmed.to_owned()));
        }
        self.recipient(medium, text)
    }

    /// Either end of a message that came in: a sender's forms. On WhatsApp also what looks like an E.164 number only:
    /// its accounts outlive numbering plans (Mexico's older ones keep a digit that calls no longer have), and a message
    /// that is there must not be refused for the address that WhatsApp itself gives it.
    ///
    /// # Errors
    /// An [`EndpointError`] that says what is wrong with it.
    pub fn received(&self, medium: Medium, text: &str) -> Result<Endpoint, EndpointError> {
        let end = self.sender(medium, text);
        match end {
            Err(_) if medium == Medium::Whatsapp && is_e164_form(text) => Ok(Endpoint(text.to_owned())),
            end => end,
        }
    }

    /// A *possible* number is taken, not only a valid one: numbering plans change faster than metadata.
    fn phone_number(&self, text: &str) -> Result<Endpoint, EndpointError> {
        let text = text.trim();
        // Whatever the region: after a plus it has no part in the result.
        let packed = Packed::of(text);
        if packed.is_some_and(Packed::is_known) {
            return Ok(Endpoint(text.to_owned()));
        }
        if text.is_empty() {
            return Err(EndpointError::Empty);
        }
        if text.contains('@') {
            return Err(EndpointError::EmailForPhone);
        }
        // The reference parser finds numbers inside prose and reads letters as keypad digits. An address field
        // that holds either is a mistake, and guessing would text a stranger.
        if !is_written_as_number(text) {
            return Err(EndpointError::NotAPhoneNumber);
        }
        let number =
            PhoneNumber::parse(text, self.default_region).map_err(|_| EndpointError::NotAPhoneNumber)?;
        if number.extension.is_some() {
            return Err(EndpointError::Extension);
        }
        number.is_possible_with_reason().map_err(|_| EndpointError::ImpossibleNumber)?;
        let e164 = number.to_string();
        if let Some(packed) = packed.filter(|_| e164 == text) {
            packed.remember();
        }
        Ok(Endpoint(e164))
    }
}

fn is_written_as_number(text: &str) -> bool {
    text.len() <= PHONE_TEXT_BYTES_MAX
        && text.chars().any(|c| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}'))
}

fn is_e164_form(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (5..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

/// A business-scoped user id: a country, a dot and up to 128 letters and digits, which may have a word and another
/// dot before them (https://developers.facebook.com/documentation/business-messaging/whatsapp/business-scoped-user-ids).
fn is_whatsapp_user_id(text: &str) -> bool {
    let Some((country, id)) = text.split_once('.') else { return false };
    country.len() == 2
        && country.bytes().all(|b| b.is_ascii_uppercase())
        && (1..=135).contains(&id.len())
        && id.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn is_short_code(text: &str) -> bool {
    (3..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_alphanumeric_sender_id(text: &str) -> bool {
    (1..=11).contains(&text.len())
        && text.bytes().any(|b| b.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'-' | b'_' | b'&' | b'+' | b'.'))
}

/// RFC 5321 section 4.1.2 without quoted local parts, address literals and comments; RFC 6531 lets both sides be
/// Unicode. The domain is lower-cased, the local part kept as it was written: it is the receiving host's.
fn email_address(text: &str) -> Result<Endpoint, EndpointError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(EndpointError::Empty);
    }
    if is_written_as_number(text) {
        return Err(EndpointError::PhoneForEmail);
    }
    let wrong = Err(EndpointError::NotAnEmailAddress);
    let Some((local, domain)) = text.rsplit_once('@') else { return wrong };
    let domain = domain.to_lowercase();
    let local_fits = !local.is_empty()
        && local.len() <= EMAIL_LOCAL_BYTES_MAX
        && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom_char));
    let label_fits = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c == '-' || c.is_alphanumeric())
    };
    let domain_fits = domain.contains('.') && domain.split('.').all(label_fits);
    // In lower case it may be longer than as it was written.
    let is_long = local.len() + 1 + domain.len() > EMAIL_BYTES_MAX;
    if !local_fits || !domain_fits || is_long {
        return wrong;
    }
    Ok(Endpoint(format!("{local}@{domain}")))
}

fn is_atom_char(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(c)
        || (!c.is_ascii() && !c.is_control() && !c.is_whitespace())
}

#[cfg(test)]
mod tests;
