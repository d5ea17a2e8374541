#!/usr/bin/env python3
"""Checks the links of README.md, docs/*.md and the other Markdown files of the repository, offline: files must exist, and
anchors must be headings of the file. Links to other sites are left alone.

    .ci/links.py           check
    .ci/links.py --check   check the checker
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import unicodedata

LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?[^)]*\)|<(?:a|img)\b[^>]*\b(?:href|src)=\"([^\"]+)\"")


def prose(text):
    """The text without code, in which nothing is a link or a heading."""
    text = re.sub(r"^( *)(```+|~~~+).*?^\1\2[ \t]*$", "", text, flags=re.M | re.S)
    text = re.sub(r"(?<=\n\n)(?:(?: {4}|\t).*\n)+", "", text)
    return text


def anchors(text):
    """The anchors that GitHub gives the headings of a file, and those that it names itself."""
    found, seen = set(re.findall(r"<a\b[^>]*\b(?:id|name)=\"([^\"]+)\"", text)), {}
    for heading in re.findall(r"^#{1,6}[ \t]+(.+?)[ \t]*#*$", text, flags=re.M):
        heading = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        letters = [c for c in heading if c in " -_" or unicodedata.category(c)[0] in "LN"]
        anchor = "".join(letters).replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        found.add(f"{anchor}-{count}" if count else anchor)
    return found


def check(files):
    wrong, texts = [], {}
    read = lambda file: texts.setdefault(file, prose(file.read_text()))
    for file in files:
        text = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", lambda m: "`" if "](" in m.group() else m.group(), read(file), flags=re.S)
        for match in LINK.finditer(text):
            link = match.group(1) or match.group(2)
            if re.match(r"[a-z][a-z0-9+.-]*:", link, re.I):
                continue
            path, _, anchor = link.partition("#")
            target = (file.parent / path).resolve() if path else file
            if not target.exists():
                wrong.append(f"{file}: there is no {path}")
            elif anchor and target.suffix == ".md" and anchor not in anchors(read(target)):
                wrong.append(f"{file}: {path or 'this file'} has no heading for #{anchor}")
    return wrong


def self_check():
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "a.md"
        (pathlib.Path(folder) / "b.md").write_text("# A b, `c`: d\n## Twice\n## Twice\n```\n# no heading\n```\n")
        good = "[a](b.md) [b](b.md#a-b-c-d) [c](#here) <img src=\"b.md\"> [d](https://x.y/z) `[e](f)` [g](b.md#twice-1)\n# Here\n"
        file.write_text(good)
        assert check([file]) == [], check([file])
        for bad in ("[a](c.md)", "[a](b.md#nothing)", "[a](#nothing)", "[a](b.md#no-heading)", "<img src=\"c.png\">", "[a `b`](c.md)"):
            file.write_text(good + bad)
            assert len(check([file])) == 1, (bad, check([file]))
    print("the checker finds the broken links that were planted")


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        self_check()
        sys.exit()
    top = pathlib.Path(__file__).resolve().parent.parent
    listed = subprocess.run(["git", "-C", top, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
                            check=True, capture_output=True, text=True).stdout
    files = [top / name for name in listed.split("\0") if name and (top / name).exists()]
    wrong = check(files)
    print("\n".join(wrong) if wrong else f"all links of {len(files)} files lead somewhere")
    sys.exit(1 if wrong else 0)
