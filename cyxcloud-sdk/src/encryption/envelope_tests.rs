//! Tests of the envelope: its format, its cipher, and that nothing in it can be changed.

use proptest::prelude::*;

use super::*;

/// NIST CAVP, gcmEncryptExtIV256.rsp: key, nonce, associated data, plaintext, ciphertext, tag.
const NIST: [[&str; 6]; 7] = [
    [
        "b52c505a37d78eda5dd34f20c22540ea1b58963cf8e5bf8ffa85f9f2492505b4",
        "516c33929df5a3284ff463d7",
        "",
        "",
        "",
        "bdc1ac884d332457a1d2664f168c76f0",
    ],
    [
        "78dc4e0aaf52d935c3c01eea57428f00ca1fd475f5da86a49c8dd73d68c8e223",
        "d79cf22d504cc793c3fb6c8a",
        "b96baa8c1c75a671bfb2d08d06be5f36",
        "",
        "",
        "3e5d486aa2e30b22e040b85723a06e76",
    ],
    [
        "31bdadd96698c204aa9ce1448ea94ae1fb4a9a0b3c9d773b51bb1822666b8f22",
        "0d18e06c7c725ac9e362e1ce",
        "",
        "2db5168e932556f8089a0622981d017d",
        "fa4362189661d163fcd6a56d8bf0405a",
        "d636ac1bbedd5cc3ee727dc2ab4a9489",
    ],
    [
        "92e11dcdaa866f5ce790fd24501f92509aacf4cb8b1339d50c9c1240935dd08b",
        "ac93a1a6145299bde902f21a",
        "1e0889016f67601c8ebea4943bc23ad6",
        "2d71bcfa914e4ac045b2aa60955fad24",
        "8995ae2e6df3dbf96fac7b7137bae67f",
        "eca5aa77d51d4a0a14d9c51e1da474ab",
    ],
    [
        "82c4f12eeec3b2d3d157b0f992d292b237478d2cecc1d5f161389b97f999057a",
        "7b40b20f5f397177990ef2d1",
        "",
        "982a296ee1cd7086afad976945",
        "ec8e05a0471d6b43a59ca5335f",
        "113ddeafc62373cac2f5951bb9165249",
    ],
    [
        "56552f0cef34673a4c958ff55ad0b32c6ababa06cb3ae90178ab1c9a1f29c0e5",
        "b34d24935407e8592247ffff",
        "b199437da189486a8fd1c2fa1fe3ebbb116f0ef41415bb7c8065272fb0b2fe8edca9cd0d4255d467e77f2834be557474",
        "dbd6cc358b28ab66a69f5238d4",
        "76dc8d035e5ca4001e4e3fcb18",
        "49c01f735da1131cd42b01b746fd38de",
    ],
    [
        "6be7f4d18ff0fbdd9b3b3cacaba4629a0c617387079add62f6ce1584b33faad1",
        "fda568c9cb13d9c176bcef03",
        "11ebeb97dd4a9925c1fbe2b9af77392058d2d971e42db15da39f090d7bc132573c34bf7d92a2d72dc66ee6840c3ff07985b8976ee8d8f36bf47ae330b899fdc60652dd5a23c45f3680f11951f019e0697c8acfcaa95f01b9c7dd",
        "4df668e99d5068604a48bcca5baa8245435928558a83d68d7b0b081861224e9bd39ea8f2d55a635949e66c6f6a7ff5cc34dd94",
        "488b40ad594e1845ccdd9e9467fc5e1afbbfde34e57d45bfcd30b61cc326d57fe8e3f31a39cdebf00f60bbd2c3cdf69f756eff",
        "3bf3fbab9b48486fd08a5552604df639",
    ],
];

/// What another program makes of the description in `envelope.rs` (Python's `cryptography`).
const FILE_GOLDEN: &str =
    "AQAoPKe4NnnqcpMgEB0m2pqxYGFiY2RlZmdoaWprbG1ubwAAQABwcXJzdHV2d3h5ens3ppgEl+y6E2wDHPn9bZ/4nQb3vjCueo2dtwN/eIooAcnbE9eKFc6SVuyayp0E4M0=";
