//! What is left of a statement without its values, so that the same query is known again.

/// The shape of `statement`: one blank between words, `?` for each value, one value for a list of them.
pub fn of(statement: &str) -> String {
    let mut shape = String::new();
    let mut rest = statement.trim();
    while let Some(first) = rest.chars().next() {
        let length = token(rest);
        let (text, after) = rest.split_at(length);
        rest = after;
        if first.is_whitespace() {
            if !shape.ends_with([' ', '(']) {
                shape.push(' ');
            }
        } else if is_value(text) {
            // The sign belongs to the number.
            if let Some(before) = shape.strip_suffix(['-']).filter(|before| !before.ends_with("? ")) {
                shape.truncate(before.len());
            }
            shape.push('?');
        } else if !text.starts_with('_') {
            if text == ")" && shape.ends_with(' ') {
                shape.pop();
            }
            shape.push_str(text);
        }
    }
    for (from, to) in [("?, ?", "?"), ("?,?", "?"), ("(?), (?)", "(?)"), ("(?),(?)", "(?)")] {
        while shape.contains(from) {
            shape = shape.replace(from, to);
        }
    }
    shape
}

/// `statement` with values in place of its parameters. Text stands for any value: compared with a number's column it is
/// made one, once; only a limit must be a number. The crowd has rows of this id.
pub fn with_values(statement: &str) -> String {
    let mut text = String::new();
    for (n, part) in statement.split('?').enumerate() {
        if n > 0 {
            let is_limit = text.trim_end().ends_with("LIMIT") || text.trim_end().ends_with("OFFSET");
            text.push_str(if is_limit { "7" } else { "'1000007'" });
        }
        text.push_str(part);
    }
    text
}

/// The statements of one packet.
pub fn statements(packet: &str) -> Vec<&str> {
    let (mut statements, mut from, mut at) = (Vec::new(), 0, 0);
    while at < packet.len() {
        let length = token(&packet[at..]);
        if &packet[at..at + length] == ";" {
            statements.push(packet[from..at].trim());
            from = at + length;
        }
        at += length;
    }
    statements.push(packet[from..].trim());
    statements.retain(|statement| !statement.is_empty());
    statements
}

/// The length of the first token: blanks, text in quotes, a word or number, or one character.
fn token(text: &str) -> usize {
    let first = text.chars().next().unwrap_or(' ');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let run = |belongs: &dyn Fn(char) -> bool| text.find(|c| !belongs(c)).unwrap_or(text.len());
    match first {
        '\'' | '"' => quoted(text, first),
        c if c.is_whitespace() => run(&char::is_whitespace),
        c if is_word(c) => run(&is_word),
        c => c.len_utf8(),
    }
}

fn quoted(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c == '\\' {
            characters.next();
        } else if c == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return at + c.len_utf8();
        }
    }
    text.len()
}

fn is_value(token: &str) -> bool {
    token == "?" || token == "NULL" || token.starts_with(['\'', '"']) || token.starts_with(|c: char| c.is_ascii_digit())
}

#[test]
fn values_and_lists_of_them_are_one() {
    let shape = "UPDATE t SET a = ?, b = ? WHERE c IN (?) AND d <= ?";
    assert_eq!(of("UPDATE t SET a = 'it''s; \\'x', b = _utf8mb4 0xab\n WHERE c IN (1, 2,3) AND d <= -5"), shape);
    assert_eq!(of("UPDATE t SET a = ?, b = NULL WHERE c IN ( ? ) AND d <= ?"), shape);
    assert_eq!(of("INSERT INTO t (a, b) VALUES (1,'x'),(2,'y')"), "INSERT INTO t (a, b) VALUES (?)");
    assert_eq!(statements("SELECT 'a;b' ; COMMIT; "), ["SELECT 'a;b'", "COMMIT"]);
    assert_eq!(with_values("a = ? LIMIT ?"), "a = '1000007' LIMIT 7");
}
