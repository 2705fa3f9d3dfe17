use super::*;
use proptest::prelude::*;

/// What the enip_server of cpppo 5.2.5 answered to the context `waysideX`.
const LOGIX: &[u8] = &[
    0x63, 0x00, 0x3C, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x77, 0x61, 0x79, 0x73, 0x69, 0x64, 0x65,
    0x58, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x0C, 0x00, 0x36, 0x00, 0x01, 0x00, 0x00, 0x02, 0xAF, 0x12, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x0E, 0x00, 0x36, 0x00, 0x14, 0x0B, 0x60,
    0x31, 0x1A, 0x06, 0x6C, 0x00, 0x14, 0x31, 0x37, 0x35, 0x36, 0x2D, 0x4C, 0x36, 0x31, 0x2F, 0x42, 0x20, 0x4C, 0x4F,
    0x47, 0x49, 0x58, 0x35, 0x35, 0x36, 0x31, 0xFF,
];
const CONTEXT: [u8; 8] = *b"waysideX";

#[test]
fn the_question_is_the_bytes_of_the_standard() {
    let talk = Talk::new(*b"abcdef");
    let question = talk.question().unwrap();
    assert_eq!(question[..12], [0x63, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(question[12..], [&[250, 0][..], b"abcdef", &[0; 4]].concat());
}

#[test]
fn a_logix_says_who_it_is() {
    let identity = Identity::read(LOGIX, CONTEXT).unwrap();
    assert_eq!((identity.vendor_name(), identity.product_type.as_str()), (Some("Rockwell Automation"), "plc"));
    assert_eq!((&*identity.name, &*identity.version()), ("1756-L61/B LOGIX5561", "20.11"));
    assert_eq!((&*identity.serial_number(), identity.product_code, identity.state), ("006c061a", 54, 255));
    assert_eq!(identity.address.port(), PORT);
}

#[test]
fn an_answer_cut_short_or_to_another_question_is_refused() {
    for cut in 0..LOGIX.len() {
        assert!(Identity::read(&LOGIX[..cut], CONTEXT).is_err(), "{cut}");
    }
    assert_eq!(Identity::read(LOGIX, *b"anotherX"), Err(NoIdentity::Unasked));
    let mut refused = LOGIX.to_vec();
    refused[8] = 1;
    assert_eq!(Identity::read(&refused, CONTEXT), Err(NoIdentity::Refused(1)));
    refused[0] = 0x64;
    assert_eq!(Identity::read(&refused, CONTEXT), Err(NoIdentity::Command(0x64)));
}

#[test]
fn a_device_without_a_state_is_one_all_the_same() {
    let mut bytes = LOGIX[..LOGIX.len() - 1].to_vec();
    bytes[2] -= 1;
    bytes[28] -= 1;
    assert_eq!(Identity::read(&bytes, CONTEXT).map(|identity| identity.state), Ok(255));
}

#[test]
fn a_silent_device_is_asked_twice_and_not_again() {
    let mut talk = Talk::new([0; 6]);
    for _ in 0..2 {
        assert!(talk.question().is_some());
        talk.silent();
    }
    assert_eq!((talk.question(), talk.finish()), (None, None));
}

proptest! {
    #[test]
    fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), at in 24..LOGIX.len(), to: u8) {
        let _ = Identity::read(&bytes, CONTEXT);
        // And behind a sound header.
        bytes.splice(..0, LOGIX[..24].iter().copied());
        let length = (bytes.len() - 24) as u16;
        bytes[2..4].copy_from_slice(&length.to_le_bytes());
        let _ = Identity::read(&bytes, CONTEXT);
        // And with one byte changed.
        let mut changed = LOGIX.to_vec();
        changed[at] = to;
        if let Ok(identity) = Identity::read(&changed, CONTEXT) {
            prop_assert!(identity.name.len() <= 32);
        }
    }
}
