//! Undoes UTF-8 that was read in a single-byte encoding, as ftfy's `fix_encoding` does.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::badness::is_bad;
use super::charmap::{CHARMAPS, LATIN_1, MACROMAN, WINDOWS_1252, strict_windows_1252};

/// Undoes one layer of mojibake after the other until the text looks honest or nothing helps.
pub(super) fn fix_encoding(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(fixed) = undo_one(&text).filter(|fixed| *fixed != text) {
        text = fixed;
    }
    text
}

/// C1 controls as the Windows-1252 characters that browsers show for them.
pub(super) fn replace_c1(text: &str) -> String {
    text.chars()
        .map(|c| if matches!(c, '\u{80}'..='\u{9f}') { CHARMAPS[WINDOWS_1252].decode(c as u8) } else { c })
        .collect()
}

fn undo_one(text: &str) -> Option<String> {
    if text.is_ascii() || !is_bad(text) {
        return None;
    }
    let mut latin_1 = None;
    for (which, map) in CHARMAPS.iter().enumerate() {
        let Some(bytes) = map.encode(text) else { continue };
        if which == LATIN_1 {
            latin_1 = Some(bytes.clone());
        }
        // In MacRoman a dash before a space would look like a lost byte.
        let bytes = if which == MACROMAN { bytes } else { restore_no_break_spaces(&bytes) };
        let bytes = if map.sloppy { replace_lossy(&bytes) } else { bytes };
        let variants = bytes.iter().any(|b| matches!(b, 0xc0 | 0xed));
        let decoded = if variants { decode_variants(&bytes) } else { String::from_utf8(bytes).ok() };
        if decoded.is_some() {
            return decoded;
        }
    }
    let embedded = undo_embedded(text);
    if embedded != text {
        return Some(embedded);
    }
    let windows = latin_1.and_then(|bytes| bytes.into_iter().map(strict_windows_1252).collect::<Option<String>>());
    windows.filter(|fixed| fixed != text).or_else(|| Some(replace_c1(text)))
}

fn is_tail(byte: u8) -> bool {
    matches!(byte, 0x80..=0xbf)
}

/// Puts back bytes 0xa0 that some program had turned into plain spaces, where the sequence then is likely UTF-8.
fn restore_no_break_spaces(bytes: &[u8]) -> Vec<u8> {
    // A lone à before a word keeps its space, but for some Portuguese words that begin with it.
    const JOINED: [&[u8]; 5] = [b" ", b"quele", b"quela", b"quilo", b"s "];
    let mut spaced = Vec::with_capacity(bytes.len() + 8);
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match rest {
            [0xc3, b' ', word @ ..] if !JOINED.iter().any(|start| word.starts_with(start)) => {
                spaced.extend([0xc3, 0xa0, b' ']);
                word
            }
            _ => {
                spaced.push(byte);
                tail
            }
        };
    }
    let mut at = 0;
    while at < spaced.len() {
        let length = altered_length(&spaced[at..]);
        spaced[at..at + length].iter_mut().filter(|b| **b == b' ').for_each(|b| *b = 0xa0);
        at += length.max(1);
    }
    spaced
}

/// The length of the sequence at the start of `bytes` that would be likely UTF-8 with 0xa0 for its space; 0 if there is none.
fn altered_length(bytes: &[u8]) -> usize {
    // 0x85 is an ellipsis in Windows-1252, which stands beside spaces on purpose.
    let tail = |b: u8| is_tail(b) && !matches!(b, 0x85 | 0xa0);
    match *bytes {
        [0xc2 | 0xc3 | 0xc5 | 0xce | 0xd0 | 0xd9, b' ', ..] => 2,
        [0xe2 | 0xe3, b' ', a, ..] if tail(a) => 3,
        [0xe0..=0xe3, a, b' ', ..] if tail(a) => 3,
        [0xf0, b' ', a, b, ..] | [0xf0, a, b' ', b, ..] | [0xf0, a, b, b' ', ..] if is_tail(a) && is_tail(b) => 4,
        _ => 0,
    }
}

