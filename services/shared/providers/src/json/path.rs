//! Where a value is.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

/// JSON path from the root, `entry.tags[2]`. It is written out only where an error needs it, which most values never
/// do, so until then it is a list of steps that share their beginning.
#[derive(Clone, Debug, Default)]
pub(super) struct Path<'a>(Option<Rc<Inner<'a>>>);

#[derive(Debug)]
struct Inner<'a> {
    parent: Path<'a>,
    step: Step<'a>,
}

/// The last part of a path.
#[derive(Clone, Debug)]
pub(super) enum Step<'a> {
    /// A member of an object.
    Member(Cow<'a, str>),
    /// A place in an array.
    Item(usize),
}

impl<'a> Path<'a> {
    /// The path that is one step longer.
    pub(super) fn child(&self, step: Step<'a>) -> Self {
        Self(Some(Rc::new(Inner { parent: self.clone(), step })))
    }

    /// The path with one step more, written out.
    pub(super) fn written(&self, step: &Step<'_>) -> String {
        let parent = self.to_string();
        match step {
            Step::Member(name) if parent.is_empty() => name.to_string(),
            Step::Member(name) => format!("{parent}.{name}"),
            Step::Item(index) => format!("{parent}[{index}]"),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |inner| f.write_str(&inner.parent.written(&inner.step)))
    }
}

#[cfg(test)]
mod tests {
    use crate::json::Object;

    #[test]
    fn errors_deep_inside_name_every_step() {
        let object = Object::parse(br#"{"a": {"b": [0, {"c": 1}]}, "": {"d": 2}}"#).expect("valid");
        let items = object.object("a").and_then(|a| a.array("b")).expect("array");
        assert_eq!(items[0].as_object().err().expect("a number").path, "a.b[0]");
        assert_eq!(items[1].as_object().and_then(|item| item.str("c")).expect_err("a number").path, "a.b[1].c");
        assert_eq!(object.object("").and_then(|inner| inner.str("d")).expect_err("a number").path, "d");
    }
}
