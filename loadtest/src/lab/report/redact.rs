//! Passwords of addresses, out of any text. Pure.

/// What stands in a password's place.
const HIDDEN: &str = "***";

/// The text with the password of every address in it hidden: `scheme://user:password@host` and
/// `password=…`.
pub fn redacted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        shown.push_str(&parameter(&user(word)));
    }
    shown
}

/// Up to the last `@`: a password may have any sign in it that is not percent-encoded, as people write it.
fn user(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let Some((user, host)) = rest.rsplit_once('@') else { return word.to_owned() };
    match user.split_once(':') {
        Some((name, _)) => format!("{scheme}://{name}:{HIDDEN}@{host}"),
        None => word.to_owned(),
    }
}

fn parameter(word: &str) -> String {
    let Some((before, value)) = word.split_once("password=") else { return word.to_owned() };
    let ends = value.find(|sign: char| sign == '&' || sign.is_whitespace()).unwrap_or(value.len());
    format!("{before}password={HIDDEN}{}", &value[ends..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_left() {
        for (text, shown) in [
            ("--mysql-url=mysql://me:secret@[::1]:3306/lab x", "--mysql-url=mysql://me:***@[::1]:3306/lab x"),
            ("redis://:se:c@ret@host", "redis://:***@host"),
            ("mysql://host/lab?password=secret&a=1\nnext", "mysql://host/lab?password=***&a=1\nnext"),
            ("redis://host/0: no route", "redis://host/0: no route"),
            ("mysql://me@host", "mysql://me@host"),
            ("two  spaces", "two  spaces"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }
}
