use proptest::prelude::*;

use super::*;

#[test]
fn every_step_has_its_turn() {
    for (text, expected) in [
        ("", ""),
        (" \t\u{a0}\n", ""),
        ("a \n b\u{3000}\u{2009}c", "a b c"),
        ("schÃ¶n", "schön"),
        ("&amp;lt;&amp;amp;gt;", "<>"),
        ("<b>&EACUTE;</b> &eacute;", "<b>&EACUTE;</b> é"),
        ("“ﬁne” ＬＯＵＤ", "\"fine\" LOUD"),
        ("\x1b[31mred\x1b[0m\u{feff}", "red"),
        ("e\u{301}", "é"),
        ("C1 \u{93}quoted\u{94}", "C1 \"quoted\""),
        ("&hellip; &#x2019;", "… '"),
    ] {
        assert_eq!(clean(text), expected, "{text:?}");
    }
}

#[test]
fn entities_stay_from_the_line_that_has_a_tag_on() {
    // ftfy leaves them from there on; the two readings that follow resolve what Python's library knows.
    assert_eq!(clean("&EACUTE;\n<p>&EACUTE;\n&EACUTE;"), "É <p>&EACUTE; &EACUTE;");
}

#[test]
fn a_line_beyond_a_segment_is_cut_there() {
    let line = format!("{}Ã©", "a".repeat(SEGMENT - 1));
    // The two halves of the é lie in two segments, so neither is repaired.
    assert!(clean(&line).ends_with("aÃ©"));
    assert!(clean(&line[1..]).ends_with("aé"));
}

#[test]
fn python_strips_the_information_separators() {
    assert_eq!(strip("\x1c a\x1f\u{85}"), "a");
    assert_eq!(strip("\u{200b}a"), "\u{200b}a");
}

/// Python's `html.unescape` raises here: its integers take at most 4,300 digits.
#[test]
fn a_reference_of_thousands_of_digits_is_the_replacement_character() {
    for digits in [4_300, 4_301, 20_000] {
        assert_eq!(clean(&format!("a &#{}; b", "1".repeat(digits))), "a \u{fffd} b");
    }
}

/// Text made of what cleaning reacts to.
fn suspicious() -> impl Strategy<Value = String> {
    let signs = prop::sample::select(
        "ÃÂâ€™œ©\u{a0} \u{80}\u{9d}\u{fffd}?íÀ½¸ðŸ˜РІГ±βѓŠ&#;xampltgt0129<>\n\r\x1b[mﬁＡ“\u{301}eŉ"
            .chars()
            .collect::<Vec<_>>(),
    );
    prop::collection::vec(signs, 0..60).prop_map(|chars| chars.into_iter().collect())
}

proptest! {
    #[test]
    fn any_text_is_cleaned_alike_twice(text in prop_oneof![any::<String>(), suspicious()]) {
        let cleaned = clean(&text);
        prop_assert_eq!(&cleaned, &clean(&text));
        prop_assert!(!cleaned.contains("  ") && strip(&cleaned) == cleaned);
    }

    #[test]
    fn ascii_words_stay(text in "[a-zA-Z0-9.,]{1,8}( [a-zA-Z0-9.,]{1,8}){0,9}") {
        prop_assert_eq!(clean(&text), text);
    }
}
