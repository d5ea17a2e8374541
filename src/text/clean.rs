//! Prompt cleaning, character for character what diffusers' Wan pipeline does when ftfy 6.3.1 is installed: `fix_text` with
//! its default options, `html.unescape` twice, and white space.
//!
//! No step is left out. What differs by nature:
//! - ftfy repairs lone UTF-16 surrogates; a Rust string cannot hold one.
//! - `html.unescape` raises on a decimal character reference of more than 4,300 digits; here it is U+FFFD, as every other
//!   reference beyond the last code point.
//! - Normalisation and the classes "letter" and "digit" follow the Unicode version of the crates in use, in Python that of
//!   the interpreter: characters younger than either may differ.

mod badness;
mod charmap;
mod glyphs;
mod html;
mod mojibake;

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// The longest run of characters that is examined at once; longer lines are cut, which bounds the work on hostile input.
const SEGMENT: usize = 1_000_000;

/// Cleans a prompt as the reference pipeline does: mended encodings, plain quotes and widths, entities resolved, single spaces.
///
/// Total: any text is accepted, and the same text always gives the same result.
/// Source: `prompt_clean` of diffusers' `pipeline_wan.py` (0.42.1) and the documentation of ftfy 6.3.1.
#[must_use]
pub fn clean(text: &str) -> String {
    let text = fix_text(text);
    let text = html::unescape(&html::unescape(&text)).into_owned();
    let mut words = strip(&text).split(char::is_whitespace).filter(|word| !word.is_empty());
    let mut out = String::with_capacity(text.len());
    out.extend(words.next());
    for word in words {
        out.push(' ');
        out.push_str(word);
    }
    out
}

/// Python's `str.strip`: the information separators count as white space there, though not for Unicode's White_Space.
fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\x1c'..='\x1f'))
}

/// ftfy's `fix_text`: every line on its own, entities only until a literal `<` says that this is real HTML.
fn fix_text(text: &str) -> String {
    let mut entities = true;
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while !rest.is_empty() {
            let end = rest.char_indices().nth(SEGMENT).map_or(rest.len(), |(at, _)| at);
            let (segment, tail) = rest.split_at(end);
            entities &= !segment.contains('<');
            out.push_str(&fix_segment(segment, entities));
            rest = tail;
        }
    }
    out
}

/// Applies every repair in ftfy's order, again and again until nothing changes.
fn fix_segment(segment: &str, entities: bool) -> String {
    let mut text = segment.to_owned();
    loop {
        let mut fixed = Cow::Borrowed(text.as_str());
        if entities {
            fixed = html::resolve_closed(&fixed).into_owned().into();
        }
        let fixed = mojibake::fix_encoding(&fixed);
        let fixed = mojibake::replace_c1(&fixed);
        let fixed = glyphs::simplify(&fixed);
        let fixed = glyphs::unify_line_breaks(&fixed);
        let fixed = glyphs::remove_terminal_escapes(&fixed);
        let fixed = glyphs::remove_controls(&fixed);
        let fixed = if is_nfc(&fixed) { fixed } else { fixed.nfc().collect() };
        if fixed == text {
            return text;
        }
        text = fixed;
    }
}

#[cfg(test)]
mod tests;
