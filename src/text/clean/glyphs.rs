//! Signs that stand for plainer ones, and signs that show nothing.

use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization;

/// Latin ligatures taken apart, full and half width made ordinary, curly quotes made straight.
pub(super) fn simplify(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // An apostrophe and an n: the letter apostrophe becomes a plain one as below.
            'ŉ' => out.push_str("'n"),
            'Ĳ' => out.push_str("IJ"),
            'ĳ' => out.push_str("ij"),
            'Ǆ' => out.push_str("DŽ"),
            'ǅ' => out.push_str("Dž"),
            'ǆ' => out.push_str("dž"),
            'Ǉ' => out.push_str("LJ"),
            'ǈ' => out.push_str("Lj"),
            'ǉ' => out.push_str("lj"),
            'Ǌ' => out.push_str("NJ"),
            'ǋ' => out.push_str("Nj"),
            'ǌ' => out.push_str("nj"),
            'Ǳ' => out.push_str("DZ"),
            'ǲ' => out.push_str("Dz"),
            'ǳ' => out.push_str("dz"),
            'ﬀ' => out.push_str("ff"),
            'ﬁ' => out.push_str("fi"),
            'ﬂ' => out.push_str("fl"),
            'ﬃ' => out.push_str("ffi"),
            'ﬄ' => out.push_str("ffl"),
            'ﬅ' => out.push_str("ſt"),
            'ﬆ' => out.push_str("st"),
            '\u{3000}' => out.push(' '),
            '\u{ff01}'..='\u{ffef}' => out.extend(std::iter::once(c).nfkc()),
            '\u{2bc}' | '\u{2018}'..='\u{201b}' => out.push('\''),
            '\u{201c}'..='\u{201f}' => out.push('"'),
            _ => out.push(c),
        }
    }
    out
}

/// Every line break as a line feed.
pub(super) fn unify_line_breaks(text: &str) -> String {
    text.replace("\r\n", "\n").replace(['\r', '\u{85}', '\u{2028}', '\u{2029}'], "\n")
}

/// Takes out the escape sequences that colour a terminal.
pub(super) fn remove_terminal_escapes(text: &str) -> String {
    static ESCAPE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\x1b\[[\p{Nd};]*[a-zA-Z]").expect("a valid pattern"));
    ESCAPE.replace_all(text, "").into_owned()
}

/// Takes out controls that show nothing: ASCII's but for white space, deprecated Arabic ones, annotations, the byte order mark.
pub(super) fn remove_controls(text: &str) -> String {
    let control = |c: char| {
        matches!(c, '\0'..='\x08' | '\x0b' | '\x0e'..='\x1f' | '\x7f')
            || matches!(c, '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}')
    };
    text.replace(control, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plainer_signs() {
        assert_eq!(simplify("ﬂuﬃeﬆ ŉ ＬＯＵＤ　Ｕﾀｰﾝ “a’b”"), "fluffiest 'n LOUD Uターン \"a'b\"");
        // What has no standard width stays.
        assert_eq!(simplify("\u{ffef}\u{fffd}æ"), "\u{ffef}\u{fffd}æ");
    }

    #[test]
    fn what_shows_nothing_goes() {
        assert_eq!(unify_line_breaks("a\r\nb\rc\u{2028}d\u{2029}e\u{85}f\n\r"), "a\nb\nc\nd\ne\nf\n\n");
        assert_eq!(remove_terminal_escapes("\x1b[36;44mblue\x1b[0m \x1b[1 \x1b[٣m"), "blue \x1b[1 ");
        assert_eq!(remove_controls("\u{feff}a\0\x0b\x0c\x1f\x7f\u{200d}\u{206a}\u{fffc}b\t"), "a\x0c\u{200d}b\t");
    }
}
