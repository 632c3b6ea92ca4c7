//! Python's regular expressions in the syntax of fancy-regex.
//!
//! The two look alike and differ in what they match: `\s` and `\w` (Python: white space with U+001C to U+001F; letters,
//! numbers and `_`, no combining marks), `\b`, `$` (Python: also before a final newline), sets inside sets, braces that
//! are no quantifier, and escapes. Reference: Python's `re` documentation, as of Python 3.11. Known difference that is
//! left: `(?i:...)` follows Unicode's simple case folding, so `i` does not match the Turkish letters.

use std::str::Chars;

/// Members of a set that Python's `\s` means.
const SPACE: &str = r"\s\x1C-\x1F";
/// Members of a set that Python's `\w` means.
const WORD: &str = r"\p{L}\p{N}_";

/// The flags that are translated away; `i` and `s` mean the same on both sides.
#[derive(Clone, Copy, Default)]
struct Flags {
    multiline: bool,
    verbose: bool,
}

/// Rewrites a Python regular expression; the error says what is wrong in words that follow a colon.
pub(super) fn translate(python: &str) -> Result<String, String> {
    let mut translation = Translation {
        rest: python.chars(),
        out: String::new(),
        groups: vec![Flags::default()],
    };
    translation.run()?;
    Ok(translation.out)
}

struct Translation<'p> {
    rest: Chars<'p>,
    out: String,
    /// The flags in force, one entry for each open group and one for the whole.
    groups: Vec<Flags>,
}

/// What stands between the brackets of a set.
enum SetMember {
    Char(char),
    Class(String),
}

