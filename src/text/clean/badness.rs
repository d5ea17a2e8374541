//! Does a text look like UTF-8 that was read in a single-byte encoding? Some four hundred characters come out of that
//! accident; they fall into classes, and certain neighbours among them hardly ever stand in a text on purpose.
//!
//! Classes and neighbourhoods are the data of ftfy 6.3.1's badness heuristic.

use std::sync::LazyLock;

use regex::Regex;

type Classes = u16;
const COMMON: Classes = 1;
const C1: Classes = 1 << 1;
const BAD: Classes = 1 << 2;
const LAW: Classes = 1 << 3;
const CURRENCY: Classes = 1 << 4;
/// Punctuation that opens.
const OPEN: Classes = 1 << 5;
/// Punctuation that closes.
const CLOSE: Classes = 1 << 6;
const NUMERIC: Classes = 1 << 7;
/// Letters that faces are made of.
const KAOMOJI: Classes = 1 << 8;
const UPPER: Classes = 1 << 9;
const LOWER: Classes = 1 << 10;
const UPPER_COMMON: Classes = 1 << 11;
const LOWER_COMMON: Classes = 1 << 12;
const BOX: Classes = 1 << 13;
const ASCII_UPPER: Classes = 1 << 14;
const ASCII_LOWER: Classes = 1 << 15;

const ASCII: Classes = ASCII_UPPER | ASCII_LOWER;
const ACCENTED: Classes = UPPER | LOWER;
const SYMBOL: Classes = ACCENTED | BOX | OPEN | CLOSE | CURRENCY | NUMERIC | LAW;

fn classes(c: char) -> Classes {
    match c {
        'A'..='Z' => ASCII_UPPER,
        'a'..='z' => ASCII_LOWER,
        '\0'..='\x7f' => 0,
        '\u{80}'..='\u{9f}' => C1,
        '\u{a0}' | '\u{ad}' | '´' | '·' | '–'..='―' | '’' | '…' => COMMON,
        '¤' | '¦' | '¨' | 'ª' | '¬' | '¯' | '¸' | 'º' | 'ƒ' | 'ˆ' | 'ˇ' | '˘' | '˛' | '˜' | '†' | '‡' | '‰' | '⌐' | '◊' => BAD,
        '\u{fffd}' => BAD,
        '§' | '¶' => LAW,
        '¢' | '£' | '¥' | '₧' | '€' => CURRENCY,
        '¡' | '©' | '«' | '¿' | '΄' | '΅' | '‘' | '‚' | '“' | '„' | '•' | '‹' | '\u{f8ff}' => OPEN,
        '®' | '»' | '˝' | '”' | '›' | '™' => CLOSE,
        '±'..='³' | 'µ' | '¹' | '¼'..='¾' | '×' | '÷' | '⁄' | '№' => NUMERIC,
        '∂' | '∆' | '∏' | '∑' | '√' | '∞' | '∩' | '∫' | '≈' | '≠' | '≡' | '≤' | '≥' => NUMERIC,
        'Ü' => KAOMOJI | UPPER,
        'ü' => KAOMOJI | LOWER,
        '°' | 'Ò'..='Ö' | 'Ù'..='Û' | 'ò'..='ö' | 'ø'..='û' | 'Ō' | 'Ő' | 'Ū' | 'Ų' => KAOMOJI,
        'À'..='Ñ' | 'Ø' | 'Ý' | 'Ā' | 'Ă' | 'Ą' | 'Ć' | 'Č' | 'Ď' | 'Đ' | 'Ē' | 'Ė' | 'Ę' | 'Ě' | 'Ğ' | 'Ģ' | 'Ī' => UPPER,
        'İ' | 'Ķ' | 'Ĺ' | 'Ļ' | 'Ľ' | 'Ł' | 'Ń' | 'Ņ' | 'Ň' | 'Œ' | 'Ř' | 'Ś' | 'Ş' | 'Š' | 'Ţ' | 'Ť' | 'Ů' | 'Ű' => UPPER,
        'Ÿ' | 'Ź' | 'Ż' | 'Ž' | 'Ґ' => UPPER,
        'ß'..='ñ' | 'ā' | 'ă' | 'ą' | 'ć' | 'č' | 'ď' | 'đ' | 'ē' | 'ė' | 'ę' | 'ě' | 'ğ' | 'ģ' | 'ī' | 'į' | 'ķ' => LOWER,
        'ĺ' | 'ļ' | 'ľ' | 'ł' | 'œ' | 'ŕ' | 'ś' | 'ş' | 'š' | 'ť' | 'ź' | 'ż' | 'ž' | 'ґ' | 'ﬁ' | 'ﬂ' => LOWER,
        'Þ' | 'Ά' | 'Έ'..='Ί' | 'Ό' | 'Ύ' | 'Ώ' | 'Α'..='Ϋ' | 'Ё'..='Я' => UPPER_COMMON,
        'ά'..='ω' | 'а'..='џ' => LOWER_COMMON,
        '│' | '┌' | '┐' | '┘' | '├' | '┤' | '┬' | '┼' | '═'..='╬' | '▀' | '▄' | '█' | '▌' | '▐'..='▓' => BOX,
        _ => 0,
    }
}

