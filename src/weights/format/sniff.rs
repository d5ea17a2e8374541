//! What a file is by its first bytes, for messages about files under a wrong name.

use crate::weights::text::shown;

/// How many bytes from its start tell what a file is.
pub(crate) const SNIFFED: usize = 512;

/// The kind of file that a name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A file of tensors.
    Safetensors,
    /// A configuration, an index or a tokenizer.
    Json,
}

const UNPICKLE: &str = "pickle files can run code when they are read and are refused: load the model in Python and save \
                        it with save_pretrained(…, safe_serialization=True)";

/// Recognises a file of another kind than its name says by its first bytes (up to [`SNIFFED`] of them): what it is, and
/// the remedy. `None` if it may be what is expected.
pub(crate) fn mistaken(start: &[u8], expected: Expected) -> Option<String> {
    let (what, remedy) = recognise(start, expected)?;
    let wanted = match expected {
        Expected::Safetensors => "a safetensors file",
        Expected::Json => "JSON",
    };
    let not = if what.starts_with("a Git LFS") { "the file itself" } else { wanted };
    Some(format!("is {what} and not {not}; {remedy}"))
}

/// [`mistaken`] of all bytes of a file that should be JSON.
pub(crate) fn mistaken_for_json(bytes: &[u8]) -> Option<String> {
    mistaken(&bytes[..bytes.len().min(SNIFFED)], Expected::Json)
}

fn recognise(start: &[u8], expected: Expected) -> Option<(String, &'static str)> {
    let text = text(start);
    let page = text.map(|text| text.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase());
    let page = page.as_deref().unwrap_or("");
    let (what, remedy) = match start {
        _ if is_safetensors(start) => match expected {
            Expected::Safetensors => return None,
            Expected::Json => ("a safetensors file", "files were exchanged: fetch them again"),
        },
        [b'G', b'G', b'U', b'F', ..] => {
            ("a GGUF file", "GGUF is not read: take the model's safetensors files, in a repository for diffusers")
        }
        [b'P', b'K', 3, 4, ..] if contains(start, b"data.pkl") => {
            ("a PyTorch file, a zip archive with a pickle in it", UNPICKLE)
        }
        [b'P', b'K', 3 | 5, 4 | 6, ..] => ("a zip archive", "unpack it"),
        [0x80, 2..=5, ..] => ("a pickle", UNPICKLE),
        [0x1f, 0x8b, ..] => ("a gzip archive", "unpack it"),
        [0x89, b'H', b'D', b'F', ..] => ("an HDF5 file", "save the model as safetensors"),
        // The first field of the first piece: lengths are no text.
        [b'\n', _, b'\n', ..] if text.is_none() => (
            "a SentencePiece model",
            "take the tokenizer.json beside it, or save the tokenizer as T5TokenizerFast, which writes one",
        ),
        _ if start.starts_with(b"version https://git-lfs") => {
            ("a Git LFS pointer", "run `git lfs pull`, or fetch it with the hub's client")
        }
        _ if ["<!doctype html", "<html", "<head"].iter().any(|tag| page.starts_with(tag)) => (
            "an HTML page",
            "fetch the file itself with the hub's client: this is a page about it, or one that asks to sign in",
        ),
        _ if page.starts_with("<?xml") => ("an XML page", "it may say why the file was not sent: fetch the file again"),
        _ if start.len() >= 64 && start.iter().all(|byte| *byte == 0) => {
            ("empty at its start, all zeros", "its download did not finish: fetch it again")
        }
        _ => {
            // A hub answers so where there is no file, or no access.
            let line = text.filter(|_| expected == Expected::Safetensors)?.lines().next().unwrap_or("");
            let excerpt: String = line.chars().take(60).collect();
            return Some((format!("text, {:?}", shown(&excerpt)), "fetch the file again"));
        }
    };
    Some((what.to_owned(), remedy))
}

/// Whether a file begins as safetensors files do: with the length of a header that begins with a brace.
fn is_safetensors(start: &[u8]) -> bool {
    const LONGEST: u64 = 100_000_000;
    let header = start.first_chunk().map(|prefix| u64::from_le_bytes(*prefix));
    header.is_some_and(|header| header <= LONGEST) && start.get(8) == Some(&b'{')
}

/// The bytes as text, if they are printable text; a character that is cut at their end does not count.
fn text(start: &[u8]) -> Option<&str> {
    let text = match str::from_utf8(start) {
        Ok(text) => text,
        Err(e) if e.error_len().is_none() => str::from_utf8(&start[..e.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let printable = |c: char| !c.is_control() || c.is_ascii_whitespace();
    (!text.is_empty() && text.chars().all(printable)).then_some(text)
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect(start: &[u8], expected: Expected, words: &[&str]) {
        let why = mistaken(start, expected).unwrap_or_else(|| panic!("{words:?}"));
        words.iter().for_each(|word| assert!(why.contains(word), "{word:?} in {why}"));
    }

    #[test]
    fn files_under_a_wrong_name_are_recognised() {
        let torch = b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\x12\0archive/data.pklFB";
        for expected in [Expected::Safetensors, Expected::Json] {
            for (start, words) in [
                (&b"GGUF\x03\0\0\0\x01"[..], ["is a GGUF file and not", "GGUF is not read"]),
                (b"PK\x03\x04\x14\0\0\0", ["is a zip archive", "unpack"]),
                (torch, ["is a PyTorch file", "safe_serialization"]),
                (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", ["is a pickle", "safe_serialization"]),
                (b"version https://git-lfs.example/spec/v1\noid", ["is a Git LFS pointer and not the file", "git lfs"]),
                (b"\n<!DOCTYPE html>\n<html>", ["is an HTML page", "hub's client"]),
                (b"<?xml version=\"1.0\"?><Error>", ["is an XML page", "fetch"]),
                (b"\x1f\x8b\x08", ["is a gzip archive", "unpack"]),
                (&[0; 64], ["all zeros", "did not finish"]),
            ] {
                expect(start, expected, &words);
            }
        }
        expect(b"Entry not found", Expected::Safetensors, &["is text, \"Entry not found\"", "fetch"]);
        expect(b"\n\x0e\n\x05<pad>\x15\0\0\0\0\x18\x03", Expected::Json, &["is a SentencePiece model and not JSON"]);
        expect(b"\x10\0\0\0\0\0\0\0{}", Expected::Json, &["is a safetensors file and not JSON"]);
    }

    #[test]
    fn files_under_their_right_name_are_left_alone() {
        assert_eq!(mistaken(br#"{"a": "<html>"}"#, Expected::Json), None);
        assert_eq!(mistaken(b"not json", Expected::Json), None);
        assert_eq!(mistaken(b"", Expected::Safetensors), None);
        // A header of 640 bytes begins as a pickle does.
        assert_eq!(mistaken(b"\x80\x02\0\0\0\0\0\0{\"a\":", Expected::Safetensors), None);
    }
}
