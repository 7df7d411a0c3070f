use super::*;

fn us() -> Addressing {
    Addressing::with_default_region("us").unwrap()
}

#[test]
fn phone_numbers_become_e164() {
    for (text, e164) in [
        ("+1 (202) 555-0100", "+12025550100"),
        (" +12025550100 ", "+12025550100"),
        ("+49 30 1234567", "+49301234567"),
        ("(202) 555-0100", "+12025550100"),
    ] {
        assert_eq!(us().recipient(Medium::Phone, text).unwrap().as_str(), e164, "{text}");
    }
}

#[test]
fn a_number_is_understood_the_same_each_time_and_wherever_it_is_read() {
    for (text, e164) in [
        ("+12025550123", "+12025550123"),
        ("+390236618300", "+390236618300"),
        ("+4403012345678", "+443012345678"),
    ] {
        for _ in 0..2 {
            for addressing in [us(), Addressing::default()] {
                assert_eq!(addressing.recipient(Medium::Phone, text).unwrap().as_str(), e164, "{text}");
            }
        }
    }
    assert_eq!(us().recipient(Medium::Phone, "+1202555012"), Err(EndpointError::ImpossibleNumber));
    assert_eq!(us().recipient(Medium::Email, "+12025550123"), Err(EndpointError::PhoneForEmail));
}

#[test]
fn a_national_number_without_a_region_is_refused_with_advice() {
    let error = Addressing::default().recipient(Medium::Phone, "2025550100").unwrap_err();
    assert_eq!(error, EndpointError::NotAPhoneNumber);
    assert!(error.to_string().contains("default_region"));
}

#[test]
fn what_is_no_number_is_refused() {
    use EndpointError::*;
    for (text, error) in [
        ("", Empty),
        ("  ", Empty),
        ("hello", NotAPhoneNumber),
        ("ann@example.com", EmailForPhone),
        ("+1202555010", ImpossibleNumber),
        ("+1202555010000000", ImpossibleNumber),
        ("1-800-FLOWERS", NotAPhoneNumber),
        ("+12025550100 ext. 5", NotAPhoneNumber),
        ("+1202\u{0}5550100", NotAPhoneNumber),
        ("+999123456", NotAPhoneNumber),
    ] {
        assert_eq!(us().recipient(Medium::Phone, text), Err(error), "{text:?}");
    }
}

#[test]
fn short_codes_and_alphanumeric_ids_are_senders_only() {
    for text in ["12345", "ACME", "My Shop 24"] {
        assert_eq!(us().sender(Medium::Phone, text).unwrap().as_str(), text);
        assert!(us().recipient(Medium::Phone, text).is_err(), "{text}");
    }
    assert!(us().sender(Medium::Phone, "twelve chars").is_err());
}

#[test]
fn an_email_keeps_its_local_part_and_lower_cases_its_domain() {
    let endpoint = us().recipient(Medium::Email, " Ann.O'Neil+x@Example.COM ").unwrap();
    assert_eq!(endpoint.as_str(), "Ann.O'Neil+x@example.com");
    assert_eq!(endpoint.grouping_key(), "ann.o'neil+x@example.com");
    assert!(us().recipient(Medium::Email, "用户@例え.jp").is_ok());
}

#[test]
fn what_is_no_email_address_is_refused() {
    for text in [
        "ann",
        "@example.com",
        "ann@",
        "ann@host",
        "a b@example.com",
        "ann@exa mple.com",
        ".ann@example.com",
        "ann..b@example.com",
        "ann@-x.com",
        "ann@x..com",
        "+-()",
        "+12025550100 x",
        "ann@example.com\r\nBcc: x@y.z",
        "a\u{0}@example.com",
        "Ann <ann@example.com>",
    ] {
        let result = us().recipient(Medium::Email, text);
        assert_eq!(result, Err(EndpointError::NotAnEmailAddress), "{text:?}");
    }
    assert!(us().recipient(Medium::Email, &format!("{}@example.com", "a".repeat(65))).is_err());
}

#[test]
fn a_phone_number_where_an_email_address_is_asked_for_is_of_the_wrong_medium() {
    for text in ["+12025550100", " (202) 555-0100 ", "12345"] {
        for error in [us().recipient(Medium::Email, text), us().sender(Medium::Email, text)] {
            assert_eq!(error, Err(EndpointError::PhoneForEmail), "{text}");
        }
    }
    assert_eq!(EndpointError::PhoneForEmail.code(), EndpointError::EmailForPhone.code());
}

#[test]
fn whatsapp_takes_numbers_and_ids_of_users_who_show_none() {
    let e164 = us().recipient(Medium::Whatsapp, "(202) 555-0100").unwrap();
    assert_eq!(e164.as_str(), "+12025550100");
    for id in ["US.13491208655302741918", "US.ENT.11815799212886844830"] {
        assert_eq!(us().recipient(Medium::Whatsapp, id).unwrap().as_str(), id);
        assert!(us().recipient(Medium::Phone, id).is_err());
    }
    for text in ["12345", "ACME", "us.1", "US.", "US..1", "US.1 2", "USA.1", "whatsapp:+12025550100"] {
        assert!(us().sender(Medium::Whatsapp, text).is_err(), "{text}");
        assert!(us().received(Medium::Whatsapp, text).is_err(), "{text}");
    }
}

#[test]
fn a_number_that_no_numbering_plan_has_is_taken_from_whatsapp_only() {
    assert!(us().recipient(Medium::Whatsapp, "+999123456").is_err());
    assert_eq!(us().received(Medium::Whatsapp, "+999123456").unwrap().as_str(), "+999123456");
    assert_eq!(us().received(Medium::Whatsapp, "+12025550100").unwrap().as_str(), "+12025550100");
    assert_eq!(us().received(Medium::Phone, "12345").unwrap().as_str(), "12345");
    for text in ["+1234567890123456", "+0123456", "+12a4567", "999123456"] {
        assert!(us().received(Medium::Whatsapp, text).is_err(), "{text}");
    }
    assert!(us().received(Medium::Phone, "+999123456").is_err());
}

#[test]
fn debug_output_hides_the_address() {
    let endpoint = us().recipient(Medium::Phone, "+12025550100").unwrap();
    assert!(!format!("{endpoint:?}").contains("0100"));
}
