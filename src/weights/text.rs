//! Text from files, as messages show it.

/// Text from a file as a message may show it: control characters escaped, cut at 120 characters.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(120) {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    if text.chars().nth(120).is_some() {
        out.push('…');
    }
    out
}

/// A few of these names, and how many there are if that is more.
pub(crate) fn some<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const FEW: usize = 6;
    let count = names.len();
    if count == 0 {
        return "nothing".to_owned();
    }
    let first = names.take(FEW).map(shown).collect::<Vec<_>>().join(", ");
    if count > FEW { format!("{first}, … ({count} in all)") } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_files_are_shown_without_control_characters_and_cut() {
        assert_eq!(shown("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(shown("中文 é"), "中文 é");
        assert_eq!(shown(&"x".repeat(500)).chars().count(), 121);
    }

    #[test]
    fn of_many_names_a_few_are_shown() {
        assert_eq!(some([].into_iter()), "nothing");
        assert_eq!(some(["a", "b\n"].into_iter()), "a, b\\n");
        assert_eq!(some(["x"; 9].into_iter()), "x, x, x, x, x, x, … (9 in all)");
    }
}
