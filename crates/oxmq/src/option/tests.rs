use std::collections::HashSet;

use super::*;

/// The ends of the option's range, and what lies just outside.
fn samples(spec: &OptionSpec) -> (Vec<OptionValue>, Vec<OptionValue>) {
    match (&spec.range, spec.default()) {
        (Range::Int(range), OptionValue::I32(_)) => {
            let i32s = |values: &[i64]| {
                let fit = values.iter().filter_map(|&value| i32::try_from(value).ok());
                fit.map(OptionValue::I32).collect()
            };
            let (start, end) = (*range.start(), *range.end());
            (i32s(&[start, end]), i32s(&[start - 1, end + 1, i64::from(i32::MIN)]))
        }
        (Range::Tenths(range), OptionValue::I32(_)) => {
            let (start, end) = (*range.start() as i32, *range.end() as i32);
            (
                vec![start.into(), (end - end % 100).into()],
                vec![(start - 1).into(), (end + 1).into()],
            )
        }
        (Range::Int(range), OptionValue::I64(_)) => (
            vec![(*range.start()).into(), (*range.end()).into()],
            range.start().checked_sub(1).into_iter().map(OptionValue::I64).collect(),
        ),
        (Range::Bool, OptionValue::Bool(_)) => (vec![false.into(), true.into()], vec![]),
        (Range::Bytes, OptionValue::Bytes(_)) => (vec![vec![].into(), vec![0; 300].into()], vec![]),
        (Range::Credential, OptionValue::Bytes(_)) => {
            (vec![vec![].into(), vec![0; 255].into()], vec![vec![1; 256].into()])
        }
        (Range::Key, OptionValue::Bytes(_)) => (
            vec![vec![0; 32].into(), vec![255; 32].into()],
            vec![vec![].into(), vec![1; 31].into(), vec![1; 33].into()],
        ),
        (Range::RoutingId, OptionValue::Bytes(_)) => (
            vec![vec![].into(), b"\x01\0".to_vec().into(), vec![7; 255].into()],
            vec![b"\0".to_vec().into(), b"\0a".to_vec().into(), vec![7; 256].into()],
        ),
        (Range::Text(max), OptionValue::Text(_)) => (
            vec![String::new().into(), "x".repeat(*max).into()],
            vec!["x".repeat(max + 1).into(), String::from("a\0").into()],
        ),
        (Range::Networks, OptionValue::Text(_)) => (
            vec![String::new().into(), String::from("10.0.0.0/8, ::1").into()],
            vec![String::from("10.0.0.0/33").into(), String::from("x").into()],
        ),
        (Range::Properties, OptionValue::Text(_)) => (
            vec![String::new().into(), String::from("X-a:1\nX-b:\nX-c:a:b").into()],
            ["a:1", "X-:1", "X-a", "X-a:1\nx-a:2", "X-a:1\nX-A:2", "X-a:1\n\n", ":"]
                .map(|text| String::from(text).into())
                .into(),
        ),
        (Range::Numbers, OptionValue::Text(_)) => (
            vec![String::new().into(), String::from("0,4294967295").into()],
            vec![String::from("4294967296").into(), String::from("root").into()],
        ),
        (Range::ReadOnly, default) => (vec![], vec![default]),
        (range, default) => panic!("{spec:?}: {default:?} in {range:?}"),
    }
}

#[test]
fn names_and_ids_are_unique() {
    let ids: HashSet<i32> = TABLE.iter().map(|spec| spec.id).collect();
    let names: HashSet<&str> = TABLE.iter().map(|spec| spec.name).collect();
    assert_eq!((ids.len(), names.len()), (TABLE.len(), TABLE.len()));
    for spec in TABLE {
        assert_eq!(OptionSpec::with_id(spec.id), Some(*spec));
        assert_eq!(OptionSpec::with_name(spec.name), Some(*spec));
    }
    assert_eq!(OptionSpec::with_id(-1), None);
}

