use super::*;
use alloc::vec;
use proptest::prelude::*;

/// I-Am of device 599, maker 999, longest APDU 1,024, no pieces.
const I_AM: &[u8] = &[
    0x81, 0x0A, 0x00, 0x15, 0x01, 0x00, 0x10, 0x00, 0xC4, 0x02, 0x00, 0x02, 0x57, 0x22, 0x04, 0x00, 0x91, 0x03, 0x22,
    0x03, 0xE7,
];

fn framed(apdu: &[u8]) -> Vec<u8> {
    let length = (apdu.len() + 6) as u16;
    [&[0x81, 0x0A][..], &length.to_be_bytes(), &[1, 0], apdu].concat()
}

/// Clause 20 spelled out: the reply to `invoke` for `property` of device 599.
fn told(invoke: u8, property: u8, value: &[u8]) -> Vec<u8> {
    framed(&[&[0x30, invoke, 0x0C, 0x0C, 2, 0, 2, 0x57, 0x19, property, 0x3E][..], value, &[0x3F]].concat())
}

#[test]
fn questions_are_the_bytes_of_the_standard() {
    let mut talk = Talk::new();
    assert_eq!(talk.question().unwrap(), [0x81, 0x0A, 0, 8, 1, 0, 0x10, 8]);
    talk.hear(I_AM).unwrap();
    let question = [0x81, 0x0A, 0, 17, 1, 4, 0, 5, 2, 12, 0x0C, 2, 0, 2, 0x57, 0x19, 77];
    assert_eq!(talk.question().unwrap(), question);
}

#[test]
fn a_device_tells_its_names_one_after_the_other() {
    let mut talk = Talk::new();
    talk.hear(I_AM).unwrap();
    talk.hear(&told(2, 77, &[0x74, 0, b'A', b'H', b'1'])).unwrap();
    talk.hear(&told(3, 121, &[0x75, 8, 5, b'S', b'i', b'e', b'm', 0xE9, b'n', b's'])).unwrap();
    talk.hear(&told(4, 70, &[0x75, 5, 4, 0, b'P', 0, b'X'])).unwrap();
    // It has no firmware revision, and says so.
    talk.hear(&framed(&[0x50, 5, 0x0C, 0x91, 2, 0x91, 32])).unwrap();
    assert_eq!(talk.question(), None);
    let device = talk.finish().unwrap();
    assert_eq!((device.instance, device.vendor), (599, Some(999)));
    assert_eq!((device.name.as_deref(), device.vendor_name.as_deref()), (Some("AH1"), Some("Sieméns")));
    assert_eq!((device.model.as_deref(), device.firmware), (Some("PX"), None));
}

#[test]
fn a_device_that_says_i_am_to_others_only_is_asked_for_its_number() {
    let mut talk = Talk::new();
    talk.silent();
    assert_eq!(talk.question().unwrap()[9..], [12, 0x0C, 0x02, 0x3F, 0xFF, 0xFF, 0x19, 75]);
    talk.hear(&told(2, 75, &[0xC4, 2, 0, 2, 0x57])).unwrap();
    assert_eq!(talk.question().unwrap()[10..15], [0x0C, 2, 0, 2, 0x57]);
    assert_eq!(talk.finish().map(|device| device.instance), Some(599));
}

#[test]
fn a_silent_address_is_asked_twice_and_a_device_four_times_more() {
    let mut talk = Talk::new();
    let mut asked = 0;
    while talk.question().is_some() {
        talk.silent();
        asked += 1;
    }
    assert_eq!((asked, talk.finish()), (2, None));
    let mut talk = Talk::new();
    talk.hear(I_AM).unwrap();
    let mut asked = 0;
    while talk.question().is_some() {
        talk.silent();
        asked += 1;
    }
    assert_eq!((asked, talk.finish().map(|device| device.instance)), (4, Some(599)));
}

#[test]
fn what_answers_another_question_is_refused() {
    let mut talk = Talk::new();
    assert_eq!(talk.hear(&told(1, 77, &[0x71, 0])), Err(NoAnswer::Unasked));
    talk.hear(I_AM).unwrap();
    assert_eq!(talk.hear(&told(9, 77, &[0x72, 0, b'A'])), Err(NoAnswer::Unasked));
    assert_eq!(talk.hear(&told(2, 78, &[0x72, 0, b'A'])), Err(NoAnswer::Unasked));
    assert_eq!(talk.hear(I_AM), Err(NoAnswer::Unasked));
    let mut routed = I_AM.to_vec();
    routed[5] = 0x08;
    assert_eq!(Talk::new().hear(&routed), Err(NoAnswer::Routed));
    for cut in 0..I_AM.len() {
        assert!(Talk::new().hear(&I_AM[..cut]).is_err(), "{cut}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(apdu in proptest::collection::vec(any::<u8>(), 0..80), value in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = Talk::new().hear(&apdu);
        let _ = Talk::new().hear(&framed(&apdu));
        let mut talk = Talk::new();
        talk.hear(I_AM).unwrap();
        let _ = talk.clone().hear(&framed(&apdu));
        for bytes in [value.clone(), [vec![0x75, value.len() as u8], value].concat()] {
            let mut talk = talk.clone();
            if talk.hear(&told(2, 77, &bytes)).is_ok() {
                prop_assert!(talk.finish().unwrap().name.is_none_or(|name| name.len() <= 64));
            }
        }
    }
}
