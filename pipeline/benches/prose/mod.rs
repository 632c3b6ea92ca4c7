//! A text to work on.

/// Prose of about so many bytes, no two sentences alike.
pub fn prose(bytes: usize) -> String {
    let words = [
        "river", "stone", "lantern", "harbour", "winter", "copper", "meadow", "Brücke",
    ];
    let mut text = String::with_capacity(bytes + 100);
    let mut number = 0;
    while text.len() < bytes {
        for at in 0..8 {
            text.push_str(words[(at * 7 + number * 3 + number / 8) % words.len()]);
            text.push(' ');
        }
        text.push_str(&format!("{number}."));
        text.push_str(if number % 6 == 5 { "\n\n" } else { " " });
        number += 1;
    }
    text
}