/// A set of characters: whole classes and single ones.
struct Set(Classes, &'static str);

/// Neighbours that give mojibake away.
#[rustfmt::skip]
const RULES: &[&[Set]] = &[
    &[Set(C1, "")],
    &[Set(BAD | SYMBOL, ""), Set(BAD, "")],
    &[Set(ASCII, ""), Set(LOWER_COMMON | UPPER_COMMON, ""), Set(BAD, "")],
    &[Set(BAD, ""), Set(SYMBOL, "")],
    &[Set(LOWER | LOWER_COMMON | BOX | CLOSE | CURRENCY | NUMERIC, ""), Set(UPPER, "")],
    &[Set(BOX | CLOSE | CURRENCY | NUMERIC, ""), Set(LOWER, "")],
    &[Set(LOWER | BOX | CLOSE, ""), Set(CURRENCY, "")],
    &[Set(0, SPACES), Set(UPPER, ""), Set(CURRENCY, "")],
    &[Set(UPPER | BOX, ""), Set(NUMERIC | LAW, "")],
    &[Set(ACCENTED | BOX | CURRENCY | CLOSE, ""), Set(OPEN, ""), Set(NUMERIC, "")],
    &[Set(ACCENTED | CURRENCY | NUMERIC | BOX | LAW, ""), Set(CLOSE, ""), Set(OPEN, "")],
    &[Set(CURRENCY | NUMERIC | BOX, ""), Set(OPEN, "")],
    &[Set(ASCII_LOWER, ""), Set(UPPER, ""), Set(OPEN | CURRENCY, "")],
    &[Set(BOX, ""), Set(KAOMOJI, "")],
    &[Set(ACCENTED | CURRENCY | NUMERIC | OPEN | CLOSE | LAW, ""), Set(BOX, "")],
    &[Set(BOX, ""), Set(CLOSE, "")],
    &[Set(UPPER, ""), Set(0, "°")],
    // Windows-1252, pairs that the classes do not cover.
    &[Set(0, "ÂÃÎÐ"), Set(OPEN | CLOSE, "€œŠš¢£Ÿž\u{a0}\u{ad}®°·»–—´")],
    &[Set(0, "×"), Set(0, "²³")],
    // Arabic in Windows-1252: its second bytes are common signs, so two letters are asked for.
    &[Set(0, "ØÙ"), ARABIC_TAIL, Set(0, "ØÙ"), ARABIC_TAIL],
    // The scripts of South Asia in Windows-1252.
    &[Set(0, "à"), Set(0, "²µ¹¼½¾")],
    // MacRoman.
    &[Set(0, "√"), Set(0, "±∂†≠®™´≤≥¥µø")],
    &[Set(0, "≈"), Set(0, "°¢")],
    &[Set(0, "‚"), Set(0, "Ä"), Set(0, "ìîïòôúùû†°¢π")],
    &[Set(0, "‚"), Set(0, "âó"), Set(0, "àä°ê")],
    // Windows-1251: general punctuation, then Latin-1 letters and Cyrillic.
    &[Set(0, "в"), Set(0, "Ђ")],
    &[Set(0, "ВГРС"), Set(C1 | BAD | OPEN | CLOSE | CURRENCY, "°µ"), Set(0, "ВГРС")],
    // An à, or a no-break space, in Windows-1252; the second byte may have become a plain space.
    &[Set(0, "Ã"), Set(0, "\u{a0}¡")],
    &[Set(ASCII_LOWER, ""), Set(0, "ÃÂ"), Set(0, " ")],
    &[Set(ASCII_LOWER, ""), Set(0, SPACES), Set(0, "ÃÂ"), Set(0, " ")],
    &[Set(ASCII_LOWER | CLOSE, ".,?!"), Set(0, "Â"), Set(OPEN | CLOSE, " ")],
    // Windows-1253: general punctuation, then Latin-1 letters and Greek.
    &[Set(0, "β"), Set(0, "€"), Set(0, "™\u{a0}Ά\u{ad}®°")],
    &[Set(0, "ΒΓΞΟ"), Set(C1 | BAD | OPEN | CLOSE | CURRENCY, "°"), Set(0, "ΒΓΞΟ")],
    // Windows-1257: general punctuation.
    &[Set(0, "ā"), Set(0, "€")],
];

const ARABIC_TAIL: Set = Set(COMMON | CURRENCY | BAD | NUMERIC | OPEN, "ŸŠ®°µ»");

/// What Python's `\s` matches: Unicode's White_Space and the information separators.
const SPACES: &str = concat!(
    "\t\n\u{b}\u{c}\r\x1c\x1d\x1e\x1f \u{85}\u{a0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}",
    "\u{2006}\u{2007}\u{2008}\u{2009}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}",
);

/// Whether `text` holds a sequence that mojibake has and honest text hardly ever.
pub(super) fn is_bad(text: &str) -> bool {
    let chars: Vec<(char, Classes)> = text.chars().map(|c| (c, classes(c))).collect();
    let starts_with_lead = matches!(chars[..], [('Ã' | 'Â', _), (' ', _), ..]);
    starts_with_lead || (0..chars.len()).any(|at| bad_at(&chars[at..]))
}

fn bad_at(chars: &[(char, Classes)]) -> bool {
    let fits = |rule: &&[Set]| {
        rule.len() <= chars.len()
            && rule.iter().zip(chars).all(|(set, &(c, class))| set.0 & class != 0 || set.1.contains(c))
    };
    RULES.iter().any(fits) || bad_before_a_class_of_unicode(chars)
}

/// The rules that end in more than a list of characters.
fn bad_before_a_class_of_unicode(chars: &[(char, Classes)]) -> bool {
    match *chars {
        // The ligature, unless a plain Latin letter follows.
        [('Œ' | 'œ', _), (_, next), ..] if next & ASCII == 0 => true,
        // An accented letter and punctuation inside a word.
        [(_, a), (_, b), (c, _), ..] if a & ACCENTED != 0 && b & (OPEN | CLOSE) != 0 && is_word(c) => true,
        // Windows-1251 on top of Latin-1.
        [('Г', _), ('ў', _), ('В', _), ('Ђ', _), ('В', _), (any, _), (c, class), ..] => {
            any != '\n' && (class & ASCII != 0 || c == ' ')
        }
        _ => false,
    }
}

/// What Python's `\w` matches: letters, numbers and the underscore, but no combining marks.
fn is_word(c: char) -> bool {
    static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[\p{L}\p{N}_]").expect("a valid pattern"));
    WORD.is_match(c.encode_utf8(&mut [0; 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_text_passes() {
        for text in
            ["", "plain", "Ünïcödé naïve façade", "œuvre", "l’été — ½ €", "Привет мир", "Καλημέρα", "(ノ°ο°)ノ", "東京 2°"]
        {
            assert!(!is_bad(text), "{text:?}");
        }
    }

    #[test]
    fn accidents_are_seen() {
        for text in ["schÃ¶n", "â€œquoteâ€\u{9d}", "Ã la", "voilÃ le", "РџСЂРёРІРµС‚ Г±Г", "œ!", "√±", "caf\u{e9}\u{80}"] {
            assert!(is_bad(text), "{text:?}");
        }
    }

    #[test]
    fn a_word_is_letters_and_numbers() {
        for (c, expected) in [('a', true), ('_', true), ('²', true), ('ʼ', true), ('漢', true), ('Ⓐ', false), ('\u{301}', false)] {
            assert_eq!(is_word(c), expected, "{c:?}");
        }
    }
}
