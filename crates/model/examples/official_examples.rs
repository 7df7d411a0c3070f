//! Prints `tests/corpus/official_examples.txt`: for every region and type of number the example that the official
//! metadata gives. Run it when that metadata is renewed, and look at the difference:
//! `cargo run -p model --example official_examples > crates/model/tests/corpus/official_examples.txt`

use std::collections::BTreeSet;

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, PhoneNumberType};

const TYPES: [(PhoneNumberType, &str); 10] = [
    (PhoneNumberType::FixedLine, "fixed_line"),
    (PhoneNumberType::Mobile, "mobile"),
    (PhoneNumberType::TollFree, "toll_free"),
    (PhoneNumberType::PremiumRate, "premium_rate"),
    (PhoneNumberType::SharedCost, "shared_cost"),
    (PhoneNumberType::PersonalNumber, "personal_number"),
    (PhoneNumberType::VoIP, "voip"),
    (PhoneNumberType::Pager, "pager"),
    (PhoneNumberType::UAN, "uan"),
    (PhoneNumberType::VoiceMail, "voicemail"),
];

fn line(region: &str, kind: &str, number: &PhoneNumber) -> String {
    let written = |format| number.format_as(format).into_owned();
    let forms = [PhoneNumberFormat::E164, PhoneNumberFormat::International, PhoneNumberFormat::National];
    format!("{region}\t{kind}\t{}", forms.map(written).join("\t"))
}

fn main() {
    let mut lines = BTreeSet::new();
    for region in PHONE_NUMBER_UTIL.get_supported_regions() {
        for (kind, name) in TYPES {
            if let Ok(number) = PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region, kind) {
                lines.insert(line(&region.to_string(), name, &number));
            }
        }
    }
    for code in PHONE_NUMBER_UTIL.get_supported_global_network_calling_codes() {
        if let Ok(number) = PHONE_NUMBER_UTIL.get_example_number_for_non_geo_entity(code) {
            lines.insert(line("001", "no_country", &number));
        }
    }
    println!("# region\ttype\tE.164\tinternational\tnational: written by `examples/official_examples.rs`");
    for line in lines {
        println!("{line}");
    }
}
