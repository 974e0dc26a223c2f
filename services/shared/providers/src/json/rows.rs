//! A list of objects of which only some members are wanted.

use std::borrow::Cow;

use super::Scanner;

/// Reports the wanted members of each object in a list, as raw text, in the order in which they are wanted.
///
/// `None`, perhaps after some reports, if it is not a list of objects or if a wanted member comes twice.
pub(crate) fn rows<'a, const N: usize>(
    list: &'a str,
    wanted: [&str; N],
    report: &mut dyn FnMut([Option<&'a str>; N]),
) -> Option<()> {
    let mut scanner = Scanner::new(list);
    scanner.eat(b'[')?;
    let mut goes_on = !scanner.is_empty(b']')?;
    while goes_on {
        report(row(&mut scanner, wanted)?);
        goes_on = scanner.goes_on(b']')?;
    }
    scanner.is_at_end().then_some(())
}

fn row<'a, const N: usize>(scanner: &mut Scanner<'a>, wanted: [&str; N]) -> Option<[Option<&'a str>; N]> {
    let mut values = [None; N];
    scanner.eat(b'{')?;
    let mut goes_on = !scanner.is_empty(b'}')?;
    while goes_on {
        let name: Cow<'a, str> = scanner.name()?;
        let value = scanner.value()?;
        if let Some(index) = wanted.iter().position(|wanted| *wanted == name)
            && values[index].replace(value).is_some()
        {
            return None;
        }
        goes_on = scanner.goes_on(b'}')?;
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &str) -> Option<Vec<[Option<&str>; 2]>> {
        let mut out = Vec::new();
        rows(list, ["a", "b"], &mut |row| out.push(row))?;
        Some(out)
    }

    #[test]
    fn wanted_members_are_found_and_other_shapes_are_not_taken() {
        assert_eq!(
            of(r#" [ {"b" : null, "c":[{"a":1}], "a":"x"}, {} ] "#),
            Some(vec![[Some("\"x\""), Some("null")], [None, None]])
        );
        assert_eq!(of("[]"), Some(Vec::new()));
        for other in ["", "{}", "[1]", "[null]", "[[\"x\"]]", "[{\"a\":1,\"a\":2}]", "[{}] 1", "[{\"a\":1,}]", "[{}"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