#[test]
fn docs_give_meaning_unit_and_default() {
    for spec in TABLE {
        let (meaning, rest) = spec.doc.split_once("\n\n Default: ").expect(spec.name);
        assert!(meaning.len() > 40, "{spec:?}");
        let default = match spec.default() {
            OptionValue::Bytes(bytes) if bytes.is_empty() => "empty".to_owned(),
            OptionValue::Bytes(key) if key == [0; KEY_BYTES] => "zeros".to_owned(),
            OptionValue::Text(text) if text.is_empty() => "empty".to_owned(),
            default => default.to_string(),
        };
        let end = rest.find(['.', ',', ';']).expect(spec.name);
        assert_eq!(rest[..end], default, "{spec:?}");
        assert_eq!(meaning.contains("Read only."), spec.range == Range::ReadOnly, "{spec:?}");
        if let Range::Int(_) = spec.range {
            let units = [
                "in messages",
                "in milliseconds",
                "in seconds",
                "in bytes",
                "in connections",
                "in probes",
                "as a number",
            ];
            let meaning = meaning.replace('\n', "");
            assert!(units.iter().any(|unit| meaning.contains(unit)), "{spec:?}");
        }
        assert!(spec.range == Range::ReadOnly || rest.len() > 40, "{spec:?}: the cost");
    }
}

#[test]
fn values_round_trip_and_stay_apart() {
    for spec in TABLE {
        for value in samples(spec).0 {
            let mut options = Options::default();
            options.set_value(spec, value.clone()).unwrap();
            assert_eq!((spec.get)(&options), value);
            let inverses = [IPV6.spec, IPV4ONLY.spec];
            for other in TABLE.iter().filter(|other| *other != spec) {
                if inverses.contains(spec) && inverses.contains(other) {
                    assert_eq!(options.get(IPV6), !options.get(IPV4ONLY));
                    continue;
                }
                // Which mechanism it is follows from the others.
                if *other != MECHANISM.spec {
                    assert_eq!((other.get)(&options), other.default(), "{spec:?}, {other:?}");
                }
            }
        }
    }
}

#[test]
fn defaults_are_in_range() {
    for spec in TABLE.iter().filter(|spec| spec.range != Range::ReadOnly) {
        assert!(spec.range.contains(&spec.default()), "{spec:?}");
    }
}

#[test]
fn values_out_of_range_are_refused_and_named() {
    for spec in TABLE {
        for value in samples(spec).1 {
            let mut options = Options::default();
            let error = options.set_value(spec, value.clone()).unwrap_err();
            assert!(error.to_string().contains(spec.name), "{error}");
            let is_secret = matches!(spec.range, Range::Credential | Range::Key);
            if spec.range != Range::ReadOnly {
                let shown = error.to_string().contains(&value.to_string());
                assert!(shown || is_secret, "{error}");
                assert!(error.to_string().contains(&spec.range.to_string()), "{error}");
            }
            assert_eq!((spec.get)(&options), spec.default());
        }
    }
}

#[test]
fn values_of_another_type_are_refused() {
    let all: [OptionValue; 5] =
        [1.into(), 1i64.into(), true.into(), vec![b'1'; 32].into(), String::new().into()];
    for spec in TABLE.iter().filter(|spec| spec.range != Range::ReadOnly) {
        let taken = all
            .iter()
            .filter(|&value| Options::default().set_value(spec, value.clone()).is_ok())
            .count();
        assert_eq!(taken, 1, "{spec:?}");
    }
}

#[test]
fn typed_options_read_and_write_their_fields() {
    let mut options = Options::default();
    assert_eq!(options.get(SNDHWM), 1000);
    options.set(SNDHWM, 5).unwrap();
    options.set(ROUTING_ID, b"me".to_vec()).unwrap();
    assert_eq!((options.sndhwm, options.get(SNDHWM)), (5, 5));
    assert_eq!(options.get(ROUTING_ID), b"me");
    let error = options.set(LINGER, -2).unwrap_err();
    assert_eq!(error.to_string(), "option LINGER: -2 is out of range; expected -1 to 2147483647");
    assert_eq!(options.set(TYPE, 1), Err(OptionError::ReadOnly { option: "TYPE" }));
}

#[test]
fn tenths_of_a_second_are_rounded_down() {
    let mut options = Options::default();
    for (set, kept) in [(99, 0), (100, 100), (199, 100), (6_553_599, 6_553_500)] {
        options.set(HEARTBEAT_TTL, set).unwrap();
        assert_eq!(options.get(HEARTBEAT_TTL), kept);
    }
    let error = options.set(HEARTBEAT_TTL, 6_553_600).unwrap_err();
    assert!(error.to_string().contains("0 to 6553599 (in tenths of a second)"), "{error}");
}