/// Writes U+FFFD for UTF-8 sequences of which a byte was lost: replaced by byte 0x1a, or once by a question mark.
fn replace_lossy(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let length = lossy_length(&bytes[at..]);
        if length == 0 {
            out.push(bytes[at]);
        } else {
            out.extend("\u{fffd}".as_bytes());
        }
        at += length.max(1);
    }
    out
}

fn lossy_length(bytes: &[u8]) -> usize {
    let lost = |b: u8| matches!(b, 0x1a | b'?');
    let tail = |b: u8| lost(b) || is_tail(b);
    let lossy = |tails: &[u8]| {
        tails.iter().all(|&b| tail(b))
            && tails.iter().any(|&b| lost(b))
            && tails.iter().filter(|&&b| b == b'?').count() <= 1
    };
    match *bytes {
        [0xc2..=0xdf, 0x1a, ..] | [0xc2..=0xc3, b'?', ..] => 2,
        // Two surrogates, each as if it were a character.
        [0xed, 0xa0..=0xaf, a, 0xed, 0xb0..=0xbf, b, ..] if tail(a) && tail(b) && (lost(a) || lost(b)) => 6,
        [0xe0..=0xef, a, b, ..] if lossy(&[a, b]) => 3,
        [0xf0..=0xf4, a, b, c, ..] if lossy(&[a, b, c]) => 4,
        [0x1a, ..] => 1,
        _ => 0,
    }
}

/// UTF-8 with two habits of other systems: NUL as C0 80, and characters beyond U+FFFF as a pair of surrogates (CESU-8).
///
/// ftfy's patterns let a line feed at the very end stand for the last byte of either; so does this.
fn decode_variants(bytes: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        rest = match *rest {
            [0xc0, 0x80, ref tail @ ..] => {
                out.push('\0');
                tail
            }
            [0xc0, b'\n'] => {
                out.push('\0');
                &[]
            }
            [0xed, a @ 0xa0..=0xaf, b @ 0x80..=0xbf, 0xed, c @ 0xb0..=0xbf, d, ref tail @ ..]
                if is_tail(d) || (d == b'\n' && tail.is_empty()) =>
            {
                let bits = |byte: u8, mask: u8, shift: u32| u32::from(byte & mask) << shift;
                let low = bits(a, 0xf, 16) | bits(b, 0x3f, 10) | bits(c, 0xf, 6) | bits(d, 0x3f, 0);
                out.push(char::from_u32(0x1_0000 + low)?);
                tail
            }
            [first, ..] => {
                let length = match first {
                    0..=0x7f => 1,
                    0x80..=0xdf => 2,
                    0xe0..=0xef => 3,
                    _ => 4,
                };
                let (character, tail) = rest.split_at_checked(length)?;
                out.push_str(std::str::from_utf8(character).ok()?);
                tail
            }
            [] => rest,
        };
    }
    Some(out)
}

/// What a character may be in a UTF-8 sequence that was read in a Latin-1-like encoding.
#[derive(Clone, Copy, Default)]
struct Clue {
    /// As first byte: how many bytes follow.
    follow: usize,
    /// It may be a following byte.
    tail: bool,
    /// It may be one and hardly ever stands for itself beside mojibake, as dashes and quotes do.
    strict_tail: bool,
}

/// Latin-1 and the Windows encodings of [`CHARMAPS`].
const LATIN_LIKE: usize = 7;