impl Translation<'_> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(c) = self.rest.next() {
            let flags = self.flags();
            match c {
                '\\' => self.escape()?,
                '[' => self.set()?,
                '(' => self.group()?,
                ')' if self.groups.len() == 1 => return Err("unbalanced parenthesis".to_owned()),
                ')' => {
                    self.groups.pop();
                    self.out.push(')');
                }
                '{' => self.brace()?,
                '^' => self.out.push_str(if flags.multiline { "(?m:^)" } else { r"\A" }),
                '$' => self.out.push_str(if flags.multiline { "(?m:$)" } else { r"(?=\n?\z)" }),
                '|' | '.' | '*' | '+' | '?' => self.out.push(c),
                ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' if flags.verbose => {}
                '#' if flags.verbose => self.skip_past('\n'),
                _ => push_char(&mut self.out, c),
            }
        }
        if self.groups.len() > 1 {
            return Err("missing ), unterminated group".to_owned());
        }
        Ok(())
    }

    fn flags(&self) -> Flags {
        self.groups.last().copied().unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn skip_past(&mut self, end: char) {
        self.rest.by_ref().find(|c| *c == end);
    }

    /// Takes `start` if it comes next.
    fn takes(&mut self, start: &str) -> bool {
        match self.rest.as_str().strip_prefix(start) {
            Some(rest) => {
                self.rest = rest.chars();
                true
            }
            None => false,
        }
    }

    /// After `(`.
    fn group(&mut self) -> Result<(), String> {
        if self.takes("?#") {
            if !self.rest.as_str().contains(')') {
                return Err("missing ), unterminated comment".to_owned());
            }
            self.skip_past(')');
            return Ok(());
        }
        for kind in ["?:", "?=", "?!", "?<=", "?<!", "?>"] {
            if self.takes(kind) {
                self.out.push('(');
                self.out.push_str(kind);
                self.groups.push(self.flags());
                return Ok(());
            }
        }
        let rest = self.rest.as_str();
        if !rest.starts_with('?') || rest.starts_with("?P") || rest.starts_with("?(") || rest.starts_with("?<") {
            return Err("capture groups are not supported".to_owned());
        }
        self.rest.next();
        self.flag_group()
    }

    /// After `(?`: flags for the rest, `(?im)`, or for a group, `(?i-m:...)`.
    fn flag_group(&mut self) -> Result<(), String> {
        let mut flags = self.flags();
        let mut on = true;
        let (mut added, mut removed) = (String::new(), String::new());
        loop {
            match self.rest.next() {
                Some('m') => flags.multiline = on,
                Some('x') => flags.verbose = on,
                Some(same @ ('i' | 's')) => if on { &mut added } else { &mut removed }.push(same),
                // Python's default for text.
                Some('u') if on => {}
                Some('-') if on => on = false,
                Some(':') => {
                    self.groups.push(flags);
                    break;
                }
                Some(')') if on && self.out.chars().all(|c| "(?is)".contains(c)) => {
                    if let Some(whole) = self.groups.last_mut() {
                        *whole = flags;
                    }
                    if !added.is_empty() {
                        self.out.push_str(&format!("(?{added})"));
                    }
                    return Ok(());
                }
                Some(')') => return Err("flags for the whole expression belong at its start".to_owned()),
                Some(other) => return Err(format!("unknown extension or flag {other:?} after (?")),
                None => return Err("missing ), unterminated group".to_owned()),
            }
        }
        let minus = if removed.is_empty() { "" } else { "-" };
        self.out.push_str(&format!("(?{added}{minus}{removed}:"));
        Ok(())
    }

    /// After `{`: a quantifier, or as it is.
    fn brace(&mut self) -> Result<(), String> {
        let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        let quantifier = self.rest.as_str().split_once('}').and_then(|(body, after)| {
            let (least, most) = body.split_once(',').unwrap_or((body, body));
            (!body.is_empty() && digits(least) && digits(most)).then_some((least, most, after))
        });
        let Some((least, most, after)) = quantifier else {
            push_char(&mut self.out, '{');
            return Ok(());
        };
        let number = |text: &str| {
            text.parse::<u32>()
                .map_err(|_| format!("the repetition number {text} is too large"))
        };
        let least = if least.is_empty() { 0 } else { number(least)? };
        if most.is_empty() {
            self.out.push_str(&format!("{{{least},}}"));
        } else {
            let most = number(most)?;
            if most < least {
                return Err(format!("min repeat {least} greater than max repeat {most}"));
            }
            self.out.push_str(&format!("{{{least},{most}}}"));
        }
        self.rest = after.chars();
        Ok(())
    }

    /// After `\`, outside a set.
    fn escape(&mut self) -> Result<(), String> {
        let c = self.rest.next().ok_or("bad escape at the end")?;
        match c {
            'A' => self.out.push_str(r"\A"),
            'Z' => self.out.push_str(r"\z"),
            'b' => self
                .out
                .push_str(&format!("(?:(?<=[{WORD}])(?![{WORD}])|(?<![{WORD}])(?=[{WORD}]))")),
            // Python's does not match the empty text (before 3.14).
            'B' => self.out.push_str(&format!(
                r"(?:(?<=[{WORD}])(?=[{WORD}])|(?<![{WORD}])(?![{WORD}])(?!\A\z))"
            )),
            '1'..='9' => {
                let octal: String = self
                    .rest
                    .as_str()
                    .chars()
                    .take(2)
                    .take_while(|c| c.is_digit(8))
                    .collect();
                if c > '7' || octal.len() < 2 {
                    return Err("capture groups are not supported, nor references to them".to_owned());
                }
                let value = self.octal(c, 2)?;
                push_char(&mut self.out, value);
            }
            '0' => {
                let value = self.octal(c, 2)?;
                push_char(&mut self.out, value);
            }
            _ => match class(c) {
                Some(class) => self.out.push_str(&class),
                None => {
                    let value = self.character(c)?;
                    push_char(&mut self.out, value);
                }
            },
        }
        Ok(())
    }

    /// An escape for one character, after `\` and `c`.
    fn character(&mut self, c: char) -> Result<char, String> {
        Ok(match c {
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => self.hexadecimal(2)?,
            'u' => self.hexadecimal(4)?,
            'U' => self.hexadecimal(8)?,
            _ if c.is_ascii_alphanumeric() => return Err(format!(r"bad escape \{c}")),
            _ => c,
        })
    }

    fn hexadecimal(&mut self, count: usize) -> Result<char, String> {
        let digits: String = self.rest.by_ref().take(count).collect();
        let all = digits.len() == count && digits.chars().all(|c| c.is_ascii_hexdigit());
        u32::from_str_radix(if all { &digits } else { "" }, 16)
            .ok()
            .and_then(char::from_u32)
            .ok_or_else(|| format!("incomplete or impossible hexadecimal escape {digits:?}"))
    }

    /// An octal number that begins with `first` and has at most `more` digits more.
    fn octal(&mut self, first: char, more: usize) -> Result<char, String> {
        let mut value = first.to_digit(8).ok_or_else(|| format!(r"bad escape \{first}"))?;
        for _ in 0..more {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else {
                break;
            };
            self.rest.next();
            value = value * 8 + digit;
        }
        u8::try_from(value)
            .map(char::from)
            .map_err(|_| r"octal escape above \377".to_owned())
    }

    /// After `[`.
    fn set(&mut self) -> Result<(), String> {
        let open = || "unterminated character set".to_owned();
        self.out.push('[');
        if self.takes("^") {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let c = self.rest.next().ok_or_else(open)?;
            if c == ']' && !first {
                break;
            }
            first = false;
            let low = self.member(c)?;
            let mut after = self.rest.clone();
            if after.next() != Some('-') || matches!(after.next(), Some(']')) {
                self.push_member(&low);
                continue;
            }
            self.rest.next();
            let c = self.rest.next().ok_or_else(open)?;
            match (low, self.member(c)?) {
                (SetMember::Char(low), SetMember::Char(high)) if low <= high => {
                    self.push_member(&SetMember::Char(low));
                    self.out.push('-');
                    self.push_member(&SetMember::Char(high));
                }
                _ => return Err("bad character range".to_owned()),
            }
        }
        self.out.push(']');
        Ok(())
    }

    fn member(&mut self, c: char) -> Result<SetMember, String> {
        if c != '\\' {
            return Ok(SetMember::Char(c));
        }
        let c = self.rest.next().ok_or("unterminated character set")?;
        Ok(match (c, class(c)) {
            (_, Some(class)) => SetMember::Class(class),
            ('b', _) => SetMember::Char('\u{8}'),
            ('0'..='7', _) => SetMember::Char(self.octal(c, 2)?),
            _ => SetMember::Char(self.character(c)?),
        })
    }

    fn push_member(&mut self, member: &SetMember) {
        match member {
            SetMember::Char(c) => push_char(&mut self.out, *c),
            SetMember::Class(class) => self.out.push_str(class),
        }
    }
}

