//! HTML's character references: ftfy's careful reading of them and Python's `html.unescape`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use entities::ENTITIES;

use super::charmap::{CHARMAPS, WINDOWS_1252};

/// HTML 5's named references without the ampersand, with the semicolon where it belongs to the name.
static NAMED: LazyLock<HashMap<&'static str, &'static str>> =
    LazyLock::new(|| ENTITIES.iter().map(|e| (e.entity.trim_start_matches('&'), e.characters)).collect());

/// Names in capitals of characters whose names have none, where that is not a name of its own: `&EACUTE;` is É.
static SHOUTED: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let lower = NAMED.iter().filter(|(name, _)| name.ends_with(';') && !name.contains(|c: char| c.is_ascii_uppercase()));
    lower
        .map(|(name, characters)| (name.to_ascii_uppercase(), characters.to_uppercase()))
        .filter(|(name, _)| unescape(&format!("&{name}")) == format!("&{name}"))
        .collect()
});

/// The longest name that is looked for, in characters, without its semicolon.
const LONGEST_NAME: usize = 32;

/// Python's `html.unescape`: numeric references, named ones with or without their semicolon, the longest name that fits.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    replace_references(text, |rest| {
        if let Some((c, length)) = numeric(rest) {
            return Some((c.map_or(Cow::Borrowed(""), |c| c.to_string().into()), length));
        }
        let ends = |c: char| matches!(c, '\t' | '\n' | '\x0c' | ' ' | '<' | '&' | '#' | ';');
        let mut name = rest.split(ends).next().unwrap_or_default();
        if let Some((end, _)) = name.char_indices().nth(LONGEST_NAME) {
            name = &name[..end];
        }
        if name.is_empty() {
            return None;
        }
        let closed = &rest[..name.len() + usize::from(rest[name.len()..].starts_with(';'))];
        let lengths = closed.char_indices().map(|(at, _)| at).skip(2).collect::<Vec<_>>();
        let found = std::iter::once(closed.len()).chain(lengths.into_iter().rev());
        found.filter_map(|end| NAMED.get(&closed[..end]).map(|c| (Cow::Borrowed(*c), end))).next()
    })
}

/// ftfy's reading: only references that a semicolon closes, and names in capitals too.
pub(super) fn resolve_closed(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 24;
    replace_references(text, |rest| {
        let body = rest.strip_prefix('#').unwrap_or(rest);
        let length = body.bytes().take_while(u8::is_ascii_alphanumeric).count();
        if !(1..=LONGEST).contains(&length) || !body[length..].starts_with(';') {
            return None;
        }
        let reference = &rest[..rest.len() - body.len() + length + 1];
        if reference.starts_with('#') {
            let (c, used) = numeric(reference)?;
            // A reference to the semicolon itself is left alone: ftfy takes it for one that was not closed.
            return (used == reference.len() && c != Some(';'))
                .then(|| (c.map_or(Cow::Borrowed(""), |c| c.to_string().into()), used));
        }
        let named = NAMED.get(reference).copied().or_else(|| SHOUTED.get(reference).map(String::as_str));
        named.map(|c| (Cow::Borrowed(c), reference.len()))
    })
}

/// Replaces every reference that `read` knows; it gets the text after an ampersand and answers with characters and length.
fn replace_references<'a>(
    text: &'a str,
    read: impl Fn(&str) -> Option<(Cow<'static, str>, usize)>,
) -> Cow<'a, str> {
    if !text.contains('&') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match read(rest) {
            Some((characters, length)) => {
                out.push_str(&characters);
                rest = &rest[length..];
            }
            None => out.push('&'),
        }
    }
    out.push_str(rest);
    out.into()
}

/// The character of a numeric reference (`#233;`, `#xe9`), if it stands for any, and the reference's length.
fn numeric(rest: &str) -> Option<(Option<char>, usize)> {
    let body = rest.strip_prefix('#')?;
    let (digits, radix) = body.strip_prefix(['x', 'X']).map_or((body, 10), |hex| (hex, 16));
    let length = digits.bytes().take_while(|b| char::from(*b).is_digit(radix)).count();
    if length == 0 {
        return None;
    }
    let value = digits[..length].chars().fold(0_u32, |value, digit| {
        value.saturating_mul(radix).saturating_add(digit.to_digit(radix).unwrap_or_default())
    });
    let closed = usize::from(digits[length..].starts_with(';'));
    Some((code_point(value), rest.len() - digits.len() + length + closed))
}

/// The character that HTML 5 gives to a code point; controls and noncharacters stand for nothing.
fn code_point(value: u32) -> Option<char> {
    match value {
        0 => Some('\u{fffd}'),
        0x0d => Some('\r'),
        0x80..=0x9f => Some(CHARMAPS[WINDOWS_1252].decode(value as u8)),
        0x01..=0x08 | 0x0b | 0x0e..=0x1f | 0x7f | 0xfdd0..=0xfdef => None,
        _ if value & 0xfffe == 0xfffe && value <= 0x10_ffff => None,
        _ => Some(char::from_u32(value).unwrap_or('\u{fffd}')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_wins() {
        for (text, expected) in [
            ("&amp;lt;", "&lt;"),
            ("&ampamp", "&amp"),
            ("&notit; &notin; &not", "¬it; ∉ ¬"),
            ("&#233;&#xE9&#233x", "éééx"),
            ("&#0; &#x80; &#1; &#xD800; &#x110000; &#99999999999999999999;", "\u{fffd} €  \u{fffd} \u{fffd} \u{fffd}"),
            ("&#; &#x; & &; &unknown; &&amp;", "&#; &#x; & &; &unknown; &&"),
            ("&NotEqualTilde;&fjlig;", "≂\u{338}fj"),
        ] {
            assert_eq!(unescape(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_careful_reading_wants_the_semicolon() {
        for (text, expected) in [
            ("&amp &amp;", "&amp &"),
            ("&ntilde; &Ntilde; &NTILDE; &nTILDE;", "ñ Ñ Ñ &nTILDE;"),
            ("BUNDESSTRA&SZLIG;E", "BUNDESSTRASSE"),
            ("&#59; &#12abc; &#x41; &#X41;", "&#59; &#12abc; A A"),
            ("this&not that", "this&not that"),
        ] {
            assert_eq!(resolve_closed(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_table_is_whole() {
        assert_eq!(NAMED.len(), 2231);
        assert!(SHOUTED.len() > 1000, "{}", SHOUTED.len());
    }
}
