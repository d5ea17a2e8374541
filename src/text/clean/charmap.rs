//! The single-byte encodings that UTF-8 is mistaken for.

use std::collections::HashMap;
use std::sync::LazyLock;

/// One single-byte encoding: bytes below 0x80 are ASCII, the rest is a table.
pub(super) struct Charmap {
    /// What bytes 0x80 to 0xff mean.
    high: [char; 128],
    bytes: HashMap<char, u8>,
    /// Bytes that the standard leaves unassigned pass through as in Latin-1, and byte 0x1a stands for U+FFFD.
    pub(super) sloppy: bool,
}

impl Charmap {
    fn new(table: &str, sloppy: bool) -> Self {
        // Latin-1 is the table that every unassigned place falls back to.
        let mut high: [char; 128] = std::array::from_fn(|i| char::from(0x80 + i as u8));
        high.iter_mut().zip(table.chars()).for_each(|(slot, c)| *slot = c);
        let bytes = high.iter().zip(0x80..).map(|(&c, byte)| (c, byte)).collect();
        Self { high, bytes, sloppy }
    }

    /// The bytes that read as `text` in this encoding, if there are such bytes.
    pub(super) fn encode(&self, text: &str) -> Option<Vec<u8>> {
        text.chars()
            .map(|c| match c {
                '\x1a' if self.sloppy => None,
                '\u{fffd}' if self.sloppy => Some(0x1a),
                '\0'..='\x7f' => Some(c as u8),
                _ => self.bytes.get(&c).copied(),
            })
            .collect()
    }

    /// What a byte means in this encoding.
    pub(super) fn decode(&self, byte: u8) -> char {
        if byte < 0x80 { char::from(byte) } else { self.high[usize::from(byte - 0x80)] }
    }
}

/// The place of Latin-1 in [`CHARMAPS`].
pub(super) const LATIN_1: usize = 0;
/// The place of Windows-1252 in [`CHARMAPS`].
pub(super) const WINDOWS_1252: usize = 1;
/// The place of MacRoman in [`CHARMAPS`].
pub(super) const MACROMAN: usize = 8;

/// Every encoding that is tried, in the order of trial: Latin-1, Windows-1252, 1251, 1250, 1253, 1254 and 1257, ISO-8859-2,
/// MacRoman, code page 437.
pub(super) static CHARMAPS: LazyLock<[Charmap; 10]> = LazyLock::new(|| {
    [
        Charmap::new("", false),
        Charmap::new(WINDOWS_1252_TABLE, true),
        Charmap::new(WINDOWS_1251_TABLE, true),
        Charmap::new(WINDOWS_1250_TABLE, true),
        Charmap::new(WINDOWS_1253_TABLE, true),
        Charmap::new(WINDOWS_1254_TABLE, true),
        Charmap::new(WINDOWS_1257_TABLE, true),
        Charmap::new(ISO_8859_2_TABLE, false),
        Charmap::new(MACROMAN_TABLE, false),
        Charmap::new(CP437_TABLE, false),
    ]
});

/// A byte as plain Latin-1 text that was meant to be Windows-1252; `None` where that standard assigns nothing.
pub(super) fn strict_windows_1252(byte: u8) -> Option<char> {
    (!matches!(byte, 0x81 | 0x8d | 0x8f | 0x90 | 0x9d)).then(|| CHARMAPS[WINDOWS_1252].decode(byte))
}

const WINDOWS_1252_TABLE: &str = concat!(
    "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ",
    "\u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿",
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞß",
    "àáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ",
);

const WINDOWS_1251_TABLE: &str = concat!(
    "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—\u{98}™љ›њќћџ",
    "\u{a0}ЎўЈ¤Ґ¦§Ё©Є«¬\u{ad}®Ї°±Ііґµ¶·ё№є»јЅѕї",
    "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ",
    "абвгдежзийклмнопрстуфхцчшщъыьэюя",
);

const WINDOWS_1250_TABLE: &str = concat!(
    "€\u{81}‚\u{83}„…†‡\u{88}‰Š‹ŚŤŽŹ\u{90}‘’“”•–—\u{98}™š›śťžź",
    "\u{a0}ˇ˘Ł¤Ą¦§¨©Ş«¬\u{ad}®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľż",
    "ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢß",
    "ŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
);

const WINDOWS_1253_TABLE: &str = concat!(
    "€\u{81}‚ƒ„…†‡\u{88}‰\u{8a}‹\u{8c}\u{8d}\u{8e}\u{8f}\u{90}‘’“”•–—\u{98}™\u{9a}›\u{9c}\u{9d}\u{9e}\u{9f}",
    "\u{a0}΅Ά£¤¥¦§¨©ª«¬\u{ad}®―°±²³΄µ¶·ΈΉΊ»Ό½ΎΏ",
    "ΐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡÒΣΤΥΦΧΨΩΪΫάέήί",
    "ΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύώÿ",
);

const WINDOWS_1254_TABLE: &str = concat!(
    "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}\u{8e}\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}\u{9e}Ÿ",
    "\u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿",
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕÖ×ØÙÚÛÜİŞß",
    "àáâãäåæçèéêëìíîïğñòóôõö÷øùúûüışÿ",
);

const WINDOWS_1257_TABLE: &str = concat!(
    "€\u{81}‚\u{83}„…†‡\u{88}‰\u{8a}‹\u{8c}¨ˇ¸\u{90}‘’“”•–—\u{98}™\u{9a}›\u{9c}¯˛\u{9f}",
    "\u{a0}¡¢£¤¥¦§Ø©Ŗ«¬\u{ad}®Æ°±²³´µ¶·ø¹ŗ»¼½¾æ",
    "ĄĮĀĆÄÅĘĒČÉŹĖĢĶĪĻŠŃŅÓŌÕÖ×ŲŁŚŪÜŻŽß",
    "ąįāćäåęēčéźėģķīļšńņóōõö÷ųłśūüżž˙",
);

const ISO_8859_2_TABLE: &str = concat!(
    "\u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}",
    "\u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}",
    "\u{a0}Ą˘Ł¤ĽŚ§¨ŠŞŤŹ\u{ad}ŽŻ°ą˛ł´ľśˇ¸šşťź˝žż",
    "ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢß",
    "ŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
);

const MACROMAN_TABLE: &str = concat!(
    "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü",
    "†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø",
    "¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ",
    "‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ",
);

const CP437_TABLE: &str = concat!(
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ",
    "áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐",
    "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀",
    "αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        for (i, map) in CHARMAPS.iter().enumerate() {
            for byte in 0..=255u8 {
                let c = map.decode(byte);
                let expected = if byte == 0x1a && map.sloppy { None } else { Some(vec![byte]) };
                assert_eq!(map.encode(&c.to_string()), expected, "encoding {i}, byte {byte:#x}");
            }
        }
    }

    #[test]
    fn the_replacement_character_is_a_byte_of_the_sloppy_ones_only() {
        assert_eq!(CHARMAPS[LATIN_1].encode("\u{fffd}"), None);
        assert_eq!(CHARMAPS[WINDOWS_1252].encode("a\u{fffd}€"), Some(vec![b'a', 0x1a, 0x80]));
        assert_eq!(CHARMAPS[MACROMAN].encode("\u{fffd}"), None);
    }
}