/// The set behind a class escape; a set stands as well inside a set.
fn class(c: char) -> Option<String> {
    Some(match c {
        'd' => r"[\d]".to_owned(),
        'D' => r"[^\d]".to_owned(),
        's' => format!("[{SPACE}]"),
        'S' => format!("[^{SPACE}]"),
        'w' => format!("[{WORD}]"),
        'W' => format!("[^{WORD}]"),
        _ => return None,
    })
}

/// A character as itself, whatever it means in the other syntax.
fn push_char(out: &mut String, c: char) {
    if c.is_ascii_punctuation() || c.is_ascii_control() {
        out.push_str(&format!(r"\x{:02X}", u32::from(c)));
    } else {
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use fancy_regex::Regex;

    use super::translate;

    fn found<'t>(python: &str, text: &'t str) -> Vec<&'t str> {
        let regex = Regex::new(&translate(python).unwrap()).unwrap();
        regex.find_iter(text).map(|found| found.unwrap().as_str()).collect()
    }

    /// The right side of each line is what Python's `re.findall` gives.
    #[test]
    fn expressions_match_what_they_match_in_python() {
        assert_eq!(found(r"\s+", "a\u{1c} \u{a0}b\u{200b}"), ["\u{1c} \u{a0}"]);
        assert_eq!(found(r"\S", "\u{1f}é"), ["é"]);
        assert_eq!(found(r"\w+", "e\u{301}a ½²_x"), ["e", "a", "½²_x"]);
        assert_eq!(found(r"[^\w\s]", "a\u{301}\u{1d}"), ["\u{301}"]);
        assert_eq!(found(r"\bfoo\b", "foo foobar e\u{301}foo"), ["foo", "foo"]);
        assert_eq!(found(r"x$", "x\n"), ["x"]);
        assert_eq!(found(r"x\Z", "x\n"), [""; 0]);
        assert_eq!(found(r"(?m)^x$", "x\nx\ny"), ["x", "x"]);
        assert_eq!(found(r"^x", "x\nx"), ["x"]);
        assert_eq!(found(r"(?m:^x)|^y", "x\nx\ny"), ["x", "x"]);
        assert_eq!(found(r"[[a&&b]", "[a&b~"), ["[", "a", "&", "b"]);
        assert_eq!(found(r"[]a-]", "]-ab"), ["]", "-", "a"]);
        assert_eq!(found(r"[^]a]", "]ab"), ["b"]);
        assert_eq!(found(r"[\]\-\\]", r"]-\a"), ["]", "-", r"\"]);
        assert_eq!(found(r"[+--]", "+,-."), ["+", ",", "-"]);
        assert_eq!(
            found(r"a{,2}b|x{|y{1,a}|{}", "aab x{ y{1,a} {}"),
            ["aab", "x{", "y{1,a}", "{}"]
        );
        assert_eq!(found(r"\x41\u00e9\U0001F600\101\0", "Aé😀A\0"), ["Aé😀A\0"]);
        assert_eq!(found(r"\<\#\-\/\é", "<#-/é"), ["<#-/é"]);
        assert_eq!(found(r"[\b\x41-\103]", "\u{8}ABCD"), ["\u{8}", "A", "B", "C"]);
        assert_eq!(found("(?x) a b # c\n [ ]", "ab c"), ["ab "]);
        assert_eq!(found(r"a(?#note)b", "ab"), ["ab"]);
        assert_eq!(found(r"(?i:é)x(?-i:Y)", "ÉxY éxy"), ["ÉxY"]);
        assert_eq!(found(r"(?is)a.b", "A\nB"), ["A\nB"]);
        assert_eq!(found(r"a++b|(?>c+)d", "aab ccd"), ["aab", "ccd"]);
        assert_eq!(found(r"\d+", "12٣x²"), ["12٣"]);
    }

    #[test]
    fn what_python_refuses_is_refused() {
        for python in [
            r"\q",
            r"\Q",
            "a\\",
            r"\x4",
            r"\ud800",
            r"\U00110000",
            r"\777",
            r"[\8]",
            "[b-a]",
            r"[a-\d]",
            "[a",
            "[",
            "(?z)",
            "(?i",
            "a(?i)b",
            "(?:a",
            "a{5,2}",
            "a{99999999999}",
            "a)",
            "(?#a",
            "(a)",
            "(?P<a>b)",
            "(?P=a)",
            r"\1",
            "(?(1)a|b)",
            "(?<a>b)",
        ] {
            assert!(translate(python).is_err(), "{python}");
        }
    }
}