const PASSWORD_GOLDEN: &str = "AQEoPKe4NnnqcpMgEB0m2pqxYGFiY2RlZmdoaWprbG1ubwAAQAAAAAEAAwAAAAQAAACQkZKTlJWWl5iZmpucnZ6fcHFyc3R1dnd4eXp7N6aYBJfsuhNsAxz5/W2f+J0G974wrnqNnbcDf3iKKAGaEoV4ueatdXBL/UbgG/Qj";

const NAME: ObjectName<'_> = ObjectName { bucket: "photos", key: "2026/cat.jpg" };

fn numbered<const N: usize>(from: u8) -> [u8; N] {
    std::array::from_fn(|i| from + i as u8)
}

fn kek() -> Kek {
    Kek::new(Zeroizing::new(numbered(0)))
}

fn password() -> Origin {
    Origin::Password { cost: PasswordCost::DEFAULT, salt: numbered(0x90) }
}

fn header(origin: Origin) -> Header {
    Header { origin, key_id: kek().id, seal_id: numbered(0x60), chunk_size_bytes: 4 << 20 }
}

fn envelope(origin: Origin) -> Envelope {
    Envelope::wrap_with(header(origin), &kek(), &DataKey::new(numbered(0x20)), NAME, numbered(0x70))
}

#[test]
fn the_vectors_of_nist() {
    for vector in NIST {
        let [key, nonce, aad, text, cipher, tag] = vector.map(|digits| hex::decode(digits).unwrap());
        let mut bytes = text;
        let made = encrypt(&key.try_into().unwrap(), nonce.try_into().unwrap(), &aad, &mut bytes);
        assert_eq!((bytes, made.to_vec()), (cipher, tag));
    }
}

#[test]
fn golden() {
    for (origin, golden) in [(Origin::File, FILE_GOLDEN), (password(), PASSWORD_GOLDEN)] {
        let envelope = envelope(origin);
        assert_eq!(envelope.text(), golden);
        assert_eq!(Envelope::parse(golden).unwrap(), envelope);
        assert_eq!(*envelope.unwrap(&kek(), NAME).unwrap(), numbered(0x20));
    }
}

#[test]
fn every_bit_counts() {
    for origin in [Origin::File, password()] {
        let good = BASE64.decode(envelope(origin).text()).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let opened = Envelope::parse(&BASE64.encode(&bad)).and_then(|envelope| envelope.unwrap(&kek(), NAME));
            assert!(opened.is_err(), "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(Envelope::parse(&BASE64.encode(&good[..len])).is_err(), "cut to {len}");
        }
        assert!(Envelope::parse(&BASE64.encode([&good[..], &[0]].concat())).is_err());
    }
}

#[test]
fn a_key_opens_under_its_own_name_only() {
    let envelope = envelope(Origin::File);
    // The last: the same letters, cut elsewhere.
    for (bucket, key) in [("photos", "2026/dog.jpg"), ("films", "2026/cat.jpg"), ("photos2", "026/cat.jpg")] {
        let refused = envelope.unwrap(&kek(), ObjectName { bucket, key }).unwrap_err();
        assert_eq!(refused.kind(), cyxcloud_core::ErrorKind::Corrupt);
    }
}

#[test]
fn nothing_is_wrapped_alike_twice() {
    let wrap = || Envelope::wrap(header(Origin::File), &kek(), &DataKey::new(numbered(0x20)), NAME).unwrap();
    let (one, other) = (wrap(), wrap());
    assert!(one.nonce != other.nonce && one.wrapped != other.wrapped);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), right: bool, kind in 0u8..3) {
        if right && bytes.len() > 38 {
            bytes[0] = VERSION;
            bytes[1] = kind;
            bytes[34..38].copy_from_slice(&(1u32 << 20).to_le_bytes());
        }
        if let Ok(envelope) = Envelope::parse(&BASE64.encode(&bytes)) {
            prop_assert_eq!(BASE64.decode(envelope.text()).unwrap(), bytes);
            prop_assert!(envelope.unwrap(&kek(), NAME).is_err());
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,300}") {
        prop_assert!(Envelope::parse(&text).is_err());
    }
}