fn clue(c: char) -> Clue {
    static CLUES: LazyLock<HashMap<char, Clue>> = LazyLock::new(|| {
        let mut clues: HashMap<char, Clue> = HashMap::new();
        for map in &CHARMAPS[..LATIN_LIKE] {
            for byte in 0x80..=0xff_u8 {
                let c = map.decode(byte);
                let clue = clues.entry(c).or_default();
                match byte {
                    0x80..=0xbf => {
                        clue.tail = true;
                        clue.strict_tail =
                            !matches!(c, '–' | '—' | '―' | '‘' | '’' | '‚' | '“' | '”' | '„' | '•' | '…');
                    }
                    0xc2..=0xdf => clue.follow = 1,
                    0xe0..=0xef => clue.follow = 2,
                    // Other first bytes lead to planes without characters.
                    0xf0 | 0xf3 => clue.follow = 3,
                    _ => {}
                }
            }
        }
        // It may have been a no-break space.
        clues.insert(' ', Clue { tail: true, ..Clue::default() });
        clues
    });
    CLUES.get(&c).copied().unwrap_or_default()
}

/// Undoes mojibake inside otherwise honest text: runs of what looks like UTF-8 are repaired, each on its own.
fn undo_embedded(text: &str) -> String {
    let chars: Vec<(usize, Clue)> = text.char_indices().map(|(at, c)| (at, clue(c))).collect();
    // The length of what may be one character in UTF-8, 0 if nothing there is.
    let sequence = |at: usize| {
        let follow = chars[at].1.follow;
        let tail = chars.get(at + 1..=at + follow).unwrap_or_default();
        if follow > 0 && tail.len() == follow && tail.iter().all(|(_, clue)| clue.tail) { 1 + follow } else { 0 }
    };
    let offset = |at: usize| chars.get(at).map_or(text.len(), |(offset, _)| *offset);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        // In the middle of a garble a repair would make matters worse.
        let garbled = start > 0 && chars[start - 1].1.strict_tail;
        while !garbled && at < chars.len() && sequence(at) > 0 {
            at += sequence(at);
        }
        if at == start {
            at += 1;
            out.push_str(&text[offset(start)..offset(at)]);
            continue;
        }
        let run = &text[offset(start)..offset(at)];
        if run.len() < text.len() && is_bad(run) {
            out.push_str(&fix_encoding(run));
        } else {
            out.push_str(run);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_come_off() {
        for (broken, whole) in [
            ("schÃ¶n", "schön"),
            ("l’humanitÃ©", "l’humanité"),
            ("ÃƒÂ¼ber", "über"),
            ("voilÃ le travail", "voilà le travail"),
            ("Ã quele", "àquele"),
            ("â€œ like this â€\u{fffd}", "“ like this \u{fffd}"),
            ("âœ” No problems", "✔ No problems"),
            ("ðŸ˜\u{8d}", "😍"),
            ("plain — “honest” café", "plain — “honest” café"),
        ] {
            assert_eq!(fix_encoding(broken), whole, "{broken:?}");
        }
    }

    #[test]
    fn utf_8_of_other_systems() {
        assert_eq!(decode_variants(b"a\xc0\x80b").as_deref(), Some("a\0b"));
        assert_eq!(decode_variants(b"\xed\xa0\xbd\xed\xb8\x8d").as_deref(), Some("😍"));
        assert_eq!(decode_variants("한 Ω 漢 😍".as_bytes()).as_deref(), Some("한 Ω 漢 😍"));
        for broken in
            [&b"\xed\xa0\xbd"[..], b"\xc0", b"\xc0a", b"\xed\xa0\xbd\xed\xb8", b"\x80", b"\xf0\x9f\x98", b"\xff"]
        {
            assert_eq!(decode_variants(broken), None, "{broken:x?}");
        }
    }

    #[test]
    fn lost_bytes() {
        assert_eq!(replace_lossy(b"\xc3?\x1a"), "\u{fffd}\u{fffd}".as_bytes());
        assert_eq!(replace_lossy(b"\xe2?\x80 \xe2?? \xe2\x1a?"), b"\xef\xbf\xbd \xe2?? \xef\xbf\xbd");
        assert_eq!(replace_lossy(b"\xed\xa0?\xed\xb0?"), "\u{fffd}".as_bytes());
    }
}
