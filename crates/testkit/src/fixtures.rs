//! Messages for tests that do not care what is in them.

use jiff::Timestamp;
use model::{Addressing, Channel, Direction, IdGenerator, NewMessage, Participants, Priority};

/// Checked messages with ids of their own.
#[derive(Debug)]
pub struct Fixtures {
    pub ids: IdGenerator,
    pub now: Timestamp,
}

impl Fixtures {
    /// Ids begin at the system's time: partitions exist around it.
    ///
    /// # Panics
    /// When the system has no randomness.
    #[expect(clippy::disallowed_methods, reason = "partitions exist around the system's time")]
    pub fn new() -> Self {
        Self { ids: IdGenerator::from_entropy().expect("randomness"), now: Timestamp::now() }
    }

    /// A text message between two numbers, which end in these four digits.
    pub fn sms(&self, from: u16, to: u16) -> NewMessage {
        self.message(Channel::Sms, Direction::Outbound, &phone(from), &phone(to))
    }

    /// A text message that came in.
    pub fn inbound_sms(&self, from: u16, to: u16) -> NewMessage {
        self.message(Channel::Sms, Direction::Inbound, &phone(from), &phone(to))
    }

    pub fn email(&self, from: &str, to: &str) -> NewMessage {
        self.message(Channel::Email, Direction::Outbound, from, to)
    }

    pub fn whatsapp(&self, from: u16, to: u16) -> NewMessage {
        self.message(Channel::Whatsapp, Direction::Outbound, &phone(from), &phone(to))
    }

    fn message(&self, channel: Channel, direction: Direction, from: &str, to: &str) -> NewMessage {
        let address =
            |text: &str| Addressing::default().recipient(channel.medium(), text).expect("an address");
        let (source, target) = (address(from), address(to));
        let participants = Participants::between(channel.medium(), &source, &target);
        NewMessage {
            id: self.ids.next(self.now, participants.bucket()),
            participants,
            channel,
            direction,
            source,
            target,
            subject: (channel == Channel::Email).then(|| "Subject".to_owned()),
            body: "Hello".to_owned(),
            attachments: Vec::new(),
            metadata: serde_json::Map::new(),
            priority: Priority::Normal,
            timestamp: None,
            send_at: None,
            expires_at: None,
        }
    }
}

impl Default for Fixtures {
    fn default() -> Self {
        Self::new()
    }
}

/// `+1202555` and four digits.
pub fn phone(number: u16) -> String {
    format!("+1202555{number:04}")
}
